"""Which files may be read: those in the folders that the operator has named, and no others."""

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.common.errors import ConfigError
from services.ingest.core.streams import StreamSpec, check_spec, uri_scheme, without_password


def checker(folders: Sequence[Path]) -> Callable[[StreamSpec], None]:
    """A check of specs that also keeps files within ``folders``: whoever may add streams must not read, through their
    pictures, what else lies on this machine. Links are followed before it is decided.

    The check raises ConfigError with a sentence that names the stream and the fix.
    """
    roots = tuple(Path(folder).resolve() for folder in folders)

    def check(spec: StreamSpec) -> None:
        check_spec(spec)
        if spec.live:
            return
        scheme = uri_scheme(spec.uri)
        if scheme not in ("", "file"):
            raise ConfigError(
                f"stream {spec.name}: a file is given by its path, not as {without_password(spec.uri)}; "
                "download it into an allowed folder first, or add it as a camera (mode live)"
            )
        text = unquote(urlsplit(spec.uri).path) if scheme else spec.uri
        try:
            path = Path(text).resolve()
            allowed = Path(text).is_absolute() and any(path.is_relative_to(root) for root in roots)
        except (OSError, ValueError, RuntimeError):
            allowed = False
        if not allowed:
            raise ConfigError(
                f"stream {spec.name}: {text} lies outside the folders whose files may be read "
                f"({', '.join(map(str, roots))}); move it there, or name its folder in FORMCHECK_INGEST_FILE_FOLDERS"
            )

    return check
