"""Where rendered files lie between runs: a folder per version of the code that makes them."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]
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
    """``.cache/rendered/<version>/<name>`` of the repository, made if need be."""
    folder = _ROOT / ".cache" / "rendered" / version() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
