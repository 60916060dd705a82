"""Trains the segmentation network on simulated motion and writes the shipped file.

    make train-segment      # the two stages of the shipped file
    python -m training.segment.train --minutes 20 --seed 0 --out segment.onnx

The number of steps follows from ``--minutes`` and the measured speed, and is written to the side file; ``--steps``
with the same seed repeats a training.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from services.segment.core.features import MIRROR_ORDER, MIRROR_SIGN
from services.segment.core.network import ACTIVITY, ELAPSED, EVENTS, EXERCISE, PHASE, PROGRESS
from training.segment.data import Chunk, ChunkStream
from training.segment.export import export
from training.segment.labels import NO_CLASS
from training.segment.model import SegmentNetwork

POOL: Final = 12
"""Chunks kept to draw batches from."""
_EVENT_WEIGHT: Final = 4.0
_PRINT_EVERY: Final = 50

Batch = dict[str, Tensor]


class Pool:
    """The newest ``POOL`` chunks of a stream; batches are drawn across them."""

    def __init__(self, next_chunk: Callable[[], Chunk], seed: int, size: int = POOL) -> None:
        self._next, self._size = next_chunk, size
        self._rng = np.random.default_rng([seed, 1])
        self._chunks = [next_chunk()]
        self.made = 1

    def renew(self) -> None:
        self._chunks = [*self._chunks, self._next()][-self._size :]
        self.made += 1

    def batch(self, size: int, device: torch.device) -> Batch:
        """``size`` sequences, each mirrored or not, as float32 tensors (B, T, …)."""
        per = len(self._chunks[0].mask)
        rows = self._rng.choice(per * len(self._chunks), size, replace=size > per * len(self._chunks))

        def gather(name: str) -> Tensor:
            picked = np.stack([getattr(self._chunks[r // per], name)[r % per] for r in rows])
            return torch.from_numpy(picked).to(device)

        batch = {name: gather(name) for name in Chunk.__dataclass_fields__}
        features = batch["features"].float()
        flip = torch.from_numpy(self._rng.random(size) < 0.5).to(device)
        order = torch.from_numpy(MIRROR_ORDER).to(device)
        flipped = features[..., order] * torch.from_numpy(MIRROR_SIGN).to(device)
        batch["features"] = torch.where(flip[:, None, None], flipped, features)
        return batch


def loss_of(outputs: Tensor, period: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The parts of the loss, each a mean over the ticks that count."""
    mask = batch["mask"].float()

    def mean(values: Tensor, weight: Tensor = mask) -> Tensor:
        return (values * weight).sum() / weight.sum().clamp(min=1)

    phase = functional.cross_entropy(
        outputs[..., PHASE].flatten(0, 1), batch["phase"].long().flatten(), reduction="none"
    ).view_as(mask)
    events = batch["events"].float()
    event = functional.binary_cross_entropy_with_logits(
        outputs[..., EVENTS], events, weight=1 + (_EVENT_WEIGHT - 1) * (events > 0), reduction="none"
    ).sum(-1)
    progress = (torch.sigmoid(outputs[..., PROGRESS]) - batch["progress"].float()) ** 2
    activity = functional.binary_cross_entropy_with_logits(
        outputs[..., ACTIVITY], batch["activity"].float(), reduction="none"
    )
    classes = batch["exercise"].long()
    exercise = functional.cross_entropy(
        outputs[..., EXERCISE].flatten(0, 1), classes.flatten(), reduction="none", ignore_index=NO_CLASS
    ).view_as(mask)
    lasting = batch["period"].float()
    known = torch.isfinite(lasting).float() * mask * (batch["phase"] > 0)
    log_period = (period - torch.nan_to_num(lasting)) ** 2
    since = torch.nan_to_num(batch["elapsed"].float())
    late = functional.smooth_l1_loss(outputs[..., ELAPSED], since, beta=0.1, reduction="none") / (1 + since)
    return {
        "phase": mean(phase),
        "event": 0.5 * mean(event),
        "progress": 2.0 * mean(progress),
        "activity": 0.3 * mean(activity),
        "exercise": 0.4 * mean(exercise, mask * (classes >= 0)),
        "period": 0.1 * mean(log_period, known),
        "elapsed": 0.6 * mean(late, known),
    }


class Trainer:
    """One training: network, optimiser, one-cycle schedule."""

    def __init__(self, hidden: int, steps: int, rate: float, device: torch.device) -> None:
        self.network = SegmentNetwork(hidden).to(device)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=1e-3)
        self.steps, self.rate, self.step = steps, rate, 0

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step; returns the parts of the loss."""
        self.network.train()
        share = self.step / max(self.steps, 1)
        warm = min(1.0, (self.step + 1) / 40)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))
        outputs, period = self.network(batch["features"])
        parts = loss_of(outputs, period, batch)
        loss = torch.stack(list(parts.values())).sum()
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return {k: float(v.detach()) for k, v in parts.items()}

    def save(self, path: Path) -> None:
        """All that ``load`` needs to go on; the file is whole or as it was."""
        part = path.with_suffix(".part")
        state = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step}
        torch.save(state, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Go on where ``save`` was called."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])


def train(args: argparse.Namespace) -> dict[str, Any]:
    """Runs a training and writes the network and its side file; returns what the side file says."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    resumed = args.resume is not None and args.resume.exists()
    # A training that goes on makes other sequences than those it has had.
    seed = args.seed if not resumed else args.seed + int(torch.load(args.resume, weights_only=True)["step"])
    stream = ChunkStream(seed)
    try:
        pool = Pool(stream.next, seed)
        sample = torch.from_numpy(pool._chunks[0].features[:, ::7].reshape(-1, pool._chunks[0].features.shape[-1]))
        trainer = Trainer(args.hidden, args.steps or 10**9, args.rate, device)
        trainer.network.set_scaling(sample.float().to(device))
        if args.start:
            trainer.network.load_state_dict(torch.load(args.start, weights_only=True))
        if resumed:
            trainer.load(args.resume)
        for _ in range(min(3, args.pool - 1)):
            pool.renew()
        started, lines = time.perf_counter(), []
        while trainer.step < trainer.steps:
            if trainer.step % args.renew == 0:
                pool.renew()
            parts = trainer.learn(pool.batch(args.batch, device))
            lines.append(parts)
            if trainer.step == 20 and not args.steps:
                trainer.steps = max(40, int(20 * args.minutes * 60 / (time.perf_counter() - started)))
                print(f"{trainer.steps} steps", flush=True)
            if trainer.step % _PRINT_EVERY == 0:
                mean = {k: float(np.mean([p[k] for p in lines[-_PRINT_EVERY:]])) for k in parts}
                text = "  ".join(f"{k} {v:.4f}" for k, v in mean.items())
                print(f"{trainer.step:6d} {time.perf_counter() - started:6.0f} s  {text}", flush=True)
            if args.save_every and trainer.step % args.save_every == 0:
                export(trainer.network, args.out)
                if args.checkpoint:
                    torch.save(trainer.network.state_dict(), args.checkpoint)
                if args.resume:
                    trainer.save(args.resume)
    finally:
        stream.close()
    return _finish(args, trainer, pool, lines, time.perf_counter() - started)


def _finish(
    args: argparse.Namespace, trainer: Trainer, pool: Pool, lines: list[dict[str, float]], took_s: float
) -> dict[str, Any]:
    network = trainer.network.cpu()
    difference = export(network, args.out)
    if args.checkpoint:
        torch.save(network.state_dict(), args.checkpoint)
    last = {k: round(float(np.mean([p[k] for p in lines[-100:]])), 5) for k in lines[-1]}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    about = {
        "command": f"python -m training.segment.train --steps {trainer.step} --seed {args.seed} --hidden {args.hidden}"
        f" --batch {args.batch} --rate {args.rate} --renew {args.renew}"
        + (f" --start {args.start.name}" if args.start else ""),
        "earlier_stage": json.loads(args.earlier.read_text()) if args.earlier else None,
        "seed": args.seed,
        "steps": trainer.step,
        "data": "motion simulator only (training/simulator, training/segment/augment.py); no recorded data",
        "sequences": pool.made * len(pool._chunks[0].mask),
        "commit": commit.stdout.strip(),
        "minutes": round(took_s / 60, 1),
        "parameters": sum(p.numel() for p in network.parameters()),
        "loss": last,
        "onnx_difference": difference,
    }
    args.out.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n")
    return about


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=20.0, help="length, unless --steps is given")
    p.add_argument("--steps", type=int, default=0)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", type=Path, default=Path("services/segment/models/segment.onnx"))
    p.add_argument("--checkpoint", type=Path, default=None, help="also write torch weights here")
    p.add_argument("--start", type=Path, default=None, help="torch weights of an earlier stage to go on from")
    p.add_argument(
        "--resume", type=Path, default=None, help="go on from this file if it is there; written with --save-every"
    )
    p.add_argument("--earlier", type=Path, default=None, help="side file of that stage, to be told in this one's")
    p.add_argument("--hidden", type=int, default=128)
    p.add_argument("--batch", type=int, default=24)
    p.add_argument("--rate", type=float, default=3e-3)
    p.add_argument("--renew", type=int, default=12, help="steps per new chunk of sequences")
    p.add_argument("--pool", type=int, default=POOL)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--save-every", type=int, default=0, help="export every so many steps")
    return p


if __name__ == "__main__":
    print(json.dumps(train(parser().parse_args(sys.argv[1:])), indent=1))
