"""Runs inside Triton's python backend on machines without a GPU: one pose network on onnxruntime.

The server copies this file beside ``model.onnx``. Nothing of formcheck is imported, so that a server's image needs
only numpy and onnxruntime.
"""

import ctypes
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # the server brings it
from numpy.typing import NDArray

Crops = NDArray[np.uint8]
Outputs = Sequence[NDArray[np.float32]]


class TritonPythonModel:
    """Raw uint8 crops of many requests at once → the network's outputs.

    On a CPU a batch gains nothing, so crops are run one by one: as many side by side as there are threads, one thread
    each; those left over share all threads. This is what the in-process backend does, and gives the same numbers.

    Tensors are exchanged by DLPack: this backend was built for numpy 1, and with numpy 2 its own ``as_numpy`` and
    ``Tensor(name, array)`` take every element for zero bytes long, without a word.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the network. The configuration's parameter ``threads``: 0 means as many as there are cores."""
        config = json.loads(args["model_config"])
        wanted = int(config["parameters"]["threads"]["string_value"])
        self._name = config["name"]
        self._threads = wanted or len(os.sched_getaffinity(0))
        self._outputs = [o["name"] for o in config["output"]]
        path = Path(__file__).with_name("model.onnx")
        self._shared = _session(path, self._threads)
        if self._threads > 1:
            self._alone = _session(path, 1)
            self._others = ThreadPoolExecutor(self._threads - 1, "crop")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response per request, in their order.

        What nobody waits for any more was left out by the server while it queued. Asking again here, by the request's
        ``is_cancelled``, crashed the whole server (2.51) as soon as clients' deadlines passed.
        """
        given = (pb_utils.get_input_tensor_by_name(r, "crops") for r in requests)
        crops = [np.asarray(np.from_dlpack(tensor), np.uint8) for tensor in given]
        try:
            return [self._response(outputs) for outputs in self._infer(crops)]
        except Exception as e:  # onnxruntime raises its own, undocumented classes
            error = pb_utils.TritonError(f"the pose network {self._name} failed: {e}")
            return [pb_utils.InferenceResponse(error=error) for _ in requests]

    def _response(self, outputs: Outputs) -> Any:
        named = zip(self._outputs, outputs, strict=True)
        return pb_utils.InferenceResponse([_tensor(name, value) for name, value in named])

    def _infer(self, requests: Sequence[Crops]) -> list[Outputs]:
        """Outputs per request, each (N, ...), of crops (N, S, S, 3)."""
        single = [crops[i : i + 1] for crops in requests for i in range(len(crops))]
        abreast = len(single) - len(single) % self._threads if self._threads > 1 else 0
        found: list[Outputs] = []
        for i in range(0, abreast, self._threads):
            others = [self._others.submit(_run, self._alone, crop) for crop in single[i + 1 : i + self._threads]]
            found += [_run(self._alone, single[i]), *(other.result() for other in others)]
        found += [_run(self._shared, crop) for crop in single[abreast:]]
        results, first = [], 0
        for crops in requests:
            mine = found[first : first + len(crops)]
            first += len(crops)
            results.append(mine[0] if len(mine) == 1 else [np.concatenate(o) for o in zip(*mine, strict=True)])
        return results


def _tensor(name: str, value: NDArray[np.float32]) -> Any:
    capsule = value.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # The backend marks what it took by a name that is not DLPack's; numpy would complain of each in the server's log.
    ctypes.pythonapi.PyCapsule_SetName(ctypes.py_object(capsule), _TAKEN)
    return tensor


_TAKEN = ctypes.c_char_p(b"used_dltensor")


def _run(session: ort.InferenceSession, crops: Crops) -> Outputs:
    outputs: Outputs = session.run(None, {"crops": crops})
    return outputs


def _session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Waiting threads sleep instead of spinning: the host has other work, and containers have fewer cores than it shows.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
