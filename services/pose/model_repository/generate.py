"""Writes Triton's model repository for pose profiles: ``config.pbtxt`` per network, and what serves it.

    python -m services.pose.model_repository.generate FOLDER [PROFILE...] [--target python]

Names, shapes and types are read from the ONNX files, batching is a table here; the targets differ in nothing else:

- ``python``: CPU. onnxruntime in the python backend (``model.py``).
- ``onnxruntime``: GPU. Triton's onnxruntime backend on CUDA.
- ``onnxruntime-tensorrt``: the same, its subgraphs compiled by TensorRT while loading; the ONNX file stays as it is.
- ``tensorrt``: Triton's TensorRT backend; wants ``1/model.plan``, made on the node by the command in ``config.pbtxt``.

A GPU's matrix units round float32 to 10 bits (TF32) unless told otherwise: start such a server with
``NVIDIA_TF32_OVERRIDE=0`` until keypoints have been compared.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import onnx
from google.protobuf import text_format
from onnx import TensorProto
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelWarmup  # type: ignore[import-untyped]

from services.common.errors import FormcheckError, ModelError
from services.pose.adapters.models import ensure_models, model_path
from services.pose.core.profiles import Network, Profile

INPUT = "crops"


class Target(StrEnum):
    """What serves the networks; see the module's docstring."""

    PYTHON = "python"
    ONNXRUNTIME = "onnxruntime"
    ONNXRUNTIME_TENSORRT = "onnxruntime-tensorrt"
    TENSORRT = "tensorrt"


@dataclass(frozen=True, slots=True)
class Batching:
    """How requests of many streams are put together.

    ``preferred``: sizes sent off at once; ``delay_us``: how long to wait for one. ``instances``: copies of the network
    (per GPU).

    There is no queue policy (longest queue, time-outs), on purpose: with one, this Triton's batcher looks at its queue
    only when an instance waits, nobody tells it when one does, and requests lie there for half a second
    (docs/decisions/0005-triton.md). What bounds the queue are the clients: in-flight limits, and deadlines, past which
    the server drops a request.
    """

    batch_max: int
    preferred: tuple[int, ...]
    delay_us: int
    instances: int


_CPU = Batching(batch_max=8, preferred=(), delay_us=0, instances=1)
"""A batch gains nothing on a CPU: what waits goes together, nobody is waited for; and a batch that takes long makes
the next one's frames late."""
_GPU = Batching(batch_max=64, preferred=(8, 16, 32), delay_us=2000, instances=2)
"""Two instances: one is fed while the other computes."""

BATCHING = {target: _CPU if target is Target.PYTHON else _GPU for target in Target}


@dataclass(frozen=True, slots=True)
class Tensor:
    """``kind``: ONNX's element type; ``dims`` without the batch."""

    name: str
    kind: int
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes into a network and what comes out, in this order."""

    input: Tensor
    outputs: tuple[Tensor, ...]

    @staticmethod
    def read(path: Path) -> "Signature":
        """The signature of an ONNX file.

        Raises:
            ModelError: it takes something else than a dynamic batch of uint8 crops, or gives no float32.
        """
        graph = onnx.load(str(path)).graph
        inputs = [_tensor(path, value) for value in graph.input]
        outputs = [_tensor(path, value) for value in graph.output]
        if [(t.name, t.kind, len(t.dims)) for t in inputs] != [(INPUT, TensorProto.UINT8, 3)]:
            raise ModelError(f"{path} must take one input, '{INPUT}' (N, S, S, 3) uint8, got {inputs}")
        if any(t.kind != TensorProto.FLOAT for t in outputs):
            raise ModelError(f"{path} must give float32 outputs only, got {outputs}")
        return Signature(inputs[0], tuple(outputs))


def _tensor(path: Path, value: onnx.ValueInfoProto) -> Tensor:
    shape = value.type.tensor_type.shape.dim
    if not shape or shape[0].HasField("dim_value") or not all(d.HasField("dim_value") for d in shape[1:]):
        raise ModelError(f"{value.name} of {path} must have a dynamic batch and otherwise fixed sizes")
    return Tensor(value.name, value.type.tensor_type.elem_type, tuple(d.dim_value for d in shape[1:]))


def configuration(name: str, signature: Signature, target: Target, *, threads: int = 0) -> ModelConfig:
    """Triton's configuration of one network.

    Args:
        threads: of the python backend per network; 0: as many as the server has cores.
    """
    batching = BATCHING[target]
    config = ModelConfig(name=name, backend=_backend(target), max_batch_size=batching.batch_max)
    config.input.add(name=signature.input.name, data_type=_type(signature.input), dims=signature.input.dims)
    for tensor in signature.outputs:
        config.output.add(name=tensor.name, data_type=_type(tensor), dims=tensor.dims)
    config.default_model_filename = {Target.PYTHON: "model.py", Target.TENSORRT: "model.plan"}.get(target, "model.onnx")
    gpu = target is not Target.PYTHON
    config.instance_group.add(kind="KIND_GPU" if gpu else "KIND_CPU", count=batching.instances)
    dynamic = config.dynamic_batching
    dynamic.preferred_batch_size.extend(batching.preferred)
    dynamic.max_queue_delay_microseconds = batching.delay_us
    if target is Target.PYTHON:
        config.parameters["threads"].string_value = str(threads)
    if target is Target.ONNXRUNTIME_TENSORRT:
        compiler = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
        compiler.parameters["precision_mode"] = "FP32"
        compiler.parameters["trt_engine_cache_enable"] = "true"
        compiler.parameters["trt_engine_cache_path"] = "/var/cache/tensorrt"
    if gpu:
        for size in sorted({1, *batching.preferred}):
            warm = config.model_warmup.add(name=f"batch of {size}", batch_size=size)
            crops = ModelWarmup.Input(data_type=_type(signature.input), dims=signature.input.dims, zero_data=True)
            warm.inputs[INPUT].CopyFrom(crops)
    return config


def _backend(target: Target) -> str:
    return "onnxruntime" if target is Target.ONNXRUNTIME_TENSORRT else target.value


def _type(tensor: Tensor) -> str:
    return "TYPE_UINT8" if tensor.kind == TensorProto.UINT8 else "TYPE_FP32"


def plan_command(name: str, signature: Signature) -> str:
    """The command that makes ``model.plan`` of the network's ONNX file, on the node that will serve it."""
    batching = BATCHING[Target.TENSORRT]
    crop = "x".join(map(str, signature.input.dims))
    sizes = {"min": 1, "opt": batching.preferred[-1], "max": batching.batch_max}
    shapes = " ".join(f"--{key}Shapes={INPUT}:{size}x{crop}" for key, size in sizes.items())
    return f"trtexec --onnx={name}.onnx --saveEngine=1/model.plan --noTF32 {shapes}"


def networks_of(profiles: Iterable[Profile]) -> list[Network]:
    """Each network of the profiles once."""
    return list(dict.fromkeys(net for profile in profiles for net in profile.networks))


def write(
    folder: Path, profiles: Sequence[Profile], target: Target = Target.PYTHON, *, threads: int = 0
) -> list[Network]:
    """Makes or renews the repository in ``folder``; networks of other profiles in it are left alone.

    Returns:
        The networks that it serves.
    Raises:
        ModelError: the model files cannot be had (they are fetched on first use), or the folder cannot be written.
    """
    where = {net: model_path(ensure_models(profile), net.name) for profile in profiles for net in profile.networks}
    try:
        for net, path in where.items():
            _write_one(folder / net.name, net.name, path, target, threads)
    except OSError as e:
        raise ModelError(f"cannot write Triton's model repository to {folder}: {e.strerror or e}") from e
    return list(where)


def _write_one(home: Path, name: str, model: Path, target: Target, threads: int) -> None:
    signature = Signature.read(model)
    version = home / "1"
    version.mkdir(parents=True, exist_ok=True)
    head = "# Made by services/pose/model_repository/generate.py; change that.\n"
    if target is Target.TENSORRT:
        head += f"# 1/model.plan, on the node: {plan_command(name, signature)}\n"
    else:
        _place(model, version / "model.onnx")
    if target is Target.PYTHON:
        _place(Path(__file__).with_name("model.py"), version / "model.py", copy=True)
    text = text_format.MessageToString(configuration(name, signature, target, threads=threads))
    part = home / f"config.{os.getpid()}.part"
    part.write_text(head + text)
    part.replace(home / "config.pbtxt")


def _place(source: Path, target: Path, *, copy: bool = False) -> None:
    """The file at another place too: the same one if the file system can, else a copy."""
    if not copy and target.exists() and target.samefile(source):
        return  # renaming one name of a file to another of its names does nothing, and leaves both
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        if copy:
            raise OSError
        os.link(source, part)
    except OSError:
        shutil.copyfile(source, part)
    part.replace(target)


def main(arguments: Sequence[str]) -> int:
    """Writes a repository; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("profiles", nargs="*", default=["movenet"])
    parser.add_argument("--target", type=Target, choices=list(Target), default=Target.PYTHON)
    parser.add_argument("--threads", type=int, default=0, help="python backend: per network; 0: one per core")
    args = parser.parse_args(arguments)
    try:
        profiles = [Profile.get(name) for name in args.profiles]
        for net in write(args.folder, profiles, args.target, threads=args.threads):
            print(args.folder / net.name)
    except FormcheckError as e:
        print(f"formcheck: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
