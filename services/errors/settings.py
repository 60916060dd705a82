"""What errors can be told (``FORMCHECK_ERRORS_…``), beside what every service can."""

from pathlib import Path

from pydantic import Field

from services.common.settings import Group, ServerSettings, ServiceSettings


class ErrorsGroup(Group):
    strictness: float = Field(default=0.5, ge=0, le=1, description="how strict the limits are, 0 to 1")
    exercises: Path | None = Field(default=None, description="a folder of exercise files; unset = the shipped ones")


class ErrorsSettings(ServiceSettings):
    http: ServerSettings = ServerSettings(port=8104)
    grpc: ServerSettings = ServerSettings(port=9104)
    errors: ErrorsGroup = ErrorsGroup()
