"""Records what BlazePose's original networks say, run by the TFLite interpreter, for the golden tests.

The interpreter lives in an environment of its own; nothing of the project is needed in it:

    python -m training.tools.record_blazepose --prepare recording     (pictures and model files)
    uv run --isolated --no-project --python 3.11 --with ai-edge-litert==2.3.0 --with numpy \\
        training/tools/record_blazepose.py --interpret recording      (the original's answers)
    python -m training.tools.record_blazepose --store recording       (tests/golden/pose_blazepose_*.npz)

Per output ``<name>``: (P, ``SAMPLES``) values at evenly spread places of the flat TFLite output, or all of them where
there are fewer; P are the pictures of ``record_pictures``.
"""

import argparse
from pathlib import Path

import numpy as np

SIZES = {"blazepose_detector": 224, "blazepose_full": 256, "blazepose_lite": 256}
NORMALISATION = {"blazepose_detector": (127.5, 127.5), "blazepose_full": (0.0, 255.0), "blazepose_lite": (0.0, 255.0)}
SAMPLES = 600


def sample_places(count: int) -> np.ndarray:
    """Places spread over a flat output of ``count`` values."""
    return np.linspace(0, count - 1, min(count, SAMPLES)).astype(np.int64)


def prepare(folder: Path) -> None:
    """Pictures and original model files into ``folder``."""
    from services.pose.adapters.models import SOURCES, source_files
    from training.tools.record_pictures import NAMES, pictures

    folder.mkdir(parents=True, exist_ok=True)
    for network, size_px in SIZES.items():
        np.save(folder / f"{network}.pictures.npy", pictures(NAMES, size_px))
        (folder / f"{network}.tflite").write_bytes(source_files(network)[0].read_bytes())
        (folder / f"{network}.outputs").write_text(
            "\n".join(f"{tensor} {name}" for tensor, name in SOURCES[network].outputs)
        )


def interpret(folder: Path) -> None:
    """The interpreter's answers into ``folder``."""
    from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found]

    for network in SIZES:
        centre, scale = NORMALISATION[network]
        interpreter = Interpreter(model_path=str(folder / f"{network}.tflite"), num_threads=1)
        interpreter.allocate_tensors()
        tensors = {d["name"]: d["index"] for d in interpreter.get_output_details()}
        lines = (folder / f"{network}.outputs").read_text().splitlines()
        wanted = {name: tensor for tensor, name in map(str.split, lines)}
        answers: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
        for image in np.load(folder / f"{network}.pictures.npy"):
            floats = (image.astype(np.float32) - np.float32(centre)) / np.float32(scale)
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], floats[None])
            interpreter.invoke()
            for name, tensor in wanted.items():
                answers[name].append(interpreter.get_tensor(tensors[tensor]).ravel())
        stacked = {k: np.stack(v) for k, v in answers.items()}
        np.savez(folder / f"{network}.npz", **stacked)  # type: ignore[arg-type]


def store(folder: Path) -> None:
    """The sampled answers into tests/golden."""
    golden = Path(__file__).parents[2] / "tests" / "golden"
    for network in SIZES:
        with np.load(folder / f"{network}.npz") as full:
            sampled = {k: v[:, sample_places(v.shape[1])] for k, v in full.items()}
        np.savez_compressed(golden / f"pose_{network}.npz", **sampled)


def main() -> None:
    """One of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for step in (prepare, interpret, store):
        parser.add_argument(f"--{step.__name__}", type=Path, metavar="DIR", help=step.__doc__)
    args = parser.parse_args()
    for step in (prepare, interpret, store):
        folder = getattr(args, step.__name__)
        if folder:
            step(folder)


if __name__ == "__main__":
    main()
