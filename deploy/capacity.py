#!/usr/bin/env python3
"""How much hardware so many cameras need: partitions, brokers, bandwidth, disk, GPUs, cores.

    python deploy/capacity.py --cameras 500 [--people 4 --gpu-crops-per-s 2000 ...]
    python deploy/capacity.py --write docs/capacity.md      # puts its tables into the document anew

Every number that goes in stands in ``INPUTS`` with where it comes from; all can be set on the command line. Needs only
Python's standard library.
"""

import argparse
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SIZES = (50, 500, 5000)


@dataclass(frozen=True)
class Input:
    """One number that goes in. ``kind``: chosen, measured, estimated or published; ``origin``: by whom or how."""

    name: str
    value: float
    unit: str
    kind: str
    origin: str

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")


INPUTS = (
    Input("analysed_fps", 10, "frames/s", "chosen", "the default of live streams"),
    Input("camera_fps", 25, "frames/s", "chosen", "usual of IP cameras; every frame is decoded, one in 2.5 analysed"),
    Input("camera_mbit_s", 3, "Mbit/s", "chosen", "720p H.264 of an IP camera"),
    Input("people", 2, "people", "chosen", "seen by a camera on average while the gym is open"),
    Input("open_share", 0.67, "share", "chosen", "of the day that streams run: 16 of 24 hours"),
    Input("repetitions_per_min", 6, "1/min", "chosen", "of one person, rests included"),
    Input("frame_bytes", 32_000, "B", "measured", "JPEG of 854 x 480 at quality 90: docs/decisions/0008"),
    Input("pose_bytes", 350, "B", "measured", "a `poses.v1` record with one person, its headers with it"),
    Input("result_bytes", 8_100, "B", "measured", "a repetition's events and its assessment, with the window in both"),
    Input("state_bytes_s", 38_000, "B/s", "measured", "snapshots of a stream: pose 2.4 kB x 10/s, segment 14 kB x 1/s"),
    Input("decode_ms", 2.55, "CPU ms", "measured", "one 720p camera frame: PyAV, 392 frames/s on one thread"),
    Input("encode_ms", 2.4, "CPU ms", "estimated", "one analysed frame: conversion 0.7, JPEG 1.1; sending a guess"),
    Input("pose_ms", 5, "CPU ms", "measured", "one analysed frame in pose, without the network: docs/decisions/0008"),
    Input("triton_cpu_ms", 0.6, "CPU ms", "measured", "one crop in Triton beside the network: docs/decisions/0008"),
    Input("onnx_ms", 9.6, "CPU ms", "measured", "MoveNet Lightning on one crop in onnxruntime, one thread; 0008"),
    Input("segment_ms", 2.5, "CPU ms", "estimated", "a person in a frame: processor 1.75, snapshot .15; Kafka a guess"),
    Input("errors_ms", 8, "CPU ms", "estimated", "one repetition: processor and codec 6.5; Kafka a guess"),
    Input("kafka_ms", 5.4, "CPU ms", "measured", "brokers, per analysed frame; mostly per second: a bound; 0008"),
    Input("crops_per_person", 1.09, "crops", "measured", "per person and frame, to follow and to find; 0008"),
    Input(
        "gpu_crops_per_s", 437, "crops/s", "published",
        "RTMPose-m, TensorRT FP16, batch 1, GTX 1660 Ti: 2.29 ms "
        "(github.com/open-mmlab/mmpose, projects/rtmpose/README.md)",
    ),
    Input("serving_ratio", 0.93, "share", "measured", "Triton's rate over that in the process, 16 callers: 0005"),
    Input("headroom", 0.6, "share", "chosen", "of cores, GPUs and links that is planned to be used"),
    Input("broker_mb_s", 100, "MB/s", "chosen", "in and replication of one broker; managed offers state 100 to 375"),
    Input("broker_partitions", 4000, "replicas", "published", "the usual advice; cwiki.apache.org, KIP-578"),
    Input("replication", 3, "copies", "chosen", "min ISR 2: one broker may die"),
    Input("live_s", 75, "s", "chosen", "frames.live.v1 is kept 60 s, in segments of 10 s"),
    Input("poses_days", 7, "days", "chosen", "retention of poses.v1"),
    Input("results_days", 30, "days", "chosen", "retention of repetitions.v1 and assessments.v1"),
)  # fmt: skip

_TOPICS = 11  # keyed by stream, with the states
_SLACK = 2  # partitions for each replica of the busiest stage, so that they can be shared evenly and it can grow


@dataclass(frozen=True)
class Row:
    """One line of the answer. ``how``: the formula in words."""

    name: str
    value: float
    unit: str
    how: str


def plan(cameras: int, i: Mapping[str, float]) -> list[Row]:
    """What ``cameras`` need. ``i``: the values of ``INPUTS`` by name."""
    frames_s = cameras * i["analysed_fps"]
    crops_s = frames_s * i["people"] * i["crops_per_person"]
    repetitions_s = cameras * i["people"] * i["repetitions_per_min"] / 60
    cores = _cores(cameras, i, frames_s, crops_s, repetitions_s)
    rates = _rates(cameras, i, frames_s, repetitions_s)
    partitions = _round_up(max(_replicas(c) for n, c in cores.items() if n in _STAGES) * _SLACK, 6)
    written_mb_s = sum(rates.values()) * i["replication"]
    brokers = max(
        int(i["replication"]),
        math.ceil(written_mb_s / i["broker_mb_s"]),
        math.ceil(partitions * _TOPICS * i["replication"] / i["broker_partitions"]),
    )
    gpus = math.ceil(crops_s / (i["gpu_crops_per_s"] * i["serving_ratio"] * i["headroom"]))
    kafka = frames_s * i["kafka_ms"] / 1000 / i["headroom"]
    return [
        *_traffic(cameras, i, rates, crops_s),
        Row("Kafka brokers", brokers, "", "the most of: copies, bandwidth, partitions"),
        Row("Kafka cores, all brokers", kafka, "", "analysed frames/s x CPU; at most"),
        Row("partitions of a topic", partitions, "", f"{_SLACK} a replica of the busiest stage, in sixes"),
        *_disk(i, rates),
        Row("decode cores (ingest)", cores["decode"], "", "camera frames/s x CPU, over the headroom"),
        Row("encode cores (ingest)", cores["ingest"] - cores["decode"], "", "analysed frames/s x CPU"),
        Row("pose cores", cores["pose"], "", "analysed frames/s x CPU"),
        Row("Triton's CPU cores", cores["triton"], "", "crops/s x CPU"),
        Row("GPUs", gpus, "", "crops/s over rate x serving ratio x headroom"),
        Row(
            "or, without GPUs, cores", crops_s * i["onnx_ms"] / 1000 / i["headroom"], "", "crops/s x CPU of onnxruntime"
        ),
        Row("segment cores", cores["segment"], "", "people x frames/s x CPU"),
        Row("errors cores", cores["errors"], "", "repetitions/s x CPU"),
    ]


_STAGES = ("ingest", "pose", "segment", "errors")


def _cores(
    cameras: int, i: Mapping[str, float], frames_s: float, crops_s: float, repetitions_s: float
) -> dict[str, float]:
    """Busy cores of each part, over the headroom."""
    decode = cameras * i["camera_fps"] * i["decode_ms"]
    busy_ms = {
        "decode": decode,
        "ingest": decode + frames_s * i["encode_ms"],
        "pose": frames_s * i["pose_ms"],
        "triton": crops_s * i["triton_cpu_ms"],
        "segment": frames_s * i["people"] * i["segment_ms"],
        "errors": repetitions_s * i["errors_ms"],
    }
    return {name: ms / 1000 / i["headroom"] for name, ms in busy_ms.items()}


def _replicas(cores: float) -> int:
    """A replica's runner is one thread: it has one core."""
    return max(1, math.ceil(cores))


def _rates(cameras: int, i: Mapping[str, float], frames_s: float, repetitions_s: float) -> dict[str, float]:
    """MB/s into Kafka, before copying."""
    return {
        "frames": frames_s * i["frame_bytes"] / 1e6,
        "poses": frames_s * i["people"] * i["pose_bytes"] / 1e6,
        "results": repetitions_s * i["result_bytes"] / 1e6,
        "state": cameras * i["state_bytes_s"] / 1e6,
    }


def _traffic(cameras: int, i: Mapping[str, float], rates: Mapping[str, float], crops_s: float) -> list[Row]:
    total = sum(rates.values())
    return [
        Row("from the cameras", cameras * i["camera_mbit_s"] / 8, "MB/s", "cameras x bit rate"),
        Row("into Kafka", total, "MB/s", "frames, poses, results, snapshots"),
        Row("- of that, frames", rates["frames"], "MB/s", "analysed frames/s x bytes"),
        Row("copied between brokers", total * (i["replication"] - 1), "MB/s", "x (copies - 1)"),
        Row("out of Kafka", total, "MB/s", "each record is read once"),
        Row("crops to infer", crops_s, "/s", "frames/s x people x crops"),
        Row("crops to Triton", crops_s * 192 * 192 * 3 / 1e6, "MB/s", "110 kB each: pose and its Triton share a node"),
    ]


def _disk(i: Mapping[str, float], rates: Mapping[str, float]) -> list[Row]:
    day_s = 86_400 * i["open_share"]
    poses_gb = rates["poses"] * day_s * i["poses_days"] / 1e3
    results_gb = rates["results"] * day_s * i["results_days"] / 1e3
    frames_gb = rates["frames"] * i["live_s"] / 1e3
    total_tb = (poses_gb + results_gb + frames_gb) * i["replication"] / 1e3 / i["headroom"]
    return [
        Row("frames kept", frames_gb, "GB", "x seconds kept; one copy"),
        Row("poses kept", poses_gb, "GB", "x open seconds x days; one copy"),
        Row("results kept", results_gb, "GB", "x open seconds x days; one copy"),
        Row("disk of all brokers", total_tb, "TB", "x copies, over the headroom"),
    ]


def _round_up(value: float, step: int) -> int:
    return step * math.ceil(value / step)


# -- as text ----------------------------------------------------------------------------------------------------------


def tables(values: Mapping[str, float]) -> dict[str, str]:
    """Markdown by the name of the place in the document."""
    return {"inputs": _markdown(_INPUT_HEAD, _input_rows(values)), "needs": _needs(SIZES, values)}


_INPUT_HEAD = ("input", "value", "unit", "kind", "where from")


def _input_rows(values: Mapping[str, float]) -> list[tuple[str, ...]]:
    return [(f"`{n.option}`", f"{values[n.name]:g}", n.unit, n.kind, n.origin) for n in INPUTS]


def _needs(sizes: Sequence[int], values: Mapping[str, float]) -> str:
    plans = [plan(size, values) for size in sizes]
    head = ("", *(f"{size:,} cameras" for size in sizes), "how")
    rows = [
        (first.name, *(f"{_number(p[n].value)} {first.unit}".strip() for p in plans), first.how)
        for n, first in enumerate(plans[0])
    ]
    return _markdown(head, rows)


def _number(value: float) -> str:
    """Two digits that mean something; whole numbers as they are."""
    if value == int(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *map(tuple, rows)]
    rule = tuple("---" for _ in lines[0])
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def put(text: str, found: Mapping[str, str]) -> str:
    """The document with its tables made anew.

    Raises:
        ValueError: the place for a table is not in it.
    """
    for name, table in found.items():
        begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
        place = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
        if not place.search(text):
            raise ValueError(f"The document has no place '{begin} … {end}'.")
        text = place.sub(lambda _, b=begin, t=table, e=end: f"{b}\n{t}\n{e}", text)
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Hardware that so many cameras need.")
    parser.add_argument("--cameras", type=int, nargs="+", default=list(SIZES), help="one size or several")
    parser.add_argument("--write", metavar="FILE", type=Path, help="put the tables into this document")
    for n in INPUTS:
        parser.add_argument(n.option, type=float, default=n.value, metavar="X", help=f"{n.unit}; {n.kind}: {n.origin}")
    told = parser.parse_args(arguments)
    values = {n.name: float(getattr(told, n.name)) for n in INPUTS}
    if min(told.cameras) < 1 or min(values.values()) <= 0:
        parser.error("all numbers must be positive")
    if told.write:
        told.write.write_text(put(told.write.read_text(encoding="utf-8"), tables(values)), encoding="utf-8")
    else:
        sys.stdout.write(_needs(told.cameras, values) + "\n")


if __name__ == "__main__":
    main()
