"""Opening cameras, and telling in a word and a sentence why one does not answer."""

import time
from typing import Final

import av
from av.container import InputContainer

from services.common.errors import InputError
from services.ingest.adapters.opening import one_line
from services.ingest.core.lifecycle import End, Outcome
from services.ingest.core.streams import Transport, uri_scheme, without_password

OPEN_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 5.0
_PROTOCOLS: Final = {
    "rtsp": "rtsp,rtp,srtp,tcp,udp",
    "rtsps": "rtsps,rtsp,rtp,srtp,tls,tcp,udp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "http": "http,https,httpproxy,tls,tcp,crypto,data",
    "https": "http,https,httpproxy,tls,tcp,crypto,data",
    "udp": "udp,rtp",
    "rtp": "rtp,srtp,udp",
    "srt": "srt,udp",
    "tcp": "tcp",
}
"""What a source may make FFmpeg open: never this machine's files, whatever a playlist says."""


class ReaderEnd(Exception):  # noqa: N818 - an end is not always an error
    """A reader is done; ``end`` says how."""

    def __init__(self, end: End) -> None:
        super().__init__(end.detail)
        self.end = end


def options(uri: str, transport: Transport) -> dict[str, str]:
    """FFmpeg's options for a camera: little delay, little probing, no way to local files."""
    scheme = uri_scheme(uri)
    found = {
        "protocol_whitelist": _PROTOCOLS.get(scheme, "tcp"),
        "fflags": "discardcorrupt",  # not nobuffer: it throws the first key frame away, and the next is seconds off
        "analyzeduration": "1000000",
        "fpsprobesize": "0",
        "probesize": "1000000",
    }
    if scheme in ("rtsp", "rtsps"):
        found["rtsp_transport"] = transport.value
        found["allowed_media_types"] = "video"
        if transport is Transport.UDP:
            found |= {"buffer_size": str(4 << 20), "max_delay": "300000", "reorder_queue_size": "500"}
    if scheme in ("http", "https"):
        found["reconnect"] = "0"
    return found


def open_camera(
    uri: str, transport: Transport, open_timeout_s: float = OPEN_TIMEOUT_S, read_timeout_s: float = READ_TIMEOUT_S
) -> InputContainer:
    """Connect, always with time-outs.

    Raises:
        ReaderEnd: it cannot be opened.
    """
    started_s = time.monotonic()
    try:
        container = av.open(
            uri, metadata_errors="replace", options=options(uri, transport), timeout=(open_timeout_s, read_timeout_s)
        )
    except (av.FFmpegError, ValueError) as error:
        waited_s = time.monotonic() - started_s
        raise ReaderEnd(explain(error, uri, opening=True, waited_s=waited_s, timeout_s=open_timeout_s)) from error
    if not isinstance(container, InputContainer):
        raise ReaderEnd(End(Outcome.FATAL, "no_video", f"{without_password(uri)}: cannot be read from"))
    return container


_LOST: Final = Outcome.LOST
_FATAL: Final = Outcome.FATAL
_KINDS: Final[tuple[tuple[type[Exception], Outcome, str, str], ...]] = (
    (av.error.HTTPUnauthorizedError, _FATAL, "unauthorized", "the camera refuses the user name or password"),
    (av.error.HTTPForbiddenError, _FATAL, "forbidden", "the camera does not allow it"),
    (av.error.HTTPNotFoundError, _LOST, "not_found", "the camera answers, but has no such stream"),
    (av.error.HTTPClientError, _LOST, "refused_request", "the camera refuses the request"),
    (av.error.HTTPError, _LOST, "refused_request", "the camera answers with an error of its own"),
    (av.error.ProtocolNotFoundError, _FATAL, "unsupported", "this kind of address is not supported"),
    (av.error.DemuxerNotFoundError, _FATAL, "unsupported", "this kind of stream is not supported"),
    (av.error.DecoderNotFoundError, _FATAL, "unsupported", "its video format cannot be decoded"),
    (av.error.ConnectionRefusedError, _LOST, "refused", "nobody listens at this address"),
    (av.error.ConnectionResetError, _LOST, "reset", "the camera broke the connection"),
    (av.error.BrokenPipeError, _LOST, "reset", "the camera broke the connection"),
    (av.error.InvalidDataError, _LOST, "garbage", "what it sends is no video"),
    (av.error.EOFError, _LOST, "eof", "the camera closed the connection"),
)


def explain(error: Exception | None, uri: str, *, opening: bool, waited_s: float, timeout_s: float) -> End:
    """Why a camera cannot be opened or read. None: it came to an end.

    ``waited_s``: since the last thing heard of it. FFmpeg's protocols have many words for having been interrupted by
    a time-out; the clock tells them from others.
    """
    name = without_password(uri)
    if waited_s >= 0.95 * timeout_s or isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        what = "does not answer" if opening else "sends nothing any more"
        return End(_LOST, "timeout", f"{name}: {what} ({timeout_s:.0f} s)")
    if error is None:
        return End(Outcome.EOF, "eof", f"{name}: the camera closed the connection")
    for kind, outcome, reason, text in _KINDS:
        if isinstance(error, kind):
            return End(outcome, reason, f"{name}: {text}")
    text = one_line(getattr(error, "strerror", None) or str(error)).rstrip(".")
    return End(_LOST, "unreachable" if opening else "broken", f"{name}: {text}")


def no_video(error: InputError) -> End:
    return End(_FATAL, "no_video", str(error))
