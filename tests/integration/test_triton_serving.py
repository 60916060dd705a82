"""The pose networks on a real Triton server: the same numbers, batched over streams, within limits."""

import asyncio
import time
import urllib.request

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import service_pb2
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from services.common.errors import ModelError
from services.local.stack.triton import TritonServer
from services.pose.adapters.calls import Call, LateError
from services.pose.adapters.triton import AsyncTritonBackend, TritonBackend, UnavailableError
from services.pose.core.geometry import Region
from services.pose.core.profiles import Profile
from tests.pose_backends import backend as onnx_backend
from tests.triton_server import PROFILES, shared_server
from training.tools.record_pictures import NAMES, pictures

MOVENET = Profile.get("movenet")
FOLLOW = MOVENET.following.name


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> TritonServer:
    return shared_server(request.config)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return pictures(NAMES, MOVENET.following.size_px)


def statistics(server: TritonServer, model: str) -> tuple[int, int]:
    """Crops inferred and runs made, since the server started. Triton counts a moment after it has answered: asked until
    nothing changes any more."""
    seen = [(-1, -1)]
    with grpc.insecure_channel(server.grpc_target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        for _ in range(100):
            answer = stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=model), timeout=10)
            seen.append((answer.model_stats[0].inference_count, answer.model_stats[0].execution_count))
            if len(seen) > 5 and len(set(seen[-5:])) == 1:
                break
            time.sleep(0.1)
    return seen[-1]


@pytest.mark.parametrize("name", PROFILES)
def test_the_numbers_are_those_of_the_process_itself(server: TritonServer, name: str) -> None:
    """To the bit where one thread computes one crop; keypoints are then the same too."""
    profile = Profile.get(name)
    triton = TritonBackend(server.grpc_target, profile, deadline_s=60)
    for net in profile.networks:
        seen = pictures(NAMES, net.size_px)
        ours = [onnx_backend(name).infer(net.name, seen[i : i + 1]) for i in range(len(seen))]
        theirs = triton.infer(net.name, seen)
        for k, output in enumerate(theirs):
            np.testing.assert_array_equal(output, np.concatenate([o[k] for o in ours]))
    net = profile.following
    whole = [Region.whole(net.size_px, net.size_px)] * len(NAMES)
    seen = pictures(NAMES, net.size_px)
    both = [
        profile.decode(found, whole, [True] * len(NAMES))
        for found in (triton.infer(net.name, seen), onnx_backend(name).infer(net.name, seen))
    ]
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a.keypoints, b.keypoints, atol=1e-3)
    triton.close()


def test_the_server_has_the_configuration_that_was_written(server: TritonServer) -> None:
    with grpc.insecure_channel(server.grpc_target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        for folder in server.repository.iterdir():
            wanted = text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())
            loaded = stub.ModelConfig(service_pb2.ModelConfigRequest(name=folder.name), timeout=10).config
            for field in ("name", "backend", "max_batch_size", "input", "output", "parameters"):
                assert getattr(loaded, field) == getattr(wanted, field), f"{folder.name}: {field}"
            assert loaded.WhichOneof("scheduling_choice") == "dynamic_batching"
            assert not loaded.dynamic_batching.HasField("default_queue_policy")


def test_crops_of_many_streams_are_batched_and_none_is_mixed_up(server: TritonServer, crops: np.ndarray) -> None:
    async def stream(backend: AsyncTritonBackend, i: int) -> list[np.ndarray]:
        return [(await backend.infer(FOLLOW, crops[(i + k) % 6][None]))[0] for k in range(4)]

    async def run() -> list[list[np.ndarray]]:
        backend = AsyncTritonBackend(server.grpc_target, MOVENET, deadline_s=60)
        await backend.wait_ready(30)
        found = await asyncio.gather(*(stream(backend, i) for i in range(12)))
        await backend.close()
        return found

    before = statistics(server, FOLLOW)
    found = asyncio.run(run())
    inferred, runs = (after - b for after, b in zip(statistics(server, FOLLOW), before, strict=True))
    assert inferred == 12 * 4 + 1
    assert runs < inferred / 2, f"{inferred} crops in {runs} runs"
    want = onnx_backend("movenet").infer(FOLLOW, crops)[0]
    for i, answers in enumerate(found):
        for k, answer in enumerate(answers):
            np.testing.assert_allclose(answer[0], want[(i + k) % 6], atol=1e-5)


def test_requests_in_flight_are_bounded_and_told_of(server: TritonServer, crops: np.ndarray) -> None:
    calls: list[Call] = []
    most = 0

    async def run() -> None:
        nonlocal most
        backend = AsyncTritonBackend(server.grpc_target, MOVENET, deadline_s=60, in_flight_max=2, observe=calls.append)

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, backend.in_flight)
                await asyncio.sleep(0.001)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(backend.infer(FOLLOW, crops[:2]) for _ in range(8)))
        watching.cancel()
        assert backend.in_flight == 0
        await backend.close()

    asyncio.run(run())
    assert most == 2
    assert [(c.model, c.crops, c.error) for c in calls] == [(FOLLOW, 2, None)] * 8
    assert max(c.waited_s for c in calls) > min(c.took_s for c in calls)  # the last ones waited for others
    assert all(c.took_s > 0 for c in calls)


def test_a_call_that_gets_no_turn_in_time_says_so(server: TritonServer, crops: np.ndarray) -> None:
    calls: list[Call] = []

    async def run() -> list[object]:
        backend = AsyncTritonBackend(server.grpc_target, MOVENET, in_flight_max=1, observe=calls.append)
        await backend.infer(FOLLOW, crops[:1], deadline_s=60)
        many = [backend.infer(FOLLOW, crops, deadline_s=60 if i == 0 else 0.005) for i in range(3)]
        found = await asyncio.gather(*many, return_exceptions=True)
        assert (await backend.infer(FOLLOW, crops[:1], deadline_s=60))[0].shape[0] == 1
        await backend.close()
        return found

    first, *others = asyncio.run(run())
    assert isinstance(first, tuple)
    for error in others:
        assert isinstance(error, UnavailableError)
        assert "1 of at most 1 are on their way" in str(error)
    assert [type(c.error) for c in calls].count(LateError) == 2


def test_what_nobody_waits_for_is_not_computed(server: TritonServer, crops: np.ndarray) -> None:
    """A flood of requests with short deadlines: of those that expire in the queue, most cost nothing."""

    async def run() -> list[object]:
        backend = AsyncTritonBackend(server.grpc_target, MOVENET, in_flight_max=60)
        await backend.infer(FOLLOW, crops[:1], deadline_s=60)
        flood = (backend.infer(FOLLOW, np.concatenate([crops, crops[:2]]), deadline_s=0.1) for _ in range(60))
        found = await asyncio.gather(*flood, return_exceptions=True)
        await backend.infer(FOLLOW, crops[:1], deadline_s=60)  # the queue is empty again
        await backend.close()
        return found

    before, _ = statistics(server, FOLLOW)
    found = asyncio.run(run())
    after, _ = statistics(server, FOLLOW)
    late = sum(isinstance(f, UnavailableError) for f in found)
    assert late + sum(isinstance(f, tuple) for f in found) == 60
    assert late > 0
    assert after - before - 2 < 60 * 8, "every request was computed, though some had expired"


def test_a_network_the_server_lacks_is_a_lasting_error(server: TritonServer) -> None:
    thunder = Profile.get("movenet-thunder")
    backend = TritonBackend(server.grpc_target, thunder, deadline_s=10)
    size = thunder.following.size_px
    with pytest.raises(ModelError, match=r"has no network movenet_thunder_single .*write its model repository"):
        backend.infer(thunder.following.name, np.zeros((1, size, size, 3), np.uint8))
    backend.close()


def test_the_server_counts_and_times_batches(server: TritonServer, crops: np.ndarray) -> None:
    TritonBackend(server.grpc_target, MOVENET, deadline_s=60).infer(FOLLOW, crops)
    with urllib.request.urlopen(server.metrics_url, timeout=10) as answer:
        said = answer.read().decode()
    for name in (
        "inference_count",
        "inference_exec_count",
        "inference_queue_duration_us",
        "inference_pending_request_count",
    ):
        assert f'nv_{name}{{model="{FOLLOW}"' in said
