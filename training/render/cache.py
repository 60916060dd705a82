"""Where rendered files lie between runs: a folder per version of the code that makes them."""

import hashlib
import shutil
import time
from functools import lru_cache
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]
_KEPT_DAYS: Final = 7
_SOURCES: Final = ("training/render", "training/simulator")


@lru_cache(maxsize=1)
def version() -> str:
    """Twelve hex digits that change with the source of renderer or simulator."""
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((_ROOT / folder).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def rendered_folder(name: str) -> Path:
    """``.cache/rendered/<version>/<name>`` of the repository, made if need be; versions not used for a week go."""
    root = _ROOT / ".cache" / "rendered"
    folder = root / version() / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.parent.touch()
    for other in root.iterdir():
        if other.name != version() and time.time() - other.stat().st_mtime > _KEPT_DAYS * 86400:
            shutil.rmtree(other, ignore_errors=True)
    return folder
