"""Triton's server and python backend: fetched once with the ordinary client, checked, and kept in the cache."""

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from services.common.errors import ConfigError
from services.pose.adapters.models import cache_dir

PACKAGE = "nvidia-pytriton==0.7.0"
"""Carries Triton 2.51.0 with its python backend."""
SHA256 = "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df"
"""Of the wheel for x86-64 Linux."""
SIZE_MB = 55
FETCH_TIMEOUT_S = 900
ROOT = Path(__file__).resolve().parents[3]


def ensure_server() -> Path:
    """The folder with ``bin/tritonserver`` and ``backends``; fetches and unpacks it on first use.

    Safe when several processes do it at once: one works, the others wait; the folder appears by rename.

    Raises:
        ConfigError: there is neither uv nor pip, or the package cannot be fetched, is not the pinned one, does not
            hold what it should, or cannot be kept.
    """
    home = cache_dir() / "triton" / f"{PACKAGE.replace('==', '-')}-{SHA256[:12]}"
    server = home / "pytriton" / "tritonserver"
    if home.is_dir():
        return server
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with (home.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it if this process dies
            if not home.is_dir():
                _make(home)
    except OSError as e:
        raise ConfigError(
            f"cannot keep Triton in {cache_dir()}: {e.strerror or e}; set FORMCHECK_CACHE to a writable folder"
        ) from e
    return server


def _make(home: Path) -> None:
    print(f"formcheck: fetching {PACKAGE} ({SIZE_MB} MB, once) …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="formcheck-") as folder:
        unpacked = Path(folder) / "wheel"
        _fetch(Path(folder), unpacked)
        part = home.with_name(f"{home.name}.{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            _pick(unpacked, part)
            part.rename(home)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _fetch(folder: Path, target: Path) -> None:
    """The wheel, unpacked into ``target``; no environment is touched."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(target), "-r", str(wanted)]
    quiet = {"UV_NO_CACHE": "1", "PIP_NO_CACHE_DIR": "1", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            [*_client(), *options],
            cwd=folder,
            env={**os.environ, **quiet},
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"cannot fetch {PACKAGE}: it took longer than {FETCH_TIMEOUT_S} s") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-300:] or f"exit code {done.returncode}"
        raise ConfigError(
            f"cannot fetch {PACKAGE} with SHA-256 {SHA256[:12]}… ({said}): check the network and the package index's "
            f"setting, or copy {cache_dir() / 'triton'} from a machine that has it"
        )


def _client() -> list[str]:
    """How to call uv (the one that runs this, the machine's, the repository's) or this Python's pip."""
    uv = os.environ.get("UV") or shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".tools" / "bin"))
    if uv:
        return [uv, "pip", "install", "--python", sys.executable]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"]
    raise ConfigError("Triton is fetched with uv or pip, and there is neither: install uv (pip install uv)")


def _pick(wheel: Path, target: Path) -> None:
    """What a server with python models needs, and no more; binaries find libraries by their places in the wheel."""
    source, server = wheel / "pytriton" / "tritonserver", target / "pytriton" / "tritonserver"
    backend = server / "backends" / "python"
    try:
        shutil.copytree(source / "bin", server / "bin")
        shutil.copytree(source / "backends" / "python", backend)
        stub = source / "python_backend_stubs" / "3.11" / "triton_python_backend_stub"
        shutil.copy(stub, backend / stub.name)
        libraries = "nvidia_pytriton.libs"
        shutil.copytree(wheel / libraries, target / libraries, ignore=shutil.ignore_patterns("libpython*"))
    except (shutil.Error, FileNotFoundError) as e:
        raise ConfigError(f"{PACKAGE} does not hold what it should: {e}") from e
