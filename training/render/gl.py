"""The OpenGL context: EGL without a display; Mesa's software rasteriser is enough."""

import contextlib
from collections.abc import Iterator

import moderngl

from services.common.errors import ConfigError

PACKAGES = "libegl1 libgl1 libgl1-mesa-dri"


def open_context() -> moderngl.Context:
    """A standalone context.

    Raises:
        ConfigError: this machine has no OpenGL 3.3 through EGL; names the Debian packages that give it.
    """
    try:
        return moderngl.create_context(standalone=True, backend="egl", require=330)  # type: ignore[arg-type]
    except Exception as error:  # the loader raises bare Exceptions of several kinds
        raise ConfigError(
            f"The renderer needs OpenGL 3.3 through EGL ({str(error).strip() or type(error).__name__}): "
            f"install the Debian packages {PACKAGES}"
        ) from error


@contextlib.contextmanager
def context() -> Iterator[moderngl.Context]:
    opened = open_context()
    try:
        yield opened
    finally:
        opened.release()
