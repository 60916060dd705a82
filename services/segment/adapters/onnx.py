"""The segmentation network in onnxruntime."""

from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from services.common.errors import ModelError
from services.segment.core.features import F
from services.segment.core.network import OUTPUTS

F32 = NDArray[np.float32]

SHIPPED: Final = Path(__file__).parent.parent / "models" / "segment.onnx"


class OnnxRecurrentNetwork:
    """A ``RecurrentNetwork`` from an ONNX file with inputs ``features`` (N, F), ``state`` (N, S).

    One thread: a tick's work is far below what starting a second one costs. Raises ModelError for a file that
    is missing or does not have this shape.
    """

    def __init__(self, path: Path = SHIPPED) -> None:
        if not path.is_file():
            raise ModelError(f"There is no segmentation network at {path}; train one or reinstall formcheck.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        except Exception as e:  # onnxruntime raises many kinds
            raise ModelError(f"{path} is not a segmentation network: {e}") from e
        inputs = {i.name: i.shape for i in self._session.get_inputs()}
        outputs = {o.name: o.shape for o in self._session.get_outputs()}
        if inputs.get("features", [0, 0])[1] != F or outputs.get("outputs", [0, 0])[1] != OUTPUTS:
            raise ModelError(f"{path} expects other features or outputs than this version of formcheck has.")
        self._state_size = int(inputs["state"][1])

    @property
    def state_size(self) -> int:
        return self._state_size

    def step(self, features: F32, state: F32) -> tuple[F32, F32]:
        outputs, following = self._session.run(["outputs", "next_state"], {"features": features, "state": state})
        return outputs, following
