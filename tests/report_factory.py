"""A made-up but plausible analysis result for tests of the report: figures that curl, with mistakes and attempts."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import BONES, INDEX
from services.common.types import (
    LOCAL_STREAM,
    Assessment,
    ErrorFinding,
    Frame,
    NetworkTrace,
    Phase,
    Phases,
    PoseWindow,
    Reason,
    Repetition,
    Status,
)
from services.errors.core.sets import summarise_sets
from services.local.results import (
    AnalysisResult,
    PersonResult,
    SourceResult,
    Thumbnail,
    Truth,
    TruthRepetition,
    WarningResult,
)

WIDTH, HEIGHT, FPS = 640, 480, 30.0
RANGE = (165.0, 48.0)  # deg at the elbow: rest, full flexion


@dataclass(frozen=True)
class _Plan:
    onset_s: float
    turn_s: float
    offset_s: float
    set_index: int
    index: int
    depth: float  # 1 = the whole range
    errors: tuple[tuple[str, float, float, float, str, str], ...] = ()  # code, severity, value, limit, unit, side
    reason: Reason | None = None


def _plans(repetitions: int, start_s: float) -> list[_Plan]:
    mistakes = {
        2: (("ELBOW_DRIFT", 0.7, 47.2, 35.0, "deg", "left"),),
        4: (
            ("INCOMPLETE_EXTENSION", 0.3, 148.0, 155.0, "deg", "both"),
            ("UNCONTROLLED_LOWERING", 0.5, 0.3, 0.36, "s", "both"),
        ),
        5: (("ELBOW_DRIFT", 0.4, 41.0, 35.0, "deg", "left"),),
    }
    plans, t, set_index, index = [], start_s, 1, 0
    half = max(1, (repetitions + 1) // 2)
    for i in range(repetitions):
        if i == half:
            plans.append(_Plan(t, t + 0.5, t + 1.1, set_index, 0, 0.4, reason=Reason.PARTIAL_RANGE))
            t, set_index, index = t + 3.5, 2, 0
        index += 1
        up, down = 0.9 + 0.08 * (i % 3), 0.6 if i == 4 else 1.3 + 0.1 * (i % 2)
        errors = mistakes.get(i % 7, ())
        depth = 0.88 if any(e[0] == "INCOMPLETE_EXTENSION" for e in errors) else 1.0 - 0.015 * i
        plans.append(_Plan(t, t + up, t + up + 0.2 + down, set_index, index, max(0.5, depth), errors))
        t += up + 0.2 + down + 0.25
    return plans


def _smooth(x: float) -> float:
    x = min(1.0, max(0.0, x))
    return x**3 * (10 - 15 * x + 6 * x * x)


def _progress(t: float, plans: list[_Plan]) -> tuple[float, Phase]:
    for plan in plans:
        if plan.onset_s <= t < plan.turn_s:
            return plan.depth * _smooth((t - plan.onset_s) / (plan.turn_s - plan.onset_s)), Phase.CONCENTRIC
        if plan.turn_s <= t < plan.turn_s + 0.2:
            return plan.depth, Phase.HOLD
        if plan.turn_s + 0.2 <= t < plan.offset_s:
            done = (t - plan.turn_s - 0.2) / (plan.offset_s - plan.turn_s - 0.2)
            return plan.depth * (1 - _smooth(done)), Phase.ECCENTRIC
    return 0.0, Phase.REST


def _pose(progress: float, centre_px: float, lag: float, drift_deg: float) -> NDArray[np.float32]:
    """(17, 2) px: a person seen from the front left, curling both arms; ``lag`` holds the right arm back."""
    points = np.zeros((17, 2), dtype=np.float32)
    body = {
        "nose": (0, -165), "left_eye": (6, -171), "right_eye": (-6, -171),
        "left_ear": (12, -168), "right_ear": (-12, -168),
        "left_shoulder": (36, -130), "right_shoulder": (-36, -130), "left_hip": (22, -10), "right_hip": (-22, -10),
        "left_knee": (24, 75), "right_knee": (-24, 75), "left_ankle": (25, 160), "right_ankle": (-25, 160),
    }  # fmt: skip
    for name, place in body.items():
        points[INDEX[name]] = place
    for side, sign in (("left", 1), ("right", -1)):
        own = progress if side == "left" else progress * (1 - lag)
        elbow_deg = RANGE[0] + own * (RANGE[1] - RANGE[0])
        upper = np.radians(8 + (drift_deg * own if side == "left" else 0))
        shoulder = points[INDEX[f"{side}_shoulder"]]
        elbow = shoulder + 62 * np.array([sign * np.sin(upper), np.cos(upper)])
        fore = upper + np.radians(180 - elbow_deg)
        points[INDEX[f"{side}_elbow"]] = elbow
        points[INDEX[f"{side}_wrist"]] = elbow + 56 * np.array([sign * np.sin(fore), np.cos(fore)])
    return points + np.array([centre_px, 270], dtype=np.float32)


def _person(track_id: int, repetitions: int, centre_px: float, start_s: float, duration_s: float) -> PersonResult:
    rng = np.random.default_rng(track_id)
    plans = _plans(repetitions, start_s)
    times = np.arange(round(duration_s * FPS)) / FPS
    keypoints = np.zeros((len(times), 17, 2), dtype=np.float32)
    scores = np.full((len(times), 17), 0.9, dtype=np.float32)
    traces: list[NetworkTrace] = []
    for i, t in enumerate(times):
        progress, phase = _progress(t, plans)
        drift = next(
            (45.0 for p in plans if p.onset_s <= t < p.offset_s and any(e[0] == "ELBOW_DRIFT" for e in p.errors)), 0.0
        )
        keypoints[i] = _pose(progress, centre_px, 0.06, drift) + rng.normal(0, 0.6, (17, 2))
        traces.append(_trace(track_id, t, progress, phase, plans, rng))
    middle = len(times) // 2
    scores[middle : middle + 40, [INDEX["right_elbow"], INDEX["right_wrist"]]] = 0.1
    person = PersonResult(track_id, 0.0, float(times[-1]), times, keypoints, scores, traces)
    for n, plan in enumerate(plans):
        _add_events(person, plan, n)
    person.sets = summarise_sets(person.assessments)
    return person


def _trace(
    track_id: int, t: float, progress: float, phase: Phase, plans: list[_Plan], rng: np.random.Generator
) -> NetworkTrace:
    logits = rng.normal(0, 0.35, 4)
    logits[list(Phase).index(phase)] += 3.5
    probabilities = np.exp(logits) / np.exp(logits).sum()
    marks = ("onset_s", "turn_s", "offset_s")
    events = [max((np.exp(-(((t - getattr(p, m)) / 0.06) ** 2)) for p in plans), default=0.0) * 0.9 for m in marks]
    active = any(p.onset_s - 0.4 <= t <= p.offset_s + 0.4 for p in plans)
    return NetworkTrace(
        LOCAL_STREAM, track_id, float(t), probabilities.astype(np.float32), np.array(events, np.float32),
        float(np.clip(progress + rng.normal(0, 0.02), 0, 1)),
        float(np.clip((0.95 if active else 0.08) + rng.normal(0, 0.02), 0, 1)),
    )  # fmt: skip


def _add_events(person: PersonResult, plan: _Plan, n: int) -> None:
    rid = f"local/file/0/{person.track_id}/{plan.onset_s:.3f}"
    common = {
        "id": rid, "stream": LOCAL_STREAM, "track_id": person.track_id, "set_index": plan.set_index,
        "exercise": "bicep_curl", "exercise_probability": 0.93, "confidence": 0.9,
    }  # fmt: skip
    person.events.append(
        Repetition(status=Status.PROVISIONAL, onset_s=plan.onset_s + 0.06, decided_s=plan.onset_s + 0.4, **common)
    )
    if n == 1:
        ghost = {**common, "id": rid + "g"}
        at = plan.offset_s + 0.05
        person.events.append(Repetition(status=Status.PROVISIONAL, onset_s=at, decided_s=at + 0.2, **ghost))
        person.events.append(
            Repetition(
                status=Status.RETRACTED,
                onset_s=at,
                offset_s=at + 0.2,
                decided_s=at + 0.5,
                reason=Reason.TOO_SHORT,
                **ghost,
            )
        )
    inside = (person.times_s >= plan.onset_s - 0.3) & (person.times_s <= plan.offset_s)
    window = PoseWindow(person.times_s[inside], person.keypoints[inside], person.scores[inside])
    final = Repetition(
        status=Status.ATTEMPT if plan.reason else Status.CONFIRMED, onset_s=plan.onset_s, turn_s=plan.turn_s,
        offset_s=plan.offset_s, decided_s=plan.offset_s + 0.4, index=plan.index, reason=plan.reason, window=window,
        phases=Phases(plan.turn_s - plan.onset_s, 0.2, plan.offset_s - plan.turn_s - 0.2, 0.25), **common,
    )  # fmt: skip
    person.events.append(final)
    if plan.reason is None:
        person.assessments.append(_assessment(final, plan))


def _assessment(final: Repetition, plan: _Plan) -> Assessment:
    reach = (RANGE[0] - RANGE[1]) * plan.depth
    errors = tuple(
        ErrorFinding(code, severity, 0.9, value, limit, unit, side, plan.turn_s)
        for code, severity, value, limit, unit, side in plan.errors
    )
    cues = {
        "ELBOW_DRIFT": "Keep your upper arm still: pin the elbow to your side and let only the forearm move.",
        "INCOMPLETE_EXTENSION": "Let the weight down all the way until the arm is straight.",
    }
    praise = "Good: the elbow stays where it belongs." if plan.index == 4 else None
    return Assessment(
        repetition=final,
        score=max(0.0, 100.0 - 40 * sum(e.severity for e in errors) - 8 * len(errors)),
        errors=errors,
        not_observable=("TORSO_SWING",) if plan.index % 2 else (),
        cue=cues.get(errors[0].code) if errors else praise,
        range_of_motion_deg={"left": reach, "right": reach * 0.94},
        asymmetry=0.06 + 0.01 * plan.index,
        measures={
            "concentric_mean_velocity_norm": 1.6 - 0.06 * plan.index, "elbow_drift_deg": 12.0, "torso_swing_deg": None,
        },
    )  # fmt: skip


def make_result(
    *, people: int = 1, repetitions: int = 7, truth: bool = True, thumbnails: bool = True
) -> AnalysisResult:
    """``people`` figures side by side, each curling ``repetitions`` times in two sets with an attempt between."""
    last = max((p.offset_s for p in _plans(repetitions, 1.2)), default=2.0)
    duration_s = round((last + 1.5 + 0.4 * max(0, people - 1)) * FPS) / FPS
    persons = [
        _person(i + 1, repetitions, WIDTH * (i + 1) / (people + 1), 1.2 + 0.4 * i, duration_s) for i in range(people)
    ]
    result = AnalysisResult(
        SourceResult("gym/monday <front> & side.mp4", duration_s, FPS, WIDTH, HEIGHT),
        [WarningResult("HARD_CUT", "The picture changes abruptly at 0:12.0; nothing is counted across the cut.")],
        persons,
        timings={"total_s": 4.21, "decode_s": 1.3, "pose_s": 2.4, "speed_fps": 96.2},
    )
    if truth and persons:
        result.truth = Truth(
            tuple(
                TruthRepetition(p.onset_s + 0.1, p.turn_s, p.offset_s - 0.05, "wrong" if p.errors else "correct")
                for p in _plans(repetitions, 1.2)
                if p.reason is None
            ),
            ((0.0, 0.8),),
            track_id=1,
        )
    if thumbnails:
        for person in persons:
            for repetition in person.final_repetitions():
                result.thumbnails[repetition.id] = _thumbnail(result, person, repetition.turn_s or repetition.onset_s)
    return result


def _thumbnail(result: AnalysisResult, person: PersonResult, time_s: float) -> Thumbnail:
    number = round(time_s * FPS)
    x0, y0 = (int(v) for v in np.maximum(person.keypoints[number].min(axis=0) - 30, 0))
    x1, y1 = (int(v) for v in np.minimum(person.keypoints[number].max(axis=0) + 30, (WIDTH, HEIGHT)))
    crop = frame(result, number).image[y0:y1, x0:x1]
    scale = 240 / crop.shape[0]
    small = cv2.resize(crop, (round(crop.shape[1] * scale), 240), interpolation=cv2.INTER_AREA)
    return Thumbnail(np.asarray(small, np.uint8), number / FPS, (float(x0), float(y0)), scale)


def frame(result: AnalysisResult, number: int) -> Frame:
    """Frame ``number`` of the video that the result pretends to have seen."""
    image = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[:] = np.linspace((196, 203, 208), (140, 146, 150), HEIGHT).astype(np.uint8)[:, None]
    image[430:] = (112, 104, 98)
    for person in result.people:
        if number < len(person.keypoints):
            _draw(image, person.keypoints[number], (58, 96, 140) if person.track_id % 2 else (140, 80, 70))
    return Frame(LOCAL_STREAM, number, number / FPS, image)


def _draw(image: NDArray[np.uint8], points: NDArray[np.float32], shirt: tuple[int, int, int]) -> None:
    def at(i: int) -> tuple[int, int]:
        return (round(float(points[i, 0])), round(float(points[i, 1])))

    cv2.fillConvexPoly(image, np.array([at(i) for i in (5, 6, 12, 11)]), shirt, cv2.LINE_AA)
    for a, b in BONES[:-2]:
        colour = (196, 154, 128) if a in (5, 6, 7, 8) and b in (7, 8, 9, 10) else shirt if a < 11 else (52, 56, 66)
        cv2.line(image, at(a), at(b), colour, 18 if a >= 11 else 14, cv2.LINE_AA)
    cv2.circle(image, at(0), 22, (196, 154, 128), -1, cv2.LINE_AA)
    for wrist in (9, 10):
        x, y = at(wrist)
        cv2.rectangle(image, (x - 14, y - 6), (x + 14, y + 6), (30, 32, 36), -1, cv2.LINE_AA)


def write_video(result: AnalysisResult, path: Path, *, frames: int | None = None) -> None:
    """The video that the result pretends to have seen, H.264."""
    total = frames or round((result.source.duration_s or 0) * FPS)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "23"}
        for i in range(total):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(result, i).image, format="rgb24")))
        container.mux(stream.encode())
