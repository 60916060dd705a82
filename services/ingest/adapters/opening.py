"""Opening a source, and saying in one sentence why it cannot be opened."""

import math
import os
import stat
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from services.common.errors import InputError

OPEN_TIMEOUT_S = 15.0
READ_TIMEOUT_S = 15.0
MIN_SIDE_PX = 16
MAX_PIXELS = 8192 * 4608
"""A little over 8K. Larger pictures do not fit the memory bound and do not come from cameras."""
MAX_DURATION_S = 7 * 24 * 3600.0
MAX_FPS = 1000.0

_SCHEMES = {"http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt"}
_NOT_VIDEO_FORMATS = {"tty", "txd", "ico", "image2", "concat", "ffmetadata", "bin", "xbin", "adf", "idf", "cdg", "fits"}
_PLAYLIST_FORMATS = {"hls", "dash", "sdp", "rtsp"}
_TEXT_ART_CODECS = {"ansi", "bintext", "xbin", "idf"}
_MAGIC = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
)
_HEIF_BRANDS = {b"heic", b"heix", b"mif1", b"avif"}


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source says of itself, made sane. Sizes are those of a delivered picture: rotated, square pixels.

    ``fps`` is the average rate; ``duration_s`` is None where it is unknown (streams, broken headers).
    ``rotation_deg``: clockwise turn that was applied, one of 0, 90, 180, 270; ``mirrored``: and a flip before it.
    """

    uri: str
    duration_s: float | None
    fps: float
    width_px: int
    height_px: int
    rotation_deg: int = 0
    mirrored: bool = False
    codec: str = ""
    container: str = ""
    pixel_format: str = ""
    has_audio: bool = False


def one_line(text: str) -> str:
    return " ".join(text.split())


def display_name(uri: str) -> str:
    """The source as it is named to people: never with a password in it."""
    if is_url(uri):
        parts = urlsplit(uri)
        if parts.username or parts.password:
            uri = uri.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)
    return one_line(uri)


def is_url(uri: str) -> bool:
    scheme, separator, _ = uri.partition("://")
    return bool(separator) and scheme.isascii() and scheme.replace("+", "").isalnum()


def open_source(uri: str) -> InputContainer:
    """Open a file or URL for reading.

    Raises:
        InputError: one sentence that names the source and the fix.
    """
    name = display_name(uri)
    if is_url(uri) and not uri.lower().startswith("file://"):
        return _open_url(uri, name)
    path = Path(unquote(urlsplit(uri).path)) if is_url(uri) else Path(uri)
    _check_file(path, name)
    try:
        container = av.open(
            f"file:{path}", metadata_errors="replace", options={"protocol_whitelist": "file,crypto,data"}
        )
    except (av.FFmpegError, ValueError) as error:
        raise InputError(_why_not(path, name, error)) from error
    return _check_format(container, name, path)


def _open_url(uri: str, name: str) -> InputContainer:
    scheme = uri.partition("://")[0].lower()
    if scheme not in _SCHEMES:
        raise InputError(f"{name}: unknown kind of URL '{scheme}'; use one of {', '.join(sorted(_SCHEMES))}")
    options = {"rtsp_transport": "tcp"} if scheme.startswith("rtsp") else {}
    try:
        container = av.open(uri, metadata_errors="replace", options=options, timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S))
    except (av.FFmpegError, ValueError) as error:
        reason = one_line(getattr(error, "strerror", None) or str(error)).rstrip(".")
        if isinstance(error, av.error.ExitError):
            reason = f"no answer within {OPEN_TIMEOUT_S:.0f} s"
        raise InputError(f"{name}: cannot be opened ({reason}); check the address and the network") from error
    return _check_format(container, name, None)


def _check_file(path: Path, name: str) -> None:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise InputError(f"{name}: no permission to read it; change its permissions") from error
        if isinstance(error, FileNotFoundError):
            raise InputError(f"{name}: no such file; check the path") from error
        raise InputError(f"{name}: cannot be read; check the path") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{name}: is a folder, not a video; name a video file in it")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name}: is not a regular file; copy the video into a file first")
    if status.st_size == 0:
        raise InputError(f"{name}: the file is empty (0 bytes); copy or record it again")
    if not os.access(path, os.R_OK):
        raise InputError(f"{name}: no permission to read it; change its permissions")
    kind = _sniff(path)
    if kind is not None:
        raise InputError(f"{name}: is {kind}, not a video; give a video file such as .mp4, .mov or .mkv")


def _head(path: Path, size: int = 4096) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def _sniff(path: Path) -> str | None:
    head = _head(path, 512)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "a HEIF picture"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP picture"
    return None


def _is_text(path: Path) -> bool:
    head = _head(path)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode("utf-8")
    return all(c.isprintable() or c in "\r\n\t\f\x1b" for c in text)


def _why_not(path: Path, name: str, error: Exception) -> str:
    head = _head(path)
    if _is_text(path):
        return f"{name}: is a text file, not a video; give a video file such as .mp4, .mov or .mkv"
    if b"ftyp" in head[:16] or head[4:8] in {b"mdat", b"moov", b"wide", b"free"}:
        return (
            f"{name}: the recording is incomplete (its index, the moov atom, is missing or broken); "
            "copy it again or record it anew"
        )
    if isinstance(error, av.error.InvalidDataError):
        return f"{name}: is not a video that can be read; give a video file such as .mp4, .mov or .mkv"
    if isinstance(error, av.error.EOFError):
        return f"{name}: the file ends before its first picture; copy or record it again"
    reason = one_line(getattr(error, "strerror", None) or str(error)).rstrip(".")
    return f"{name}: cannot be read as a video ({reason}); convert it to .mp4 or record it again"


def _check_format(container: InputContainer, name: str, path: Path | None) -> InputContainer:
    """Refuse what FFmpeg opens but is no video: text art, pictures."""
    try:
        kind = container.format.name
        codecs = {s.codec_context.name for s in container.streams.video if s.codec_context is not None}
        if kind == "tty" or (path is not None and codecs & _TEXT_ART_CODECS):
            raise InputError(f"{name}: is a text file, not a video; give a video file such as .mp4, .mov or .mkv")
        if path is not None and kind in _PLAYLIST_FORMATS:
            raise InputError(f"{name}: is a playlist, not a video; give the video itself or the playlist's URL")
        if kind.endswith("_pipe") or kind in _NOT_VIDEO_FORMATS:
            raise InputError(f"{name}: is a still picture, not a video; give a video file such as .mp4 or .mov")
    except BaseException:
        container.close()
        raise
    return container


def choose_stream(container: InputContainer, name: str) -> VideoStream:
    """The video stream with the most pixels that is not a cover picture.

    Raises:
        InputError: there is none, or its size is out of bounds.
    """
    cover = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not (s.disposition & cover)]
    if not streams:
        if container.streams.audio or container.streams.video:
            raise InputError(f"{name}: holds only sound, no video; give a file with a picture track")
        raise InputError(f"{name}: holds no video track; give a file with a picture track")
    usable = [s for s in streams if s.codec_context is not None]
    if not usable:
        raise InputError(f"{name}: its video format cannot be decoded; convert it to H.264 .mp4")
    stream = max(usable, key=lambda s: s.codec_context.width * s.codec_context.height)
    check_size(stream.codec_context.width, stream.codec_context.height, name)
    return stream


def check_size(width_px: int, height_px: int, name: str) -> None:
    """Raises InputError where a picture is too small to show a person or too large for the memory bound."""
    if width_px <= 0 or height_px <= 0:
        raise InputError(f"{name}: no picture can be decoded from it; copy or record it again")
    if min(width_px, height_px) < MIN_SIDE_PX:
        raise InputError(
            f"{name}: the picture is only {width_px}x{height_px} px; "
            f"record with at least {MIN_SIDE_PX} px a side (360 or more for good results)"
        )
    if width_px * height_px > MAX_PIXELS:
        raise InputError(f"{name}: the picture of {width_px}x{height_px} px is larger than 8K; scale it down first")


def declared_duration_s(container: InputContainer, stream: VideoStream) -> tuple[float | None, bool]:
    """How long the video says it is (s), and whether that is of the video track itself (else of the whole file)."""
    if stream.duration is not None and stream.time_base:
        own = sane_duration_s(float(stream.duration * stream.time_base))
        if own is not None:
            return own, True
    if container.duration is None:
        return None, False
    return sane_duration_s(container.duration / av.time_base), False


def sane_duration_s(duration_s: float) -> float | None:
    return duration_s if math.isfinite(duration_s) and 0 < duration_s <= MAX_DURATION_S else None


def sane_fps(stream: VideoStream, step_s: float | None) -> float:
    """The average frame rate; ``step_s``, the first two frames' distance, decides where the header is absurd."""
    rates: list[Fraction | None] = [stream.average_rate, stream.guessed_rate, stream.base_rate]
    for rate in rates:
        if rate is not None and rate > 0 and float(rate) < MAX_FPS:
            return float(rate)
    if step_s is not None and 1 / MAX_FPS < step_s <= 60:
        return 1 / step_s
    return 30.0
