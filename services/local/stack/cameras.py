"""Test cameras for one machine: clips, looped and paced, behind a real RTSP server (``deploy/local/cameras``).

``python -m services.local.stack.cameras --cameras 4 [clip.mp4 …]`` runs them until Ctrl-C and prints their addresses.
"""

import argparse
import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.common.errors import ConfigError

ROOT: Final = Path(__file__).resolve().parents[3]
SERVER: Final = ROOT / "deploy" / "local" / "cameras" / "server.py"
DEMO: Final = ROOT / "assets" / "demo.mp4"
PACKAGES: Final = (
    "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
)
INSTALL: Final = f"apt-get install -y --no-install-recommends {PACKAGES}"
_MISSING: Final = 3  # exit status of server.py
_SYSTEM_PYTHON: Final = "/usr/bin/python3"


class TestCameras:
    """``count`` cameras on one server process; a context manager.

    Args:
        clips: H.264 .mp4 files, dealt out to the cameras in turn.
        hours: how long each clip is looped for a client, until the camera closes the connection.
        port: 0 = any free one; it stays the same over ``restart``.
        env: added to the server's environment.
    Raises:
        ConfigError: GStreamer's RTSP server or ffmpeg is missing (the sentence holds the command that installs it), a
            clip is missing, or the port is taken.
    """

    __test__ = False  # not a test, whatever pytest thinks of its name

    def __init__(
        self, count: int, clips: Sequence[Path] = (DEMO,), *, hours: float = 1.0, port: int = 0,
        user: str | None = None, password: str = "", env: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        if not SERVER.is_file():
            raise ConfigError(f"{SERVER} is missing: test cameras are started from a checkout of the repository")
        self._folder = tempfile.TemporaryDirectory(prefix="formcheck-cameras-")
        self._log = Path(self._folder.name) / "server.log"
        self._process: subprocess.Popen[str] | None = None
        self._user, self._password = user, password
        self._env = dict(env or {})
        self.port = port
        try:
            looped = [_loop(clip, Path(self._folder.name) / f"{i}.mp4", hours) for i, clip in enumerate(clips)]
            self._mounts = {f"camera{n + 1}": looped[n % len(looped)] for n in range(count)}
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def uris(self) -> list[str]:
        login = f"{self._user}:{self._password}@" if self._user else ""
        return [f"rtsp://{login}127.0.0.1:{self.port}/{name}" for name in self._mounts]

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the cameras are not running")
        return self._process.pid

    def start(self, timeout_s: float = 30.0) -> None:
        """Start the server (again, after ``kill``)."""
        command = [_SYSTEM_PYTHON, str(SERVER), "--port", str(self.port)]
        for name, path in self._mounts.items():
            command += ["--mount", f"{name}={path}"]
        if self._user:
            command += ["--user", self._user, "--password", self._password]
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    command, env=os.environ | self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                    text=True, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise ConfigError(f"test cameras need {_SYSTEM_PYTHON} ({error.strerror}); install: {INSTALL}") from error
        self.port = self._await_ready(timeout_s)

    def _await_ready(self, timeout_s: float) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(timeout_s) else ""
        if line.startswith("ready "):
            return int(line.split()[1])
        code = self._process.poll()
        if code is None and line == "":
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(1.0)  # it has closed its output: it is about to end
        self.kill()
        said = " ".join(self._log.read_text(errors="replace").split())[-300:]
        if code == _MISSING:
            raise ConfigError(f"test cameras need GStreamer's RTSP server ({said}); install it: {INSTALL}")
        raise ConfigError(f"the test cameras do not start: {said or f'no answer within {timeout_s:.0f} s'}")

    def signal(self, number: signal.Signals) -> None:
        """Send the server a signal: SIGSTOP = all cameras stall, SIGKILL = they are gone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.kill()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _loop(clip: Path, out: Path, hours: float) -> Path:
    """The clip again and again, not encoded anew."""
    if not clip.is_file():
        raise ConfigError(f"{clip}: no such clip for a test camera; check the path")
    if shutil.which("ffmpeg") is None:
        raise ConfigError("test cameras need the ffmpeg program; install it: apt-get install -y ffmpeg")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-stream_loop", "-1", "-i", str(clip), "-an", "-c", "copy"]
    command += ["-t", f"{hours * 3600:.0f}", "-movflags", "+faststart", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"{clip}: cannot be looped for a test camera ({' '.join(done.stderr.split())[-200:]})")
    return out


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("clips", nargs="*", type=Path, default=[DEMO])
    arguments.add_argument("--cameras", type=int, default=1)
    arguments.add_argument("--port", type=int, default=8554)
    options = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with TestCameras(options.cameras, options.clips, port=options.port) as cameras:
            print(*cameras.uris, sep="\n", flush=True)
            while True:
                time.sleep(3600)
    except ConfigError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
