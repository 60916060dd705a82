"""``PoseBackend`` on onnxruntime, in this process."""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from services.common.errors import ModelError, ShapeError
from services.common.types import F32
from services.pose.adapters.models import ensure_models, model_path
from services.pose.core.profiles import Profile

CHUNK = 4
"""Crops per run: batching gains nothing on a CPU, and a run's memory grows with it."""


class OnnxBackend:
    """Runs a profile's networks on the CPU; may be called from several threads at once (onnxruntime's runs are
    independent; those of one backend share its threads).

    A crop that comes alone is shared among the threads. As many crops of the following network as there are threads, or
    crops that come while another call runs, take a thread each instead: nobody waits for anybody a hundred times per
    run. What comes out is the same to the bit.

    Args:
        profile: whose networks to load; fetched on first use.
        threads: to use; 0: as many as there are cores.
        folder: where the ``.onnx`` files lie, if not in the cache.
    Raises:
        ModelError: the model files cannot be had or loaded.
    """

    def __init__(self, profile: Profile, *, threads: int = 0, folder: Path | None = None) -> None:
        folder = folder or ensure_models(profile)
        self._threads = threads or os.cpu_count() or 1
        self._sessions = {net.name: _session(model_path(folder, net.name), self._threads) for net in profile.networks}
        self._alone: dict[str, ort.InferenceSession] = {}
        if self._threads > 1:
            follow = profile.following.name
            self._alone[follow] = _session(model_path(folder, follow), 1)
            self._workers = ThreadPoolExecutor(self._threads, "pose-crop")
        self._running, self._counting = 0, threading.Lock()
        self._sizes = {net.name: net.size_px for net in profile.networks}

    def infer(self, model: str, crops: NDArray[np.uint8]) -> tuple[F32, ...]:
        """crops (N, S, S, 3) uint8 RGB → the network's outputs, each (N, ...); see ``PoseBackend``."""
        session = self._sessions.get(model)
        if session is None:
            raise ModelError(f"no pose network {model!r} is loaded, only {', '.join(self._sessions)}")
        size = self._sizes[model]
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
            raise ShapeError(f"{model} takes crops (N, {size}, {size}, 3) uint8, got {crops.shape} {crops.dtype}")
        if len(crops) == 0:
            return tuple(np.zeros((0, *(int(d) for d in o.shape[1:])), np.float32) for o in session.get_outputs())
        crops = np.ascontiguousarray(crops)
        with self._counting:
            self._running += 1
            beside = self._running > 1
        try:
            return self._infer(model, crops, beside)
        finally:
            with self._counting:
                self._running -= 1

    def _infer(self, model: str, crops: NDArray[np.uint8], beside: bool) -> tuple[F32, ...]:
        """``beside``: another call runs, so a core is taken."""
        session, alone = self._sessions[model], self._alone.get(model)
        abreast = 0 if alone is None else len(crops) if beside else len(crops) - len(crops) % self._threads
        try:
            if alone is not None and beside and len(crops) == 1:
                return tuple(_run(alone, crops))
            each = [self._workers.submit(_run, alone, crops[i : i + 1]) for i in range(abreast)]
            parts = [run.result() for run in each]
            parts += [_run(session, crops[i : i + CHUNK]) for i in range(abreast, len(crops), CHUNK)]
        except Exception as e:  # onnxruntime raises its own, undocumented classes
            raise ModelError(f"the pose network {model} failed: {e}") from e
        if len(parts) == 1:
            return tuple(parts[0])
        return tuple(np.concatenate(output) for output in zip(*parts, strict=True))


def _run(session: ort.InferenceSession, crops: NDArray[np.uint8]) -> Sequence[F32]:
    outputs: Sequence[F32] = session.run(None, {"crops": crops})
    return outputs


def _session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # plans memory per batch size, and ours changes from frame to frame
    # Waiting threads sleep instead of spinning: the other core decodes video meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:
        raise ModelError(f"cannot load the pose network {path}: {e}; delete the file and run again") from e
