"""What a reader process and its supervisor say to each other: a JSON header and raw bytes, over a Unix socket.

No pickles: a reader parses what strangers' cameras send, and is not trusted by the process that started it.
"""

import json
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any, Final

_PREFIX: Final = struct.Struct("<II")  # lengths of header and body
MOST_HEADER_BYTES: Final = 64 << 10
MOST_BODY_BYTES: Final = 16 << 20

Header = dict[str, Any]


class WireError(Exception):
    """The other side does not keep to the protocol."""


def pack(header: Header, body: bytes = b"") -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    return _PREFIX.pack(len(text), len(body)) + text + body


class Inbox:
    """Takes bytes as they come, gives whole messages. Holds at most one unfinished one."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Header, bytes]]:
        """Raises: WireError: a length is out of bounds, or a header is no JSON object."""
        self._data += data
        while len(self._data) >= _PREFIX.size:
            header_bytes, body_bytes = _PREFIX.unpack_from(self._data)
            if header_bytes > MOST_HEADER_BYTES or body_bytes > MOST_BODY_BYTES:
                raise WireError(f"a message of {header_bytes} + {body_bytes} bytes")
            end = _PREFIX.size + header_bytes + body_bytes
            if len(self._data) < end:
                return
            text = bytes(self._data[_PREFIX.size : _PREFIX.size + header_bytes])
            body = bytes(self._data[_PREFIX.size + header_bytes : end])
            del self._data[:end]
            try:
                header = json.loads(text)
            except ValueError as error:
                raise WireError("a header that is no JSON") from error
            if not isinstance(header, dict):
                raise WireError("a header that is no object")
            yield header, body


class Link:
    """The reader's end: blocking, used by several threads."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lock = threading.Lock()

    def send(self, header: Header, body: bytes = b"") -> None:
        """Raises: OSError: the supervisor is gone."""
        with self._lock:
            self._socket.sendall(pack(header, body))

    def messages(self) -> Iterator[Header]:
        """What the supervisor says, until it is gone."""
        inbox = Inbox()
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            for header, _ in inbox.feed(data):
                yield header
