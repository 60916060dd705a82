"""Secrets never reach a log: passwords and tokens are cut out of whatever is written."""

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "***"

# People write RTSP passwords with unescaped "/", "@" and ":", so everything up to the last "@" of the word goes.
_USER_INFO = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*://)[^\s'\"<>\\]*@")
_NAMES: Final = r"(?:passw(?:or)?d|passwd|pwd|secret|token|credential|api_?key|access_?key|private_?key|signature)"
_QUERY = re.compile(rf"([?&;][^=&\s]*(?:{_NAMES}|pass|key|sig|auth)[^=&\s]*=)[^&\s'\"<>\\]+", re.IGNORECASE)
_PAIR = re.compile(rf"(\b\w*{_NAMES}\w*['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s,;&'\")\]}}]+)", re.IGNORECASE)
_SCHEME = re.compile(r"\b(Bearer|Basic|Digest)\s+[A-Za-z0-9._~+/=\-]{6,}", re.IGNORECASE)
_SECRET_NAME = re.compile(rf"{_NAMES}|^pass$|^authorization$|^cookie$", re.IGNORECASE)


def redact(text: str) -> str:
    """``text`` without user info of URLs, secret query parameters, ``password=…`` pairs and authorisation headers."""
    text = _USER_INFO.sub(rf"\1{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    text = _PAIR.sub(rf"\1{HIDDEN}", text)
    return _SCHEME.sub(rf"\1 {HIDDEN}", text)


def redact_value(value: Any, name: str = "") -> Any:
    """The same for a value of a log line, into mappings and lists; a value whose ``name`` is a secret's goes whole."""
    if name and _SECRET_NAME.search(name):
        return HIDDEN if value else value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "replace"))
    if isinstance(value, Mapping):
        return {k: redact_value(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(v) for v in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))
