"""What segment can be told (``FORMCHECK_SEGMENT_…``), beside what every service can."""

from pathlib import Path

from pydantic import Field

from services.common.settings import Group, ServerSettings, ServiceSettings


class SegmentGroup(Group):
    model: Path | None = Field(default=None, description="a segmentation network (.onnx); unset = the shipped one")


class SegmentSettings(ServiceSettings):
    http: ServerSettings = ServerSettings(port=8103)
    grpc: ServerSettings = ServerSettings(port=9103)
    segment: SegmentGroup = SegmentGroup()
