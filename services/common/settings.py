"""What every service can be told, through environment variables ``FORMCHECK_<GROUP>_<NAME>``.

``load(PoseSettings)`` reads them; a value that cannot be used, or a misspelt name inside a group, gives one
ConfigError that names the variable and says what it should be.
"""

import re
import socket
import sys
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from services.common.errors import ConfigError
from services.common.telemetry.redact import redact

PREFIX: Final = "FORMCHECK_"
EXIT_BAD_SETTINGS: Final = 2
LOOPBACK: Final = "127.0.0.1"

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Host = Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9_.:\-]+$")]


class Group(BaseModel):
    """Settings that belong together; a name that is not one of them is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(Group):
    bootstrap: str = Field(
        default=f"{LOOPBACK}:9092",
        pattern=r"^[A-Za-z0-9_.\-]+:\d{1,5}(,[A-Za-z0-9_.\-]+:\d{1,5})*$",
        description="brokers as host:port, separated by commas",
    )
    prefix: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._\-]{0,100}$",
        description="what stands before every topic and group, of letters, digits and . _ -, to share a cluster",
    )
    instance: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._\-]{1,200}$",
        description="a name that no other replica has and that a restart keeps, of letters, digits and . _ -",
    )


class LogSettings(Group):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="how much is logged")
    format: Literal["json", "console"] = Field(default="json", description="json for machines, console for people")


class TraceSettings(Group):
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+$",
        description="an OTLP/gRPC collector as http://host:4317 (https for TLS); unset = no traces",
    )
    share: Share = Field(default=0.01, description="the share of frames that are traced, 0 to 1")


class ServerSettings(Group):
    """Where a server listens; only this machine reaches it unless told otherwise."""

    host: Host = Field(default=LOOPBACK, description="an address to listen on; 0.0.0.0 lets other machines in")
    port: Port = Field(default=0, description="a port from 0 to 65535; 0 picks a free one")


class ServiceSettings(BaseSettings):
    """The base of each service's settings; subclasses say their default ports and add one group of their own."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        nested_model_default_partial_update=True,
        env_ignore_empty=True,
        extra="ignore",  # FORMCHECK_DATA, FORMCHECK_CACHE and other services' groups share the prefix
        frozen=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    log: LogSettings = LogSettings()
    trace: TraceSettings = TraceSettings()
    http: ServerSettings = ServerSettings()
    grpc: ServerSettings = ServerSettings()
    drain_s: Seconds = Field(default=10.0, le=60, description="seconds that work in hand gets after SIGTERM, up to 60")


Settings = TypeVar("Settings", bound=ServiceSettings)


def load(kind: type[Settings], **overrides: Any) -> Settings:
    """The settings from the environment, ``overrides`` before it. Raises ConfigError, one sentence per variable."""
    try:
        return kind(**overrides)
    except ValidationError as error:
        raise ConfigError(" ".join(_sentence(kind, e["loc"], e["input"], e["msg"]) for e in error.errors())) from None
    except SettingsError as error:
        found = re.search(r'field "(\w+)"', str(error))
        group = f"{PREFIX}{found.group(1).upper()}" if found else f"A {PREFIX}… variable"
        raise ConfigError(f"{group} is no JSON object; set the single values instead, as {group}_<NAME>.") from None


def load_or_exit(kind: type[Settings]) -> Settings:
    """The same for a program's start: prints the error and ends the process with code 2."""
    try:
        return load(kind)
    except ConfigError as error:
        refuse(str(error))


def refuse(message: str) -> NoReturn:
    print(f"formcheck: {message}", file=sys.stderr)
    sys.exit(EXIT_BAD_SETTINGS)


def _sentence(kind: type[ServiceSettings], loc: tuple[int | str, ...], value: object, message: str) -> str:
    names = [str(part) for part in loc]
    variable = PREFIX + "_".join(names).upper()
    field = _field(kind, names)
    if field is None:
        known = _names(kind, names[:-1])
        return f"{variable} is no setting; known are {', '.join(known)}."
    shown = redact(repr(value))
    expected = field.description or message
    choices = [str(a) for a in get_args(field.annotation)] if _is_literal(field) else []
    if choices:
        expected += f", one of {', '.join(choices)}"
    default: Any = kind.model_fields[names[0]].default
    for name in names[1:]:
        default = getattr(default, name)
    return f"{variable} is {shown}, which cannot be used; set it to {expected} (default {default!r})."


def _is_literal(field: FieldInfo) -> bool:
    return getattr(field.annotation, "__origin__", None) is Literal


def _field(kind: type[BaseModel], names: list[str]) -> FieldInfo | None:
    field = kind.model_fields.get(names[0])
    inner = field.annotation if field is not None else None
    if len(names) > 1 and isinstance(inner, type) and issubclass(inner, BaseModel):
        return _field(inner, names[1:])
    return field


def _names(kind: type[BaseModel], path: list[str]) -> list[str]:
    inner: Any = kind
    for name in path:
        inner = inner.model_fields[name].annotation
    return [PREFIX + "_".join([*path, name]).upper() for name in inner.model_fields]
