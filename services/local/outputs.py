"""Files that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.common.errors import InputError


@contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """A scratch folder inside ``folder``; on success each file in it is renamed into ``folder``, on any error
    (Ctrl-C too) all of it is removed, and ``folder`` with it if it was made here and is empty.

    Raises:
        InputError: ``folder`` cannot be made or written.
    """
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    except OSError as e:
        raise InputError(f"{folder}: cannot write results there ({e.strerror}); choose another --out") from e
    done = False
    try:
        yield scratch
        for path in sorted(scratch.iterdir()):
            path.replace(folder / path.name)
        done = True
    except OSError as e:
        raise InputError(f"{e.filename or folder}: cannot write results ({e.strerror or e})") from e
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if not done:
            for path in made:
                try:
                    path.rmdir()
                except OSError:
                    break


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` by rename.

    Raises:
        InputError: the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
    except OSError as e:
        raise InputError(f"{path}: cannot be written ({e.strerror}); choose another place") from e
    scratch = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as f:
            f.write(text)
        scratch.chmod(0o666 & ~_umask())
        scratch.replace(path)
    except OSError as e:
        raise InputError(f"{path}: cannot be written ({e.strerror}); choose another place") from e
    finally:
        scratch.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
