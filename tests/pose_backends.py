"""Real pose backends, loaded once per test process."""

from functools import cache

from services.pose.adapters.onnx import OnnxBackend
from services.pose.core.profiles import Profile


@cache
def backend(profile: str) -> OnnxBackend:
    """The profile's networks on one thread."""
    return OnnxBackend(Profile.get(profile), threads=1)
