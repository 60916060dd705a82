"""Triton's model repository says of each network what its ONNX file says."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInstanceGroup

from services.common.errors import ModelError
from services.pose.adapters.models import ensure_models, model_path
from services.pose.core.profiles import PROFILES, Network, Profile
from services.pose.model_repository import generate
from services.pose.model_repository.generate import Signature, Target

ALL = list(PROFILES.values())
NETWORKS = generate.networks_of(ALL)
KINDS = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}
Said = tuple[str, str, list[int]]


def parsed(folder: Path, network: str) -> ModelConfig:
    return text_format.Parse((folder / network / "config.pbtxt").read_text(), ModelConfig())


@pytest.fixture(scope="module")
def onnx_says() -> dict[str, tuple[list[Said], list[Said]]]:
    """Per network what onnxruntime reads from its file."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    found = {}
    for profile in ALL:
        folder = ensure_models(profile)
        for net in profile.networks:
            session = ort.InferenceSession(model_path(folder, net.name), options, providers=["CPUExecutionProvider"])
            found[net.name] = tuple(
                [(v.name, KINDS[v.type], v.shape[1:]) for v in values]
                for values in (session.get_inputs(), session.get_outputs())
            )
    return found


@pytest.fixture(scope="module", params=list(Target))
def target(request: pytest.FixtureRequest) -> Target:
    return request.param


@pytest.fixture(scope="module")
def repository(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    assert generate.write(folder, ALL, target, threads=3) == NETWORKS
    return folder


@pytest.mark.parametrize("net", NETWORKS, ids=lambda net: net.name)
def test_configuration_is_that_of_the_onnx_file(
    repository: Path, net: Network, onnx_says: dict[str, tuple[list[Said], list[Said]]]
) -> None:
    config = parsed(repository, net.name)
    assert config.name == net.name
    inputs, outputs = (
        [(v.name, DataType.Name(v.data_type), list(v.dims)) for v in values] for values in (config.input, config.output)
    )
    assert (inputs, outputs) == onnx_says[net.name]
    assert inputs == [("crops", "TYPE_UINT8", [net.size_px, net.size_px, 3])]


def test_batching_is_dynamic_without_a_queue_policy(repository: Path, target: Target) -> None:
    for net in NETWORKS:
        config = parsed(repository, net.name)
        batching = config.dynamic_batching
        assert config.WhichOneof("scheduling_choice") == "dynamic_batching"
        assert config.max_batch_size >= max(batching.preferred_batch_size, default=1)
        assert not batching.HasField("default_queue_policy")
        assert (len(batching.preferred_batch_size) > 0) == (target is not Target.PYTHON)
        assert (batching.max_queue_delay_microseconds > 0) == (target is not Target.PYTHON)


def test_each_target_has_what_it_runs(repository: Path, target: Target) -> None:
    folder = ensure_models(Profile.get("movenet"))
    name = "movenet_lightning_single"
    config = parsed(repository, name)
    group = config.instance_group[0]
    files = {p.name for p in (repository / name / "1").iterdir()}
    if target is Target.PYTHON:
        assert (config.backend, files) == ("python", {"model.py", "model.onnx"})
        assert config.parameters["threads"].string_value == "3"
        assert group.kind == ModelInstanceGroup.KIND_CPU
    else:
        assert group.kind == ModelInstanceGroup.KIND_GPU
        assert {w.batch_size for w in config.model_warmup} == {1, *config.dynamic_batching.preferred_batch_size}
    if target is Target.TENSORRT:
        assert (config.backend, config.default_model_filename, files) == ("tensorrt", "model.plan", set())
        text = (repository / name / "config.pbtxt").read_text()
        assert f"--maxShapes=crops:{config.max_batch_size}x192x192x3" in text
        assert "--noTF32" in text
    elif target is not Target.PYTHON:
        assert (config.backend, files) == ("onnxruntime", {"model.onnx"})
        compilers = config.optimization.execution_accelerators.gpu_execution_accelerator
        assert [c.name for c in compilers] == (["tensorrt"] if target is Target.ONNXRUNTIME_TENSORRT else [])
        assert all(c.parameters["precision_mode"] == "FP32" for c in compilers)
    if target is not Target.TENSORRT:
        assert (repository / name / "1" / "model.onnx").read_bytes() == model_path(folder, name).read_bytes()


def test_writing_again_gives_the_same_files(tmp_path: Path) -> None:
    profile = Profile.get("movenet")
    first, second = ({p: p.read_bytes() for p in _written(tmp_path, profile)} for _ in range(2))
    assert first == second
    assert len(first) == 2 * 3
    generate.write(tmp_path, [profile], threads=2)
    assert parsed(tmp_path, "movenet_lightning").parameters["threads"].string_value == "2"


def _written(folder: Path, profile: Profile) -> list[Path]:
    generate.write(folder, [profile])
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _model(path: Path, kind: int, shape: list[int | str], out: int = TensorProto.FLOAT) -> Path:
    given = helper.make_tensor_value_info("crops", kind, shape)
    got = helper.make_tensor_value_info("people", out, shape)
    graph = helper.make_graph([helper.make_node("Cast", ["crops"], ["people"], to=out)], "g", [given], [got])
    onnx.save(helper.make_model(graph), path)
    return path


def test_a_signature_is_read_from_any_fitting_network(tmp_path: Path) -> None:
    path = _model(tmp_path / "own.onnx", TensorProto.UINT8, ["N", 64, 64, 3])
    signature = Signature.read(path)
    assert signature.input.dims == (64, 64, 3)
    assert [(t.name, t.dims) for t in signature.outputs] == [("people", (64, 64, 3))]
    assert "--minShapes=crops:1x64x64x3" in generate.plan_command("own", signature)


@pytest.mark.parametrize(
    ("kind", "shape", "out", "says"),
    [
        (TensorProto.FLOAT, ["N", 64, 64, 3], TensorProto.FLOAT, "uint8"),
        (TensorProto.UINT8, [1, 64, 64, 3], TensorProto.FLOAT, "dynamic batch"),
        (TensorProto.UINT8, ["N", "H", 64, 3], TensorProto.FLOAT, "dynamic batch"),
        (TensorProto.UINT8, ["N", 64, 64, 3], TensorProto.DOUBLE, "float32 outputs"),
    ],
)
def test_other_networks_are_refused_in_words(
    tmp_path: Path, kind: int, shape: list[int | str], out: int, says: str
) -> None:
    with pytest.raises(ModelError, match=rf"own\.onnx.*{says}|{says}.*own\.onnx") as e:
        Signature.read(_model(tmp_path / "own.onnx", kind, shape, out))
    assert "\n" not in str(e.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match=r"cannot write .*file"):
        generate.write(tmp_path / "file", [Profile.get("movenet")])


def test_command_line_writes_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main([str(tmp_path), "blazepose", "--target", "onnxruntime"]) == 0
    printed = capsys.readouterr().out.split()
    assert printed == [str(tmp_path / "blazepose_full"), str(tmp_path / "blazepose_detector")]
    assert np.all([(Path(p) / "config.pbtxt").is_file() for p in printed])
    assert generate.main([str(tmp_path), "openpose"]) == 1
    assert "unknown pose profile 'openpose'" in capsys.readouterr().err
