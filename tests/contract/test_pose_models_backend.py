"""What every pose backend must do. Another backend subclasses ``PoseBackendContract`` and gives the two fixtures."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from services.common.errors import ModelError, ShapeError
from services.pose.adapters.onnx import OnnxBackend
from services.pose.adapters.onnx_batches import BatchingOnnxBackend
from services.pose.adapters.triton import AsyncTritonBackend, TritonBackend
from services.pose.core.geometry import Region
from services.pose.core.profiles import Network, PoseBackend, Profile
from tests.pose_backends import backend as onnx_backend
from tests.triton_server import InOtherThread, shared_server
from training.tools.record_pictures import NAMES, pictures


class PoseBackendContract:
    """Subclasses provide ``profile`` and ``backend``."""

    tolerance = 1e-3
    """In the networks' own units (cells of 4 px, px, logits): what another batch size may change."""

    def crops(self, net: Network) -> np.ndarray:
        return pictures(NAMES, net.size_px)

    def test_outputs_are_float32_and_batch_first(self, backend: PoseBackend, profile: Profile) -> None:
        for net in profile.networks:
            outputs = backend.infer(net.name, self.crops(net)[:3])
            assert outputs
            assert all(o.dtype == np.float32 and len(o) == 3 for o in outputs)

    def test_batch_of_n_is_n_singles(self, backend: PoseBackend, profile: Profile) -> None:
        for net in profile.networks:
            crops = np.concatenate([self.crops(net)] * 2)[:11]  # more than one chunk
            together = backend.infer(net.name, crops)
            for i in range(len(crops)):
                alone = backend.infer(net.name, crops[i : i + 1])
                for a, b in zip(together, alone, strict=True):
                    np.testing.assert_allclose(a[i], b[0], atol=self.tolerance, rtol=1e-4)

    def test_empty_batch_keeps_shapes(self, backend: PoseBackend, profile: Profile) -> None:
        for net in profile.networks:
            empty = backend.infer(net.name, self.crops(net)[:0])
            one = backend.infer(net.name, self.crops(net)[:1])
            assert [e.shape for e in empty] == [(0, *o.shape[1:]) for o in one]

    def test_views_of_larger_arrays_are_taken(self, backend: PoseBackend, profile: Profile) -> None:
        for net in profile.networks:
            crops = self.crops(net)[2:4]
            mirrored = crops[:, :, ::-1]
            want = backend.infer(net.name, mirrored.copy())
            for a, b in zip(backend.infer(net.name, mirrored), want, strict=True):
                np.testing.assert_allclose(a, b, atol=self.tolerance, rtol=1e-4)

    def test_unknown_model_is_refused(self, backend: PoseBackend, profile: Profile) -> None:
        with pytest.raises(ModelError, match="nothing_like_it"):
            backend.infer("nothing_like_it", self.crops(profile.following)[:1])

    @pytest.mark.parametrize("fault", ["size", "dtype", "channels", "rank"])
    def test_wrong_crops_are_refused(self, backend: PoseBackend, profile: Profile, fault: str) -> None:
        net = profile.following
        good = self.crops(net)[:1]
        bad = {
            "size": good[:, :-1],
            "dtype": good.astype(np.float32),
            "channels": good[..., :1],
            "rank": good[0],
        }[fault]
        with pytest.raises(ShapeError, match=net.name):
            backend.infer(net.name, bad)

    def test_threads_may_share_it(self, backend: PoseBackend, profile: Profile) -> None:
        net = profile.following
        crops = self.crops(net)
        want = [backend.infer(net.name, crops[i : i + 1]) for i in range(len(crops))]
        got: list[tuple[np.ndarray, ...] | None] = [None] * len(crops)

        def work(i: int) -> None:
            for _ in range(3):
                got[i] = backend.infer(net.name, crops[i : i + 1])

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(crops))]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        for a, b in zip(got, want, strict=True):
            assert a is not None
            for x, y in zip(a, b, strict=True):
                np.testing.assert_allclose(x, y, atol=self.tolerance, rtol=1e-4)

    def test_finds_people_and_only_people(self, backend: PoseBackend, profile: Profile) -> None:
        net = profile.detecting
        whole = [Region.whole(net.size_px, net.size_px)] * len(NAMES)
        found = profile.decode(backend.infer(net.name, self.crops(net)), whole, [False] * len(NAMES))
        confident = [int((f.centre > 0.4).sum()) for f in found]
        said = dict(zip(NAMES, confident, strict=True))
        assert confident[:5] == [0, 0, 1, 1, 2], said
        assert said["lying"] >= 1, said  # a lying person may be found twice; proposals are merged later


@pytest.fixture(scope="module", params=["movenet", "movenet-multi", "blazepose"])
def profile(request: pytest.FixtureRequest) -> Profile:
    return Profile.get(request.param)


@pytest.fixture(scope="module")
def backend(profile: Profile) -> PoseBackend:
    return onnx_backend(profile.name)


class TestOnnxBackend(PoseBackendContract):
    """onnxruntime in this process."""


class TestTritonBackend(PoseBackendContract):
    """A real Triton server, asked from threads."""

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, profile: Profile, request: pytest.FixtureRequest) -> Iterator[PoseBackend]:
        triton = TritonBackend(shared_server(request.config).grpc_target, profile, deadline_s=60)
        yield triton
        triton.close()


class TestAsyncTritonBackend(PoseBackendContract):
    """The same, asked from an event loop: how the pose service does it."""

    @pytest.fixture(scope="class")
    @classmethod
    def profile(cls) -> Profile:
        return Profile.get("movenet")  # the networks are the same ones; one profile shows what is special here

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, profile: Profile, request: pytest.FixtureRequest) -> Iterator[PoseBackend]:
        triton = InOtherThread(AsyncTritonBackend(shared_server(request.config).grpc_target, profile, deadline_s=60))
        yield triton
        triton.close()


class TestBatchingOnnxBackend(PoseBackendContract):
    """onnxruntime in this process, for many streams at once: the pose service without a Triton."""

    @pytest.fixture(scope="class")
    @classmethod
    def profile(cls) -> Profile:
        return Profile.get("movenet")

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, profile: Profile) -> Iterator[PoseBackend]:
        batching = InOtherThread(BatchingOnnxBackend(profile, backend=onnx_backend(profile.name)))
        yield batching
        batching.close()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_crops_run_side_by_side_say_what_each_says_alone(count: int) -> None:
    movenet = Profile.get("movenet")
    net = movenet.following
    crops = pictures(NAMES, net.size_px)[:count]
    one, two = (OnnxBackend(movenet, threads=threads) for threads in (1, 2))
    together = two.infer(net.name, crops)
    for i in range(count):
        for a, b in zip(together, one.infer(net.name, crops[i : i + 1]), strict=True):
            np.testing.assert_allclose(a[i], b[0], atol=1e-5, rtol=1e-5)
