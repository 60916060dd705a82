"""What ingest can be told (``FORMCHECK_INGEST_…``), beside what every service can."""

from typing import Literal

from pydantic import Field

from services.common.jpeg import JPEG_QUALITY
from services.common.settings import Group, Seconds, ServerSettings, ServiceSettings
from services.ingest.core.streams import SHORT_SIDE_PX


class IngestGroup(Group):
    short_side_px: int = Field(
        default=SHORT_SIDE_PX, ge=64, le=2160, description="the JPEG frames' shorter side, px, 64 to 2160"
    )
    rate_fps: float = Field(
        default=10.0, gt=0, le=120, description="frames/s to analyse where a stream does not say, up to 120"
    )
    jpeg_quality: int = Field(default=JPEG_QUALITY, ge=30, le=100, description="the JPEG frames' quality, 30 to 100")
    rtsp_transport: Literal["tcp", "udp"] = Field(default="tcp", description="how RTSP's media come")
    read_timeout_s: Seconds = Field(default=5.0, description="seconds without a packet until a camera counts as lost")
    backoff_max_s: Seconds = Field(default=30.0, description="the longest pause between attempts to reach a camera, s")
    keypoints_only: bool = Field(default=True, description="true or false: pictures of live streams are not kept")
    face_blur: bool = Field(default=True, description="true or false: faces are blurred in pictures for people")


class IngestSettings(ServiceSettings):
    http: ServerSettings = ServerSettings(port=8101)
    grpc: ServerSettings = ServerSettings(port=9101)
    ingest: IngestGroup = IngestGroup()
