"""What the pose service costs beside its network. ``python -m bench.pose_service [VIDEO...] [--streams 4]``.

Frames as ingest sends them (``--short-side``, JPEG) lie in a real Kafka; the stage of the service takes them as files,
with a real Triton (one thread a network) or onnxruntime in the process (``--backend onnx``). Printed are what single
steps cost (one thread, nothing beside them), then frames/s, CPU ms per frame of everything involved, by process and by
thread, and the *efficiency*: CPU of decoding and of onnxruntime alone for the same frames, over all of it.
"""

import argparse
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import cv2

from services.common import topics
from services.common.codec import EncodedFrame
from services.common.jpeg import decode_jpeg, encode_jpeg
from services.common.kafka.clients import KafkaConfig, make_producer
from services.common.kafka.messages import Record, decode, encode, stream_key
from services.common.kafka.runner import Runner
from services.common.loop import LoopThread
from services.common.processor import Mark, MarkKind
from services.common.telemetry.metrics import ServiceMetrics
from services.common.types import Frame, PoseFrame, StreamKey
from services.ingest.adapters.media import VideoReader
from services.ingest.core.streams import SHORT_SIDE_PX
from services.local.stack.kafka import KafkaCluster
from services.local.stack.triton import TritonServer
from services.pose.adapters import triton_wire
from services.pose.adapters.availability import Availability
from services.pose.adapters.calls import AsyncPoseBackend, Call
from services.pose.adapters.engine import Engine
from services.pose.adapters.onnx import OnnxBackend
from services.pose.adapters.onnx_batches import BatchingOnnxBackend
from services.pose.adapters.stage import pose_stage
from services.pose.adapters.triton import AsyncTritonBackend
from services.pose.core.processor import PoseProcessor
from services.pose.core.profiles import Profile
from services.pose.core.scaling import to_source
from services.pose.model_repository import generate

ROOT = Path(__file__).resolve().parent.parent
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
MOVENET = Profile.get("movenet")


def frames_of(path: Path, number: int, seconds: float, short_side_px: int) -> list[EncodedFrame]:
    key = StreamKey("bench", f"file-{number}", "1")
    with VideoReader(str(path), end_s=seconds, max_short_side_px=short_side_px, threads=1) as reader:
        size_px = reader.info.width_px, reader.info.height_px
        return [EncodedFrame(key, f.sequence, f.time_s, encode_jpeg(f.image), *size_px, f.cut) for f in reader]


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def cpu_of_threads() -> dict[str, float]:
    """CPU s of this process' Python threads, by name."""
    used: dict[str, float] = defaultdict(float)
    for thread in threading.enumerate():
        if thread.ident is not None:
            name = thread.name.rstrip("0123456789").rstrip("_-")
            used[name] += time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return used


# -- the stage, for real -------------------------------------------------------------------------------------------


def feed(config: KafkaConfig, streams: list[list[EncodedFrame]]) -> int:
    """Everything into the topic, streams in turn; returns how many frames."""
    with closing(make_producer(config)) as producer:
        for i in range(max(map(len, streams)) + 1):
            for frames in streams:
                if i > len(frames):
                    continue
                item = frames[i] if i < len(frames) else Mark(frames[0].stream, MarkKind.EOF, frames[-1].time_s)
                value, headers = encode(item)
                topic = config.topic(topics.FRAMES_FILE)
                producer.send(topic, key=stream_key(item.stream), value=value, headers=list(headers))
        producer.flush()
    return sum(map(len, streams))


class Ends:
    """Counts poses as they are committed."""

    def __init__(self) -> None:
        self.poses = 0

    def __call__(self, item: object) -> None:
        self.poses += isinstance(item, PoseFrame)


def run_stage(
    config: KafkaConfig,
    backend: AsyncPoseBackend,
    loop: LoopThread,
    metrics: ServiceMetrics,
    count: int,
    in_flight: int,
    pids: dict[str, int],
) -> None:
    ends = Ends()
    engine = Engine(
        MOVENET, backend, Availability(backend, "backend", metrics.backend_up), loop, in_flight=metrics.in_flight_crops
    )
    while not engine.availability.up:
        time.sleep(0.05)
    stage = replace(pose_stage(engine, in_flight_frames=in_flight), published=ends)
    runner = Runner(stage, config, metrics)
    thread = threading.Thread(target=runner.run, name="runner")
    thread.start()
    while ends.poses < count // 3:  # a broker that has just begun is still compiling itself
        time.sleep(0.002)
    first, began_s, before = ends.poses, time.perf_counter(), {name: cpu_of(pid) for name, pid in pids.items()}
    threads, own = cpu_of_threads(), time.process_time()
    while ends.poses < count:
        time.sleep(0.02)
    took_s, frames = time.perf_counter() - began_s, ends.poses - first
    own = time.process_time() - own
    used = {name: cpu_of(pid) - before[name] for name, pid in pids.items()} | {"pose service": own}
    by_thread = {name: s - threads.get(name, 0.0) for name, s in cpu_of_threads().items()}
    runner.stop()
    thread.join()
    engine.close()
    crops = metrics.registry.get_sample_value("formcheck_pose_batch_crops_sum") or 0.0
    print(f"{frames} frames in {took_s:.1f} s: {frames / took_s:.1f} frames/s, {crops / count:.2f} crops a frame")
    raw = RAW["decode"] + RAW["network"] * crops / count
    total = sum(used.values()) / frames * 1e3
    for name, s in used.items():
        print(f"  {name:28}{s / frames * 1e3:7.2f} CPU ms a frame")
    for name, s in sorted(by_thread.items(), key=lambda kv: -kv[1]):
        if s / frames > 2e-5:
            print(f"    thread {name:21}{s / frames * 1e3:7.2f}")
    print(f"    other threads (C)       {(own - sum(by_thread.values())) / frames * 1e3:9.2f}")
    print(f"efficiency: {raw:.2f} ms of decoding and onnxruntime alone / {total:.2f} ms = {raw / total:.2f}")


# -- single steps --------------------------------------------------------------------------------------------------

RAW: dict[str, float] = {}


def steps(frames: list[EncodedFrame], backend: OnnxBackend) -> None:
    """CPU ms of each step, mean over the frames of one stream."""
    used: dict[str, float] = defaultdict(float)
    processor = PoseProcessor(MOVENET, frames[0].stream)
    crops = 0

    @contextmanager
    def clock(name: str) -> Iterator[None]:
        started = time.thread_time()
        yield
        used[name] += time.thread_time() - started

    def timed(name: str, run: Callable[[], object]) -> object:
        with clock(name):
            return run()

    for given in frames:
        value, headers = encode(given)
        record = Record(topics.FRAMES_FILE, 0, 0, stream_key(given.stream), value, headers)
        with clock("frame from protobuf"):
            decode(record)
        with clock("decode"):
            image = decode_jpeg(given.jpeg)
        frame = Frame(given.stream, given.sequence, given.time_s, image, given.cut)
        with clock("plan"):
            plan = processor.plan(frame)
        with clock("crops"):
            for batch in plan.batches:
                _ = batch.crops
        with clock("request to protobuf"):
            for batch in plan.batches:
                triton_wire.request(batch.model, batch.crops).SerializeToString()
        with clock("network"):
            outputs = [backend.infer(batch.model, batch.crops) for batch in plan.batches]
        crops += len(plan.requests)
        with clock("read the answer"):
            results = plan.decode(MOVENET, outputs)
        with clock("apply"):
            found = processor.apply(plan, results)
        with clock("to px of the source"):
            found = [to_source(poses, 1.5, given.width_px, given.height_px) for poses in found]
        with clock("poses to protobuf"):
            for poses in found:
                encode(poses)
        with clock("snapshot"):
            processor.snapshot()
    print(f"single steps, CPU ms a frame ({len(frames)} frames, {crops / len(frames):.2f} crops each):")
    for name, s in used.items():
        print(f"  {name:28}{s / len(frames) * 1e3:7.3f}")
    RAW["decode"] = used["decode"] / len(frames) * 1e3
    RAW["network"] = used["network"] / crops * 1e3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("files", nargs="*", type=Path, default=[ROOT / "assets" / "demo.mp4"])
    arguments.add_argument("--streams", type=int, default=4)
    arguments.add_argument("--seconds", type=float, default=6.0)
    arguments.add_argument("--short-side", type=int, default=SHORT_SIDE_PX)
    arguments.add_argument("--in-flight", type=int, default=8)
    arguments.add_argument("--backend", choices=["triton", "onnx"], default="triton")
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    files = options.files
    streams = [frames_of(files[i % len(files)], i, options.seconds, options.short_side) for i in range(options.streams)]
    print(
        f"{options.streams} streams, {sum(len(f.jpeg) for s in streams for f in s) / sum(map(len, streams)):.0f} bytes"
    )
    network = OnnxBackend(MOVENET, threads=1)
    steps(streams[0], network)
    with tempfile.TemporaryDirectory(prefix="formcheck-bench-") as folder:
        home = Path(folder)
        generate.write(home / "models", [MOVENET], threads=1)
        loop, metrics = LoopThread("loop"), ServiceMetrics("pose")

        def observe(call: Call) -> None:
            metrics.inference(call.crops, call.took_s)

        with KafkaCluster(home / "kafka") as kafka, TritonServer(home / "models") as triton:
            kafka.create_topics()
            config = KafkaConfig(kafka.bootstrap)
            count = feed(config, streams)
            pids = {"kafka": kafka.pid(0)}
            backend: AsyncPoseBackend
            if options.backend == "onnx":
                backend = BatchingOnnxBackend(MOVENET, backend=network, observe=observe)
            else:
                backend = AsyncTritonBackend(triton.grpc_target, MOVENET, in_flight_max=64, observe=observe)
                pids |= {"triton": triton.pid} | {f"triton's network {i}": p for i, p in enumerate(triton.networks)}
            run_stage(config, backend, loop, metrics, count, options.in_flight, pids)
        loop.close()


if __name__ == "__main__":
    main()
