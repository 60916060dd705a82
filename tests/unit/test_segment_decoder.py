"""The decoder on scripted network outputs: what is counted, what is not and why, and where the boundaries lie."""

from dataclasses import replace

import numpy as np
import pytest

from services.common.types import Reason, Status
from services.segment.core.candidate import HINDSIGHT_BACK_S
from services.segment.core.decoder import Decision, TrackDecoder
from services.segment.core.network import EXERCISES, Reading
from services.segment.core.resample import TICK_S

_EXERCISE = np.full(len(EXERCISES), np.log(1 / len(EXERCISES)), np.float32)
REST, OUT, BACK, HOLD = range(4)


def reading(phase: int, progress: float, activity: float = 0.95, event: int | None = None) -> Reading:
    phases = np.full(4, 0.02, np.float32)
    phases[phase] = 0.94
    events = np.full(3, 0.02, np.float32)
    if event is not None:
        events[event] = 0.9
    return Reading(phases, events, progress, activity, _EXERCISE)


def repetition(out: int = 12, back: int = 12, peak: float = 1.0, low: float = 0.0) -> list[Reading]:
    """A whole repetition of so many ticks, with its events."""
    up = [reading(OUT, low + (peak - low) * (i + 1) / out, event=0 if i == 0 else None) for i in range(out)]
    up[-1] = reading(OUT, peak, event=1)
    down = [reading(BACK, peak - (peak - low) * (i + 1) / back) for i in range(back)]
    down[-1] = reading(BACK, low, event=2)
    return up + down


def rest(ticks: int = 15) -> list[Reading]:
    return [reading(REST, 0.0)] * ticks


def decode(readings: list[Reading], finish: Reason | None = Reason.INTERRUPTED) -> list[Decision]:
    decoder, out = TrackDecoder(), []
    for i, r in enumerate(readings):
        out += decoder.step(i * TICK_S, r, 1.0, np.full(24, r.progress, np.float32))
    return out + (decoder.finish(finish) if finish else [])


def finals(decisions: list[Decision]) -> list[tuple[Status, Reason | None]]:
    return [(d.status, d.reason) for d in decisions if d.status is not Status.PROVISIONAL]


CONFIRMED = (Status.CONFIRMED, None)


def test_three_repetitions_with_rests_are_counted_where_they_are() -> None:
    made = decode(rest() + (repetition() + rest()) * 3)
    assert finals(made) == [CONFIRMED] * 3
    for i, d in enumerate(d for d in made if d.status is Status.CONFIRMED):
        start = 15 + i * 39
        assert d.onset_s == pytest.approx(start * TICK_S, abs=0.1)
        assert d.turn_s == pytest.approx((start + 11) * TICK_S, abs=0.1)
        assert d.offset_s == pytest.approx((start + 23) * TICK_S, abs=0.1)


def test_every_provisional_has_one_end() -> None:
    made = decode(rest() + repetition() + repetition(peak=0.35) + rest() + repetition()[:14])
    open_now = 0
    for d in made:
        open_now += 1 if d.status is Status.PROVISIONAL else -1
        assert open_now in (0, 1)
    assert open_now == 0


def test_touching_repetitions_are_two() -> None:
    made = decode(rest() + repetition(low=0.1) + repetition() + rest())
    assert finals(made) == [CONFIRMED] * 2
    first, second = (d for d in made if d.status is Status.CONFIRMED)
    assert first.offset_s is not None
    assert first.offset_s <= second.onset_s + 0.1


def test_a_bounce_at_the_far_end_is_one() -> None:
    bounce = [reading(BACK, 0.9), reading(BACK, 0.8), reading(BACK, 0.75), reading(OUT, 0.8), reading(OUT, 0.95)]
    both = repetition()
    assert finals(decode(rest() + both[:12] + bounce + both[12:] + rest())) == [CONFIRMED]


def test_a_small_movement_is_an_attempt() -> None:
    assert finals(decode(rest() + repetition(peak=0.38) + rest())) == [(Status.ATTEMPT, Reason.PARTIAL_RANGE)]


def test_a_twitch_is_nothing() -> None:
    assert decode([*rest(), reading(OUT, 0.05), reading(OUT, 0.1), *rest()]) == []


def test_movement_without_activity_is_no_candidate() -> None:
    quiet = [Reading(r.phase, r.events, r.progress, 0.1, r.exercise) for r in repetition()]
    assert decode(rest() + quiet + rest()) == []


@pytest.mark.parametrize(
    ("ticks", "want"), [(10, (Status.ATTEMPT, Reason.INTERRUPTED)), (23, CONFIRMED)], ids=["on the way", "nearly back"]
)
def test_the_end_of_the_input(ticks: int, want: tuple[Status, Reason | None]) -> None:
    assert finals(decode(rest() + repetition()[:ticks])) == [want]


def test_a_start_at_the_far_end_is_an_attempt() -> None:
    assert finals(decode(repetition()[12:] + rest() + repetition() + rest())) == [
        (Status.ATTEMPT, Reason.INTERRUPTED),
        CONFIRMED,
    ]


def test_a_hold_of_more_than_twelve_seconds_is_too_long() -> None:
    long = repetition()[:12] + [reading(HOLD, 1.0)] * 200 + repetition()[12:]
    assert finals(decode(rest() + long + rest())) == [(Status.ATTEMPT, Reason.TOO_LONG)]


def test_half_the_sets_size_is_partial() -> None:
    decoder = TrackDecoder()
    decoder.usual_amplitude = 10.0
    out = []
    for i, r in enumerate(rest() + repetition(peak=0.6) + rest()):
        out += decoder.step(i * TICK_S, r, 1.0, np.full(24, 0.1 * r.progress, np.float32))
    assert finals(out) == [(Status.ATTEMPT, Reason.PARTIAL_RANGE)]


def test_decisions_come_within_the_lag() -> None:
    decoder = TrackDecoder()
    for i, r in enumerate(rest() + repetition() + rest()):
        for d in decoder.step(i * TICK_S, r, 1.0, np.zeros(24, np.float32)):
            if d.offset_s is not None:
                assert i * TICK_S - d.offset_s <= 2 * TICK_S + 1e-9


def test_a_way_out_that_was_not_noticed_is_made_up_for() -> None:
    """The network sees only the way back for what it is; progress tells the rest."""
    missed = [Reading(reading(REST, 0).phase, r.events, r.progress, 0.9, _EXERCISE) for r in repetition()[:12]]
    made = decode(rest() + missed + repetition()[12:] + rest())
    assert finals(made) == [CONFIRMED]
    assert made[-1].onset_s == pytest.approx(15 * TICK_S, abs=0.15)


def test_an_input_that_begins_in_the_middle_of_the_way_out_is_an_attempt() -> None:
    assert finals(decode(repetition()[7:] + rest()))[0] == (Status.ATTEMPT, Reason.INTERRUPTED)


def unsure(readings: list[Reading]) -> list[Reading]:
    """The same without an onset's event."""
    return [replace(r, events=np.array([0.02, *r.events[1:]], np.float32)) for r in readings]


def with_hindsight(readings: list[Reading], onset_tick: int, first_tick: int) -> list[Reading]:
    """What the network says once it knows better: at every tick, that the movement began at ``onset_tick``."""
    return [
        replace(r, elapsed_s=(first_tick + i - onset_tick) * TICK_S) if r.phase.argmax() != REST else r
        for i, r in enumerate(readings)
    ]


def test_hindsight_moves_an_unsure_onset_but_not_the_name_of_a_repetition() -> None:
    """A step that was taken for walking turns out to have begun a lunge."""
    late = with_hindsight(unsure(repetition(out=18)), onset_tick=9, first_tick=15)
    made = decode(rest() + late + rest())
    plain = decode(rest() + unsure(repetition(out=18)) + rest())
    provisional, confirmed = made
    assert confirmed.onset_s == pytest.approx(9 * TICK_S, abs=0.07)
    assert confirmed.first_onset_s == provisional.onset_s == pytest.approx(15 * TICK_S, abs=0.1)
    assert plain[1].onset_s == plain[0].onset_s
    assert (confirmed.turn_s, confirmed.offset_s) == (plain[1].turn_s, plain[1].offset_s)


def test_an_onset_by_its_event_stays() -> None:
    made = decode(rest() + with_hindsight(repetition(out=18), onset_tick=9, first_tick=15) + rest())
    assert made[1].onset_s == made[0].onset_s


def test_hindsight_reaches_neither_far_nor_into_the_repetition_before() -> None:
    far = decode(rest(40) + with_hindsight(unsure(repetition(out=18)), onset_tick=5, first_tick=40) + rest())
    assert far[1].onset_s == pytest.approx(far[0].onset_s - HINDSIGHT_BACK_S, abs=0.01)
    second_one = with_hindsight(unsure(repetition()), onset_tick=33, first_tick=43)
    twice = decode(rest() + repetition() + rest(4) + second_one + rest())
    first, second = (d for d in twice if d.status is Status.CONFIRMED)
    assert first.offset_s is not None
    assert second.onset_s >= first.offset_s


def test_a_way_out_that_was_not_believed_counts_once_the_way_back_is_plain() -> None:
    """The first repetition after standing about: it may as well be a stretch until the weight comes down again."""

    def doubtful(progress: float) -> Reading:
        return Reading(np.array([0.6, 0.36, 0.02, 0.02], np.float32), np.full(3, 0.02), progress, 0.5, _EXERCISE)

    start = 15
    out = [reading(OUT, 0.05), reading(OUT, 0.1), *(doubtful(0.1 + 0.06 * i) for i in range(14))]
    back = [reading(BACK, 0.9 * (1 - (i + 1) / 14), event=2 if i == 13 else None) for i in range(14)]
    made = decode(rest(start) + with_hindsight([*out, *back], onset_tick=start, first_tick=start) + rest())
    confirmed = [d for d in made if d.status is Status.CONFIRMED]
    assert len(confirmed) == 1
    assert confirmed[0].onset_s == pytest.approx(start * TICK_S, abs=0.15)
    assert confirmed[0].offset_s == pytest.approx((start + 29) * TICK_S, abs=0.15)


def decode_with_body(readings: list[Reading], away: list[float]) -> list[Decision]:
    """``away``: how far the body itself is from rest at each tick."""
    decoder, out = TrackDecoder(), []
    for i, (r, a) in enumerate(zip(readings, away, strict=True)):
        out += decoder.step(i * TICK_S, r, 1.0, np.full(24, a, np.float32))
    return out


def test_the_end_is_waited_for_while_the_body_itself_comes_back() -> None:
    readings = rest() + repetition() + rest(40)
    prompt = [r.progress for r in readings]
    lasting = [*prompt[:27], *(max(1 - (i + 1) / 24, 0.0) for i in range(len(readings) - 27))]
    never = [*prompt[:27], *(max(1 - (i + 1) / 24, 0.5) for i in range(len(readings) - 27))]
    ends = [
        [d for d in decode_with_body(readings, a) if d.status is Status.CONFIRMED] for a in (prompt, lasting, never)
    ]
    assert [len(e) for e in ends] == [1, 1, 1]
    at_once, late, stopped = (e[0].offset_s for e in ends)
    assert at_once == pytest.approx(39 * TICK_S, abs=0.1)
    assert late == pytest.approx(49 * TICK_S, abs=0.25)  # 24 ticks of way back, but for the last tenth
    assert stopped == pytest.approx(39 * TICK_S, abs=0.25)  # it stays away: another stance, or a walking lunge


def test_no_body_is_waited_for_for_ever() -> None:
    readings = rest() + repetition() + rest(200)
    endless = [r.progress for r in readings][:27] + [1 - 0.005 * i for i in range(len(readings) - 27)]
    slow = [r.progress for r in readings][:27] + [1 - 0.021 * i for i in range(len(readings) - 27)]
    for away in (endless, [abs(a) for a in slow]):
        (one,) = [d for d in decode_with_body(readings, away) if d.status is Status.CONFIRMED]
        assert one.offset_s is not None
        assert one.offset_s < (39 + 45) * TICK_S
