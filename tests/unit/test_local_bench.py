"""The speed benchmark: what it keeps of a run that was cut short, and what it reckons."""

from pathlib import Path

import pytest

from bench.analyze import Clip, Run, missing, overall, read_runs, write_run


def clips(*names: str) -> list[Clip]:
    return [Clip(Path(n)) for n in names]


def test_a_run_cut_short_is_taken_up_where_it_ended(tmp_path: Path) -> None:
    file, first = tmp_path / "runs.jsonl", clips("a.mp4", "b.mp4")
    whole = [(c.path.name, ours) for c, ours in missing(first, 2)]
    assert whole == [
        ("a.mp4", True), ("a.mp4", False), ("b.mp4", True), ("b.mp4", False),
        ("a.mp4", False), ("a.mp4", True), ("b.mp4", False), ("b.mp4", True),
    ]  # fmt: skip
    for clip, ours in list(missing(first, 2))[:5]:
        write_run(file, clip, ours, Run(90, 1.5, 2.5), 3.0)
    again = clips("a.mp4", "b.mp4")
    read_runs(file, again, 3.0)
    assert [(c.path.name, ours) for c, ours in missing(again, 2)] == whole[5:]
    assert again[0].theirs == [Run(90, 1.5, 2.5)] * 2
    (only,) = clips("b.mp4")
    read_runs(file, [only], 3.0)
    assert (len(only.ours), len(only.theirs)) == (1, 1)


def test_runs_of_another_length_or_another_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    write_run(file, Clip(Path("a.mp4")), True, Run(90, 1.5, 2.5), 3.0)
    with pytest.raises(SystemExit, match="not None"):
        read_runs(file, clips("a.mp4"), None)
    file.write_text('{"some": "thing"}\n')
    with pytest.raises(SystemExit, match="line 1"):
        read_runs(file, clips("a.mp4"), 3.0)


def test_ratios_are_of_medians_and_the_whole_is_frames_by_time() -> None:
    fast = Clip(Path("a.mp4"), [Run(100, 1.0, 1.8), Run(100, 0.5, 0.9), Run(100, 10.0, 9.0)], [Run(100, 2.0, 2.2)])
    slow = Clip(Path("b.mp4"), [Run(300, 6.0, 9.0)], [Run(300, 6.0, 6.0)])
    assert fast.ratio == pytest.approx(2.0)
    assert slow.ratio == pytest.approx(1.0)
    assert slow.ours[0].cpu_ms == pytest.approx(30.0)
    assert overall([fast, slow]) == pytest.approx((400 / 7.0, 400 / 8.0))
