"""The shared network in PyTorch: trained on samples, handed over as numpy arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from services.errors.core.features import MIRROR_ORDER, MIRROR_SIGN
from services.errors.core.learned import Learned, standardised
from training.errors.dataset import Samples, exercises, target

F64 = NDArray[np.float64]
HIDDEN_WEIGHT: Final = 0.3
"""Weight of what the exercise's file calls hidden: it teaches the body, but the verdict is not asked for there."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``noise``: spread added to the standardised numbers; ``rate``: of AdamW, falling to zero by a cosine."""

    hidden: tuple[int, ...] = (192, 96)
    epochs: int = 20
    batch: int = 256
    rate: float = 2e-3
    decay: float = 0.02
    dropout: float = 0.25
    noise: float = 0.05


def scaling(features: NDArray[np.floating]) -> tuple[F64, F64]:
    """Middle and robust spread of each number."""
    with np.errstate(all="ignore"):
        low, middle, high = np.nanpercentile(np.where(np.isfinite(features), features, np.nan), [5, 50, 95], axis=0)
    middle = np.where(np.isfinite(middle), middle, 0.0)
    spread = np.where(np.isfinite(high - low), (high - low) / 3.29, 1.0)
    return middle.astype(np.float64), np.maximum(spread, 1e-3).astype(np.float64)


def build(inputs: int, outputs: int, settings: Settings) -> nn.Sequential:
    widths = (inputs, *settings.hidden)
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU(), nn.Dropout(settings.dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


class Trainer:
    """Trains one network. ``weights``: (N,) of the samples."""

    def __init__(self, samples: Samples, seed: int, settings: Settings, weights: NDArray[np.floating] | None = None):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        self.settings, self._rng = settings, np.random.default_rng([seed, 7])
        self.mean, self.scale = scaling(samples.features)
        self.use(samples, weights)
        self.network = build(self._inputs.shape[2], samples.degree.shape[1], settings)

    def use(self, samples: Samples, weights: NDArray[np.floating] | None = None) -> None:
        """The samples to train on from now on; mirrored ones are made beside."""
        features = samples.features.astype(np.float64)
        kind = np.eye(len(exercises()), dtype=np.float32)[samples.exercise]
        both = [
            np.concatenate([standardised(f, self.mean, self.scale), kind], axis=1)
            for f in (features, features[:, MIRROR_ORDER] * MIRROR_SIGN)
        ]
        self._inputs = torch.from_numpy(np.stack(both))
        wanted = target(samples.degree)
        known = np.isfinite(wanted)
        weight = known * np.where(samples.seen, 1.0, HIDDEN_WEIGHT)
        if weights is not None:
            weight = weight * weights[:, None]
        self._targets = torch.from_numpy(np.where(known, wanted, 0.0).astype(np.float32))
        self._weights = torch.from_numpy(weight.astype(np.float32))

    def fit(self, epochs: int, rate: float, tell: Callable[[int, float], None] | None = None) -> None:
        s, count = self.settings, len(self._targets)
        optimiser = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=s.decay)
        steps = epochs * (count // s.batch + 1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        self.network.train()
        for epoch in range(epochs):
            total = 0.0
            order = self._rng.permutation(count)
            for start in range(0, count, s.batch):
                loss = self._loss(torch.from_numpy(order[start : start + s.batch]))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                total += float(loss.detach()) * min(s.batch, count - start)
            if tell:
                tell(epoch, total / count)

    def _loss(self, rows: Tensor) -> Tensor:
        side = torch.from_numpy(self._rng.integers(0, 2, len(rows)))
        x = self._inputs[side, rows]
        x = x + self.settings.noise * torch.randn_like(x)
        each = functional.binary_cross_entropy_with_logits(self.network(x), self._targets[rows], reduction="none")
        weight = self._weights[rows]
        return (each * weight).sum() / weight.sum().clamp(min=1.0)

    def learned(self, codes: tuple[str, ...]) -> Learned:
        """The network as numpy arrays, without heads, rounded as it is shipped."""
        linear = [m for m in self.network if isinstance(m, nn.Linear)]
        layers = tuple(
            (
                m.weight.detach().numpy().T.astype(np.float16).astype(np.float32).copy(),
                m.bias.detach().numpy().astype(np.float32).copy(),
            )
            for m in linear
        )
        mean, scale = (v.astype(np.float32).astype(np.float64) for v in (self.mean, self.scale))
        return Learned(exercises(), codes, mean, scale, layers, {})
