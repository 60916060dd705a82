"""What pose can be told (``FORMCHECK_POSE_…``, ``FORMCHECK_TRITON_…``), beside what every service can."""

from typing import Literal

from pydantic import Field

from services.common.settings import LOOPBACK, Group, Seconds, ServerSettings, ServiceSettings


class PoseGroup(Group):
    profile: str = Field(default="movenet", min_length=1, description="the name of a pose profile")
    backend: Literal["triton", "onnx"] = Field(default="triton", description="what runs inference; onnx = this process")
    in_flight_crops: int = Field(default=64, ge=1, le=4096, description="crops in inference at once, 1 to 4096")


class TritonSettings(Group):
    url: str = Field(
        default=f"{LOOPBACK}:8001",
        pattern=r"^[A-Za-z0-9_.\-]+:\d{1,5}$",
        description="Triton's gRPC address, host:port",
    )
    deadline_s: Seconds = Field(default=2.0, description="seconds after which an inference is given up")


class PoseSettings(ServiceSettings):
    http: ServerSettings = ServerSettings(port=8102)
    grpc: ServerSettings = ServerSettings(port=9102)
    pose: PoseGroup = PoseGroup()
    triton: TritonSettings = TritonSettings()
