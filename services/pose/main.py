"""pose: JPEG frames in, poses of tracked people out. ``python -m services.pose.main``."""

from collections.abc import Callable

import cv2

from services.common.service import Shell, run_service
from services.pose.adapters.availability import Availability
from services.pose.adapters.calls import AsyncPoseBackend, Call, LateError
from services.pose.adapters.engine import Engine, Patience
from services.pose.adapters.stage import pose_stage
from services.pose.core.profiles import Profile
from services.pose.settings import PoseSettings


def wire(shell: Shell[PoseSettings]) -> None:
    pose, triton, metrics = shell.settings.pose, shell.settings.triton, shell.metrics
    cv2.setNumThreads(1)  # frames run beside each other; OpenCV's own threads would only wait busily
    profile = Profile.get(pose.profile)

    def observe(call: Call) -> None:
        metrics.queued(call.waited_s)
        late = "timeout" if isinstance(call.error, LateError) else "error"
        metrics.inference(call.crops, call.took_s, "ok" if call.error is None else late)

    backend, name = _backend(profile, shell.settings, observe)
    engine = Engine(
        profile,
        backend,
        Availability(backend, name, metrics.backend_up),
        shell.loop,
        patience=Patience(triton.live_deadline_s, triton.deadline_s),
        threads=pose.decode_threads,
        in_flight=metrics.in_flight_crops,
    )
    shell.add_close("engine", engine.close)
    shell.add_ready("inference", engine.availability.unready)
    shell.add_stage(pose_stage(engine, people=pose.people, in_flight_frames=pose.in_flight_frames))


def _backend(profile: Profile, told: PoseSettings, observe: Callable[[Call], None]) -> tuple[AsyncPoseBackend, str]:
    """What runs the networks, and what people call it."""
    if told.pose.backend == "onnx":
        from services.pose.adapters.onnx_batches import BatchingOnnxBackend

        return BatchingOnnxBackend(profile, threads=told.pose.threads, observe=observe), "onnxruntime"
    from services.pose.adapters.triton import AsyncTritonBackend

    most = 2 * len(profile.networks) * told.pose.in_flight_frames  # so that only the runner's limit holds anybody up
    url = told.triton.url
    return AsyncTritonBackend(url, profile, in_flight_max=most, observe=observe), f"Triton at {url}"


if __name__ == "__main__":
    run_service("pose", PoseSettings, wire)
