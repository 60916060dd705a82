"""What ingest can be told (``FORMCHECK_INGEST_…``), beside what every service can."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from services.common.jpeg import JPEG_QUALITY
from services.common.settings import Group, Seconds, ServerSettings, ServiceSettings
from services.ingest.core.streams import LIVE_FPS, SHORT_SIDE_PX


def upload_folder() -> Path:
    """Where uploaded videos lie: ``uploads`` in the state directory (``FORMCHECK_STATE``)."""
    state = os.environ.get("FORMCHECK_STATE")
    return (Path(state) if state else Path.home() / ".local" / "state" / "formcheck") / "uploads"


class IngestGroup(Group):
    short_side_px: int = Field(
        default=SHORT_SIDE_PX, ge=120, le=2160, description="the JPEG frames' shorter side, px, 120 to 2160"
    )
    rate_fps: float = Field(
        default=LIVE_FPS, gt=0, le=60, description="frames/s to analyse where a camera's stream does not say, up to 60"
    )
    jpeg_quality: int = Field(default=JPEG_QUALITY, ge=30, le=100, description="the JPEG frames' quality, 30 to 100")
    rtsp_transport: Literal["tcp", "udp"] = Field(
        default="tcp", description="how RTSP's media come, where a stream does not say"
    )
    read_timeout_s: Seconds = Field(default=5.0, description="seconds without a packet until a camera counts as lost")
    backoff_max_s: Seconds = Field(default=30.0, description="the longest pause between attempts to reach a camera, s")
    file_folders: str = Field(
        default="",
        description="folders with the videos that may be read, separated by ':'; empty = the upload folder",
    )
    file_ahead_frames: int = Field(
        default=128, ge=8, le=10_000, description="frames of files that may wait for pose in a partition, 8 to 10000"
    )
    file_ahead_mb: float = Field(
        default=32.0, gt=0, le=1000, description="megabytes of files' frames that may wait for pose in a partition"
    )

    @property
    def folders(self) -> tuple[Path, ...]:
        """In which files may be read."""
        given = tuple(Path(part) for part in self.file_folders.split(os.pathsep) if part)
        return given or (upload_folder(),)


class IngestSettings(ServiceSettings):
    http: ServerSettings = ServerSettings(port=8101)
    grpc: ServerSettings = ServerSettings(port=9101)
    ingest: IngestGroup = IngestGroup()
