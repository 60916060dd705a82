"""Analyse inputs one by one or as many at once as there are cores, with progress, and write their results."""

import multiprocessing
import os
import queue
import signal
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from services.common.errors import FormcheckError
from services.local import outputs, summary
from services.local import truth as truth_module
from services.local.inputs import stem_of
from services.local.pipeline import AnalyzeOptions, Progress

_REPORT_EVERY_S = 0.2
_updates: Any = None  # in a worker process: the queue to the parent


@dataclass(frozen=True, slots=True)
class Job:
    """One input and where its results go."""

    uri: str
    folder: Path
    options: AnalyzeOptions
    truth: Path | None
    video: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """``error``: the one sentence, or None. ``summary``: lines to print."""

    uri: str
    report_path: Path
    summary: str = ""
    error: str | None = None


class _Board(AbstractContextManager["_Board"]):
    """A progress bar per running input on stderr, silent where that is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def update(self, job: int, name: str, stage: str, progress: Progress) -> None:
        task = self._tasks.get(job)
        if task is None:
            task = self._tasks[job] = self._bars.add_task("", total=None, speed="")
        self._bars.update(
            task,
            description=f"{escape(name)} · {stage}",
            total=progress.total_s,
            completed=progress.position_s,
            speed=f"{progress.speed:.1f}× real time",
        )

    def done(self, job: int) -> None:
        if job in self._tasks:
            self._bars.remove_task(self._tasks.pop(job))


def _analyze_job(number: int, job: Job, tell: Any) -> Outcome:
    """Analyse and write. FormcheckErrors become the outcome's sentence."""
    from services.local.pipeline import analyze
    from services.local.report.annotate import annotate_video
    from services.local.report.build import build_report
    from services.local.report.html import render_html

    name = stem_of(job.uri)
    last = 0.0

    def progress(stage: str, p: Progress) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= _REPORT_EVERY_S:
            last = now
            tell(number, name, stage, p)

    report_path = job.folder / "report.json"
    try:
        truth = truth_module.load_truth(job.truth, job.uri) if job.truth else None
        result = analyze(job.uri, job.options, truth, lambda p: progress("analysing", p))
        with outputs.whole_files(job.folder) as scratch:
            video = "annotated.mp4" if job.video and result.timings["frames"] > 0 else None
            if video:
                started = time.perf_counter()
                total = result.source.duration_s

                def drawing(position_s: float) -> None:
                    progress("drawing", Progress(0, position_s, total, time.perf_counter() - started))

                annotate_video(
                    result,
                    scratch / video,
                    start_s=job.options.start_s,
                    end_s=job.options.end_s,
                    progress=drawing,
                )
                result.timings["annotate_s"] = time.perf_counter() - started
            report = build_report(result)
            (scratch / "report.json").write_text(report.model_dump_json(by_alias=True, indent=1) + "\n", "utf-8")
            (scratch / "report.html").write_text(render_html(result, video=video), "utf-8")
        return Outcome(job.uri, report_path, summary.of_result(result, job.folder))
    except FormcheckError as e:
        return Outcome(job.uri, report_path, error=" ".join(str(e).split()))


def _init_worker(updates: Any) -> None:
    global _updates
    _updates = updates
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _work(number: int, job: Job) -> Outcome:
    try:
        return _analyze_job(number, job, lambda *update: _updates.put(update))
    except KeyboardInterrupt:
        return Outcome(job.uri, job.folder / "report.json", error=f"{job.uri}: interrupted")


def run(jobs: list[Job], quiet_stdout: bool = False) -> list[Outcome]:
    """Run all jobs; print each one's summary (stdout, or stderr where stdout is taken) or error (stderr)."""
    out = sys.stderr if quiet_stdout else sys.stdout
    cores = os.process_cpu_count() if hasattr(os, "process_cpu_count") else len(os.sched_getaffinity(0))
    if len(jobs) == 1:
        with _Board() as board:
            outcomes = [_analyze_job(0, jobs[0], board.update)]
        _print(outcomes[0], out)
        return outcomes
    single = [replace(j, options=replace(j.options, threads=1)) for j in jobs]
    return _run_many(single, min(len(jobs), max(cores or 1, 1)), out)


def _run_many(jobs: list[Job], workers: int, out: Any) -> list[Outcome]:
    context = multiprocessing.get_context("spawn")
    updates = context.Queue()
    outcomes: dict[int, Outcome] = {}
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_init_worker, initargs=(updates,))
    try:
        with _Board() as board:
            running: dict[Future[Outcome], int] = {pool.submit(_work, i, job): i for i, job in enumerate(jobs)}
            while running:
                finished, _ = wait(running, timeout=_REPORT_EVERY_S, return_when=FIRST_COMPLETED)
                _drain(updates, board, outcomes)
                for future in finished:
                    i = running.pop(future)
                    outcomes[i] = _outcome(future, jobs[i])
                    board.done(i)
                    _print(outcomes[i], out)
    except BaseException:
        # Ctrl-C reaches the workers too (same process group); SIGTERM to this process does not.
        for process in multiprocessing.active_children():
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return [outcomes[i] for i in range(len(jobs))]


def _drain(updates: Any, board: _Board, outcomes: dict[int, Outcome]) -> None:
    while True:
        try:
            number, name, stage, progress = updates.get_nowait()
        except queue.Empty:
            return
        if number not in outcomes:
            board.update(number, name, stage, progress)


def _outcome(future: "Future[Outcome]", job: Job) -> Outcome:
    try:
        return future.result()
    except Exception as e:  # a worker that was killed, or a bug: the other inputs go on
        return Outcome(
            job.uri, job.folder / "report.json", error=f"{job.uri}: analysis failed ({e!r}); please report it"
        )


def _print(outcome: Outcome, out: Any) -> None:
    if outcome.error is not None:
        print(f"formcheck: {outcome.error}", file=sys.stderr)
    else:
        print(outcome.summary, file=out, flush=True)
