"""The ``formcheck`` command."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, TypeVar

import typer

from services.common.errors import FormcheckError
from services.local import cli_stack

if TYPE_CHECKING:
    from services.local import batch

# Heavy modules are imported where they are used: `formcheck --help` and errors in arguments answer at once.

ALL_FAILED, USAGE, SOME_FAILED, INTERRUPTED = 1, 2, 3, 130
T = TypeVar("T")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Watches dumbbell training on video: repetitions, what was wrong with each, and how to fix it.",
    epilog="Exit codes: 0 all inputs succeeded, 1 none did, 2 wrong usage, 3 some did, 130 interrupted.",
)


def fail(message: str, code: int = ALL_FAILED) -> NoReturn:
    """One sentence on stderr, then out."""
    print(f"formcheck: {' '.join(message.split())}", file=sys.stderr)
    raise typer.Exit(code)


def _guard(work: Callable[[], T]) -> T:
    try:
        return work()
    except FormcheckError as e:
        fail(str(e))


def _resolve_exercise(name: str) -> str | None:
    """An exercise id for an id or alias; None for auto."""
    if name == "auto":
        return None
    from services.errors.adapters.catalogue import load_catalogue

    return _guard(lambda: load_catalogue().resolve(name))


def _document(text: str, target: str | None) -> None:
    if target is None:
        return
    if target == "-":
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    else:
        from services.local.outputs import write_whole

        _guard(lambda: write_whole(Path(target), text + "\n"))


Json = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="Write the JSON there (- = stdout).")]
Strictness = Annotated[float, typer.Option(min=0.0, max=1.0, help="0 = lenient, 1 = strict; 0.5 = published limits.")]


@app.command()
def analyze(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Video files, globs, folders or URLs.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Results: DIR, or DIR/<stem> for several inputs.")] = Path(
        "out"
    ),
    json_to: Json = None,
    exercise: Annotated[str, typer.Option(metavar="auto|ID", help="Exercise id, or recognise it.")] = "auto",
    pose: Annotated[str, typer.Option(metavar="PROFILE", help="Pose network: movenet or blazepose.")] = "movenet",
    people: Annotated[str, typer.Option(metavar="all|main", help="Everyone, or only the main person.")] = "all",
    strictness: Strictness = 0.5,
    start: Annotated[float | None, typer.Option(min=0.0, metavar="S", help="Begin at this second.")] = None,
    end: Annotated[float | None, typer.Option(min=0.0, metavar="S", help="Stop at this second.")] = None,
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="labels.json to show beside.")] = None,
    no_video: Annotated[bool, typer.Option("--no-video", help="Do not write annotated.mp4.")] = False,
    frame_codec: Annotated[
        str, typer.Option(metavar="none|jpeg", help="jpeg: pictures as they travel between the services.")
    ] = "none",
) -> None:
    """Analyse videos: report.json, report.html and annotated.mp4 for each."""
    from services.local import batch
    from services.local import inputs as inputs_module
    from services.local.pipeline import AnalyzeOptions
    from services.pose.core.profiles import Profile

    whom: Literal["all", "main"] = "main" if people == "main" else "all"
    if people not in ("all", "main"):
        fail(f"--people {people}: use all or main", USAGE)
    if frame_codec not in ("none", "jpeg"):
        fail(f"--frame-codec {frame_codec}: use none or jpeg", USAGE)
    codec: Literal["none", "jpeg"] = "jpeg" if frame_codec == "jpeg" else "none"
    if start is not None and end is not None and end <= start:
        fail(f"--end {end:g} is not after --start {start:g}; swap them", USAGE)
    _guard(lambda: Profile.get(pose))
    found = _guard(lambda: inputs_module.expand(inputs))
    options = AnalyzeOptions(
        exercise=_resolve_exercise(exercise), pose=pose, people=whom, strictness=strictness, start_s=start, end_s=end,
        frame_codec=codec,
    )  # fmt: skip
    jobs = [
        batch.Job(uri, folder, options, truth, video=not no_video)
        for uri, folder in zip(found.uris, inputs_module.out_folders(found, out), strict=True)
    ]
    outcomes = batch.run(jobs, quiet_stdout=json_to == "-")
    _document_reports(outcomes, found.many, json_to)
    failed = sum(o.error is not None for o in outcomes)
    if failed:
        raise typer.Exit(ALL_FAILED if failed == len(outcomes) else SOME_FAILED)


def _document_reports(outcomes: list["batch.Outcome"], many: bool, target: str | None) -> None:
    """``--json``: the report; of several inputs one report a line."""
    good = [o for o in outcomes if o.error is None]
    if target is None or not good:
        return
    texts = [o.report_path.read_text(encoding="utf-8").strip() for o in good]
    if many:
        texts = [json.dumps(json.loads(t), ensure_ascii=False) for t in texts]
    _document("\n".join(texts), target)


Poses = Annotated[Path, typer.Argument(metavar="POSES", help=".npy, or .npz with keypoints, poses or joints.")]
Layout = Annotated[str, typer.Option(metavar="LAYOUT", help="mediapipe33|coco17|openpose18|rmd16|repcount104")]
Fps = Annotated[float, typer.Option(metavar="F", help="Frames per second of the poses.")]


@app.command()
def segment(poses: Poses, layout: Layout, fps: Fps, json_to: Json = None) -> None:
    """Repetitions of a pose sequence."""
    from services.local.report.build import build_segment
    from services.local.sequences import load_sequence, run_sequence

    sequence = _guard(lambda: load_sequence(poses, layout, fps))
    result = _guard(lambda: run_sequence(sequence))
    document = build_segment(fps, result.repetitions)
    _finish_sequence(document.model_dump_json(by_alias=True, indent=1), json_to)


@app.command()
def assess(
    poses: Poses,
    layout: Layout,
    exercise: Annotated[str, typer.Option(metavar="ID", help="Exercise id (or auto).")],
    fps: Fps,
    json_to: Json = None,
    strictness: Strictness = 0.5,
) -> None:
    """Repetitions of a pose sequence and what is wrong with each."""
    from services.local.report.build import build_assess
    from services.local.sequences import load_sequence, run_sequence

    wanted = _resolve_exercise(exercise)
    sequence = _guard(lambda: load_sequence(poses, layout, fps))
    result = _guard(lambda: run_sequence(sequence, wanted, strictness))
    document = build_assess(fps, result.repetitions, result.assessments, whole_sequence=result.whole)
    _finish_sequence(document.model_dump_json(by_alias=True, indent=1), json_to)


def _finish_sequence(text: str, json_to: str | None) -> None:
    """Without --json the document is printed too: there is no other result."""
    _document(text, json_to or "-")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the JSON documents, with a unit for every number."""
    from services.local.report.schema import json_schema

    print(json.dumps(json_schema(), indent=1))


@app.command()
def exercises() -> None:
    """List the exercises that are known by name, with their aliases."""
    from services.errors.adapters.catalogue import load_catalogue

    for item in _guard(load_catalogue):
        aliases = f"  ({', '.join(item.aliases)})" if item.aliases else ""
        print(f"{item.id}{aliases}")


cli_stack.register(app)


def main() -> None:
    """Entry point: no traceback reaches the user for what formcheck raises on purpose, or for Ctrl-C."""
    # Default SIGTERM kills without clean-up; as an exit it removes half-written files like Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except KeyboardInterrupt:
        print("formcheck: interrupted; nothing half-written is left", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ALL_FAILED)


if __name__ == "__main__":
    main()
