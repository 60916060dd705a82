"""The commands around a local stack: ``formcheck up``, ``streams``, ``dlq``, ``watch``."""

import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from services.common.errors import ConfigError, FormcheckError
from services.local.stack.state import default_folder, read_stack

if TYPE_CHECKING:
    from services.common.kafka.clients import KafkaConfig
    from services.local.stack.ports import PortBook
    from services.local.stack.up import Stack

# Heavy modules are imported where they are used: `formcheck --help` and errors in arguments answer at once.

FAILED, FORCED = 1, 130
streams = typer.Typer(no_args_is_help=True, help="Cameras and files of a running stack: add, list, pause, remove.")

State = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="The stack's folder (~/.local/state/formcheck).")
]
Kafka = Annotated[
    str | None, typer.Option("--kafka", metavar="HOST:PORT", help="Kafka, where no stack of this machine is meant.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(up)
    app.command()(watch)
    app.add_typer(streams, name="streams")
    # All that follows is for the commands of services.local.stack.dlq.
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(
        dlq
    )


@contextmanager
def guarded() -> Iterator[None]:
    """One sentence on stderr for what formcheck and Kafka's client raise on purpose."""
    try:
        from kafka.errors import KafkaError
    except ImportError:
        print("formcheck: this needs formcheck's extra 'stack'; install formcheck[stack]", file=sys.stderr)
        raise typer.Exit(FAILED) from None
    try:
        yield
    except (FormcheckError, KafkaError) as error:
        told = (
            str(error) if isinstance(error, FormcheckError) else f"Kafka does not answer ({error!r}); is `up` running?"
        )
        print(f"formcheck: {' '.join(told.split())}", file=sys.stderr)
        raise typer.Exit(FAILED) from None


def config_of(state: Path | None, kafka: str | None) -> "KafkaConfig":
    """How to reach Kafka: as told, else the stack in the state folder, else the environment, else the default.

    Raises: ConfigError: a state folder is named, and no stack runs in it.
    """
    from services.common.kafka.clients import KafkaConfig

    prefix = os.environ.get("FORMCHECK_KAFKA_PREFIX", "")
    if kafka is None:
        told = read_stack(state or default_folder())
        if told is not None and isinstance(told.get("kafka"), str):
            return KafkaConfig(told["kafka"], instance="cli")
        if state is not None:
            raise ConfigError(f"No stack runs in {state}; start one: formcheck up --state {state}")
        kafka = os.environ.get("FORMCHECK_KAFKA_BOOTSTRAP") or "127.0.0.1:9092"
    return KafkaConfig(kafka, prefix=prefix, instance="cli")


def reach(state: Path | None, kafka: str | None) -> "KafkaConfig":
    """``config_of``, once somebody listens there (Kafka's client would try for long). Raises: ConfigError: nobody."""
    config = config_of(state, kafka)
    for address in config.bootstrap.split(","):
        host, _, port = address.rpartition(":")
        with suppress(OSError, ValueError):
            socket.create_connection((host, int(port)), timeout=3.0).close()
            return config
    raise ConfigError(
        f"No Kafka answers at {config.bootstrap}; start a stack (formcheck up), or name one with --kafka."
    )


# -- up ------------------------------------------------------------------------------------------------------------


def up(
    brokers: Annotated[int, typer.Option(metavar="1|3", help="Kafka's brokers; 3 = replication 3.")] = 1,
    test_cameras: Annotated[int, typer.Option(min=0, max=64, help="RTSP cameras that loop a clip, added.")] = 0,
    clip: Annotated[list[Path] | None, typer.Option(help="What test cameras show (.mp4, H.264); repeat it.")] = None,
    no_triton: Annotated[bool, typer.Option("--no-triton", help="Pose networks run inside the pose service.")] = False,
    pose: Annotated[str, typer.Option(metavar="PROFILE", help="Pose network: movenet or blazepose.")] = "movenet",
    replicas: Annotated[str, typer.Option(metavar="pose=2,…", help="More than one of a service.")] = "",
    ports_from: Annotated[
        int | None, typer.Option(metavar="N", help="All ports from N on, not the usual ones.")
    ] = None,
    files: Annotated[list[Path] | None, typer.Option(help="A folder whose videos may be streams; repeat it.")] = None,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="Scrape everything.")] = False,
    state: State = None,
) -> None:
    """Start Kafka, Triton and the services on this machine; Ctrl-C stops them, twice kills them."""
    with guarded():
        from services.local.stack.cameras import DEMO
        from services.local.stack.processes import ROOT
        from services.local.stack.up import Stack

        folder = (state or default_folder()).absolute()
        stack = Stack(
            folder,
            brokers=brokers,
            triton=not no_triton,
            cameras=test_cameras,
            clips=clip or (DEMO,),
            replicas=read_replicas(replicas),
            ports=_ports(ports_from),
            files=[*(files or [Path.cwd()]), ROOT / "assets", folder / "uploads"],
            profile=pose,
            with_prometheus=prometheus,
            again=True,
            say=lambda line: print(f"formcheck: {line}", flush=True),
        )
        try:
            with _stop_on_signals(stack) as stopped, stack:
                for uri in stack.cameras.uris if stack.cameras else ():
                    _add_camera(stack, uri)
                print(where_is_what(stack), flush=True)
                while not stopped.wait(1.0):
                    pass
        except KeyboardInterrupt:
            print("formcheck: stopped; nothing runs any more", flush=True)


def _ports(first: int | None) -> "PortBook":
    from services.local.stack.ports import PortBook

    return PortBook.usual() if first is None else PortBook.counted_from(first)


def read_replicas(text: str) -> dict[str, int]:
    """``pose=2,segment=2``. Raises: ConfigError: it is not of that form (``Stack`` looks at names and numbers)."""
    found: dict[str, int] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, count = part.partition("=")
        if not count.isdigit():
            raise ConfigError(f"--replicas {text}: write a service and a number, as in pose=2,segment=2")
        found[name.strip()] = int(count)
    return found


@contextmanager
def _stop_on_signals(stack: "Stack") -> Iterator[threading.Event]:
    """The first Ctrl-C (or SIGTERM, or the terminal's end) interrupts whatever goes on; the second kills all."""
    stopped = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            stack.kill()
            os.write(2, b"formcheck: killed\n")
            os._exit(FORCED)
        stopped.set()
        os.write(1, b"formcheck: stopping; Ctrl-C again kills\n")
        if not stack.closing:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield stopped
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _add_camera(stack: "Stack", uri: str) -> None:
    from services.local.stack.streams import new_spec, publish_spec

    publish_spec(stack.config(), new_spec(uri))


def where_is_what(stack: "Stack") -> str:
    """A table of addresses and logs, and what to do next."""
    rows = [("kafka", stack.kafka.bootstrap, "", ", ".join(map(str, stack.kafka.logs)))]
    if stack.triton is not None:
        rows.append(("triton", f"grpc {stack.triton.grpc_target}", stack.triton.metrics_url, str(stack.triton.log)))
    for name, process in stack.processes.items():
        metrics = f"http://127.0.0.1:{process.http_port}/metrics"
        rows.append(
            (name, f"grpc 127.0.0.1:{process.grpc_port}" if process.grpc_port else "", metrics, str(process.log))
        )
    rows += [(f"camera {i + 1}", uri, "", "") for i, uri in enumerate(stack.cameras.uris if stack.cameras else ())]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]).rstrip() for row in rows
    ]
    state = "" if stack.folder == default_folder().absolute() else f" --state {stack.folder}"
    return "\n".join(
        [
            "", *lines, "",
            "/healthz and /readyz are beside /metrics. In another terminal:",
            f"  formcheck streams add rtsp://CAMERA{state}      (or a video file)",
            f"  formcheck streams list{state}",
            f"  formcheck watch{state}",
            "Ctrl-C stops everything.", "",
        ]
    )  # fmt: skip


# -- streams -------------------------------------------------------------------------------------------------------


@streams.command("add")
def streams_add(
    source: Annotated[str, typer.Argument(metavar="URI|FILE", help="rtsp://…, http://…, rtmp://… or a video file.")],
    name: Annotated[str | None, typer.Option(help="The stream's id; default: the end of the address.")] = None,
    tenant: Annotated[str, typer.Option(help="Whose stream it is.")] = "local",
    fps: Annotated[float | None, typer.Option(help="Frames/s to analyse (camera: 10, file: every frame).")] = None,
    exercise: Annotated[str | None, typer.Option(metavar="ID", help="Exercise id; default: recognise it.")] = None,
    state: State = None,
    kafka: Kafka = None,
) -> None:
    """Have a camera watched, or a file analysed once."""
    with guarded():
        from services.local.stack.streams import new_spec, publish_spec

        config = reach(state, kafka)
        path = _within_reach(source, state)
        spec = new_spec(path, name=name, tenant=tenant, analysis_fps=fps, exercise=exercise)
        publish_spec(config, spec)
        print(f"{spec.name} added ({spec.mode.value}); see it with: formcheck watch {spec.name}")


def _within_reach(source: str, state: Path | None) -> str:
    """The same; a file that the stack may not read where it lies is copied to the stack's uploads."""
    told = read_stack(state or default_folder())
    path = Path(source)
    if told is None or "://" in source or not path.is_file():
        return source
    folders = [Path(folder) for folder in told.get("files", [])]
    if not folders or any(path.resolve().is_relative_to(folder) for folder in folders):
        return source
    copy = folders[-1] / path.name
    shutil.copyfile(path, copy)
    print(f"{path} lies outside of the stack's folders; a copy is at {copy}")
    return str(copy)


@streams.command("list")
def streams_list(state: State = None, kafka: Kafka = None) -> None:
    """What is wanted of each stream, and what it is doing."""
    with guarded():
        from services.local.stack.streams import list_streams, render_streams

        print(render_streams(list_streams(reach(state, kafka))))


Name = Annotated[str, typer.Argument(metavar="NAME", help="tenant/stream, or stream for local/stream.")]


def full_name(name: str) -> str:
    return name if "/" in name else f"local/{name}"


@streams.command("pause")
def streams_pause(
    name: Name,
    go_on: Annotated[bool, typer.Option("--go-on", help="End the pause.")] = False,
    state: State = None,
    kafka: Kafka = None,
) -> None:
    """Pause a stream, or go on with it."""
    with guarded():
        from services.local.stack.streams import pause_stream

        pause_stream(reach(state, kafka), full_name(name), paused=not go_on)
        print(f"{full_name(name)} {'goes on' if go_on else 'paused'}")


@streams.command("remove")
def streams_remove(name: Name, state: State = None, kafka: Kafka = None) -> None:
    """Take a stream away; what was found of it stays."""
    with guarded():
        from services.local.stack.streams import remove_stream

        remove_stream(reach(state, kafka), full_name(name))
        print(f"{full_name(name)} removed")


# -- dlq, watch ----------------------------------------------------------------------------------------------------


def dlq(context: typer.Context) -> None:
    """Records that could not be processed: list them, send them again."""
    with guarded():
        from services.local.stack.dlq import app

        if context.args and not {"--help", "--kafka"} & set(context.args):
            os.environ["FORMCHECK_KAFKA_BOOTSTRAP"] = reach(None, None).bootstrap
    app(context.args, prog_name="formcheck dlq")


def watch(
    name: Annotated[str | None, typer.Argument(metavar="[STREAM]", help="One stream; default: all.")] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="Begin with those that are kept from before.")] = False,
    state: State = None,
    kafka: Kafka = None,
) -> None:
    """Print assessments as they come: time in the stream, exercise, repetition, score, cue."""
    with guarded():
        from services.local.stack.following import assessments

        for line in assessments(reach(state, kafka), full_name(name) if name else None, all_of_them):
            print(line, flush=True)
