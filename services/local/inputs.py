"""What a person may write where a command takes INPUT: files, globs, folders, URLs."""

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.common.errors import InputError

_SUFFIXES = ".mp4 .m4v .mov .avi .mkv .webm .gif .ts .mts .m2ts .mpg .mpeg .3gp .flv .wmv .ogv .mjpeg .mjpg .h264 .hevc"
VIDEO_SUFFIXES = frozenset(_SUFFIXES.split(" "))


@dataclass(frozen=True, slots=True)
class Inputs:
    """``uris`` in the order given, each once. ``many``: results go to a folder per input."""

    uris: tuple[str, ...]
    many: bool


def is_url(text: str) -> bool:
    """Whether ``text`` names something FFmpeg opens by a protocol rather than a local file."""
    return "://" in text


def expand(arguments: Sequence[str]) -> Inputs:
    """Files, globs and folders (searched below) to a list of inputs.

    Raises:
        InputError: an argument names nothing, or a folder holds no videos.
    """
    uris: list[str] = []
    many = len(arguments) > 1
    for argument in arguments:
        path = Path(argument)
        if is_url(argument) or path.is_file():
            uris.append(argument)
        elif path.is_dir():
            many = True
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
            if not found:
                raise InputError(f"{argument}: the folder holds no videos ({_SUFFIXES})")
            uris += map(str, found)
        elif glob.has_magic(argument):
            many = True
            matches = sorted(m for m in glob.glob(argument, recursive=True) if Path(m).is_file())  # noqa: PTH207 - patterns may be absolute
            if not matches:
                raise InputError(f"{argument}: no file matches the pattern")
            uris += matches
        elif path.exists():
            raise InputError(f"{argument}: neither a file nor a folder; give a video file")
        else:
            raise InputError(f"{argument}: no such file or folder; check the path")
    return Inputs(tuple(dict.fromkeys(uris)), many)


def stem_of(uri: str) -> str:
    """A folder name for the results of ``uri``."""
    name = Path(urlsplit(uri).path).stem if is_url(uri) else Path(uri).stem
    return name or "stream"


def out_folders(inputs: Inputs, out: Path) -> list[Path]:
    """One folder per input: ``out`` itself for a single one, else ``out/<stem>``, numbered where stems repeat."""
    if not inputs.many:
        return [out]
    seen: Counter[str] = Counter()
    folders = []
    taken: set[Path] = set()
    for uri in inputs.uris:
        stem = stem_of(uri)
        seen[stem] += 1
        folder = out / (stem if seen[stem] == 1 else f"{stem}-{seen[stem]}")
        while folder in taken:
            seen[stem] += 1
            folder = out / f"{stem}-{seen[stem]}"
        taken.add(folder)
        folders.append(folder)
    return folders
