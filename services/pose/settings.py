"""What pose can be told (``FORMCHECK_POSE_…``, ``FORMCHECK_TRITON_…``), beside what every service can."""

from typing import Literal

from pydantic import Field

from services.common.settings import LOOPBACK, Group, Seconds, ServerSettings, ServiceSettings


class PoseGroup(Group):
    profile: str = Field(default="movenet", min_length=1, description="the name of a pose profile")
    people: Literal["all", "main"] = Field(
        default="all", description="whose poses: all, or main for who fills the picture most"
    )
    backend: Literal["triton", "onnx"] = Field(default="triton", description="what runs inference; onnx = this process")
    threads: int = Field(default=1, ge=1, le=64, description="threads of the networks with the backend onnx, 1 to 64")
    decode_threads: int = Field(default=2, ge=1, le=64, description="threads that decode JPEG, 1 to 64")
    in_flight_frames: int = Field(
        default=8, ge=1, le=1024, description="frames at work at once, of cameras and of files each, 1 to 1024"
    )


class TritonSettings(Group):
    url: str = Field(
        default=f"{LOOPBACK}:8001",
        pattern=r"^[A-Za-z0-9_.\-]+:\d{1,5}$",
        description="Triton's gRPC address, host:port",
    )
    deadline_s: Seconds = Field(default=5.0, description="seconds after which an inference is tried again (files)")
    live_deadline_s: Seconds = Field(default=1.0, description="seconds after which a camera's frame is skipped")


class PoseSettings(ServiceSettings):
    http: ServerSettings = ServerSettings(port=8102)
    grpc: ServerSettings = ServerSettings(port=9102)
    pose: PoseGroup = PoseGroup()
    triton: TritonSettings = TritonSettings()
