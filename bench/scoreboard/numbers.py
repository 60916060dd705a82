"""From rows to the numbers of the table, with intervals and targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.scoreboard.bootstrap import bootstrap
from bench.scoreboard.evaluate import SQUAT_CODES, Result, Row
from bench.scoreboard.metrics import auc, f1, ratio, summarise
from bench.scoreboard.mistaken import CodeCounts

COUNT_COLUMNS: Final = {
    "exact": "count exact", "obo": "OBO", "nmae": "nMAE", "rep_f1": "rep F1", "rep_f1_mean": "rep F1 per seq.",
    "bound_f1@0.3": "bounds F1 ±.3 s", "bound_f1@0.5": "bounds F1 ±.5 s", "bound_f1_relative_mean": "bounds F1 ±20 %",
    "polarity_wrong": "polarity wrong", "turn_error_s": "turn error s", "ghosts_per_min": "ghosts /min",
    "latency_p50_s": "commit p50 s", "latency_p95_s": "commit p95 s", "exercise": "exercise",
}  # fmt: skip
FORM_COLUMNS: Final = {
    "auc": "AUC", "wrong_precision": "wrong: precision", "wrong_recall": "wrong: recall", "wrong_f1": "wrong: F1",
    "wrong_macro_f1": "macro-F1", "mixed_macro_f1": "macro-F1 mixed", "squat_codes_f1": "squat mistakes F1",
    "shown": "named what it shows", "errors_macro_f1": "errors macro-F1", "errors_precision": "errors precision",
    "errors_recall": "errors recall", "clean_blamed": "clean blamed",
}  # fmt: skip

TARGETS: Final[dict[str, dict[str, tuple[str, float]]]] = {
    "clips": {
        "exact": ("≥", 0.85), "obo": ("≥", 18 / 19), "rep_f1": ("≥", 0.92), "bound_f1@0.3": ("≥", 0.80),
        "bound_f1@0.5": ("≥", 0.92), "ghosts_per_min": ("≤", 0.3), "exercise": ("≥", 0.80),
        "latency_p95_s": ("≤", 0.5), "wrong_precision": ("≥", 0.9), "wrong_recall": ("≥", 0.6), "shown": ("≥", 1.0),
    },
    "repcount_poses": {
        "obo": ("≥", 0.65), "nmae": ("≤", 0.25), "rep_f1_mean": ("≥", 0.75), "bound_f1_relative_mean": ("≥", 0.70),
    },
    "rmd": {"exact": ("≥", 0.95), "rep_f1": ("≥", 0.97), "mixed_macro_f1": ("≥", 0.92), "squat_codes_f1": ("≥", 0.75)},
    "rmd_planks": {"ghosts_per_min": ("≤", 0.5)},
    "pose_trainer": {"auc": ("≥", 0.80)},
    "simulator": {"rep_f1": ("≥", 0.98), "errors_macro_f1": ("≥", 0.90)},
    "rendered": {"exact": ("≥", 1.0), "rep_f1": ("≥", 0.98), "errors_macro_f1": ("≥", 0.90)},
}  # fmt: skip
"""Data set → number → what it should be, for our method."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One number. ``met`` None: no target."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    target: str = ""
    met: bool | None = None


def meets(value: float, target: tuple[str, float]) -> bool:
    """Whether a value reaches its target; NaN does not."""
    sign, aim = target
    return value >= aim - 1e-9 if sign == "≥" else value <= aim + 1e-9


def statistic(rows: Sequence[Row]) -> dict[str, float]:
    """All numbers of some rows of one method; what a row cannot tell is NaN."""
    counted = [r for r in rows if "count" in r and r["timed"]]
    out = summarise(counted) if counted else {}
    told = [r for r in rows if r.get("exercise_right") is not None]
    out["exercise"] = ratio(sum(r["exercise_right"] for r in told), len(told))
    if not any(r["true"] for r in counted):
        keep = ("exact", "ghosts_per_min", "obo", "nmae") if any(r["count"] for r in counted) else ("exact",)
        keep = (*keep, "ghosts_per_min", "exercise")
        out = {k: v for k, v in out.items() if k in keep}
    if rows and all(r.get("bad") is not None for r in rows) and all("badness" in r for r in rows):
        out |= _whole(rows)
    out |= _mixed(counted) | _codes(rows)
    flagged = sum(r.get("flagged_wrong", 0) for r in rows)
    if flagged:
        out["shown"] = sum(r["shown"] for r in rows) / flagged
    return out


def _whole(rows: Sequence[Row]) -> dict[str, float]:
    """Sequences labelled good or bad as a whole."""
    tp = sum(r["flagged"] and r["bad"] for r in rows)
    fp = sum(r["flagged"] and not r["bad"] for r in rows)
    bad = sum(bool(r["bad"]) for r in rows)
    fn, tn = bad - tp, len(rows) - bad - fp
    return {
        "auc": auc([bool(r["bad"]) for r in rows], [r["badness"] for r in rows]),
        "wrong_precision": ratio(tp, tp + fp),
        "wrong_recall": ratio(tp, bad),
        "wrong_f1": f1(tp, bad, tp + fp),
        "wrong_macro_f1": 0.5 * (f1(tp, bad, tp + fp) + f1(tn, tn + fp, tn + fn)),
    }


def _mixed(rows: Sequence[Row]) -> dict[str, float]:
    """Correct against incorrect within the videos that have both."""
    mixed = [r for r in rows if r.get("mixed")]
    if not mixed:
        return {}
    tp, fp, fn, tn = (sum(r[f"wrong_{k}"] for r in mixed) for k in ("tp", "fp", "fn", "tn"))
    return {"mixed_macro_f1": 0.5 * (f1(tp, tp + fn, tp + fp) + f1(tn, tn + fp, tn + fn))}


def pooled_codes(rows: Sequence[Row]) -> CodeCounts:
    """The counts per error code of some rows."""
    codes = CodeCounts()
    for r in rows:
        if "codes" in r:
            codes.add(r["codes"])
    return codes


def _codes(rows: Sequence[Row]) -> dict[str, float]:
    with_codes = [r for r in rows if "codes" in r]
    if not with_codes:
        return {}
    codes = pooled_codes(with_codes)
    if all(r["kind"] == "squats" for r in with_codes):
        values = [codes.f1(c) for c in SQUAT_CODES if codes.right[c] + codes.missed[c]]
        return {"squat_codes_f1": sum(values) / len(values)} if values else {}
    right, false, missed = (sum(getattr(codes, k).values()) for k in ("right", "false", "missed"))
    clean = [r for r in with_codes if r.get("planted") is None]
    return {
        "errors_macro_f1": codes.macro_f1(),
        "errors_precision": ratio(right, right + false),
        "errors_recall": ratio(right, right + missed),
        "clean_blamed": ratio(sum(bool(r["codes"].false) for r in clean), len(clean)),
    }


def cells(key: str, method: str, rows: Sequence[Row], ours: bool, draws: int) -> dict[str, Cell]:
    """Name of a number → cell, of one method on one data set."""
    values = statistic(rows)
    intervals = bootstrap(rows, statistic, draws=draws)
    targets = TARGETS.get(key, {}) if ours else {}
    out = {}
    for name, value in values.items():
        low, high = intervals.get(name, (float("nan"), float("nan")))
        target = targets.get(name)
        told = f"{target[0]} {target[1]:.2f}" if target else ""
        out[name] = Cell(value, low, high, told, meets(value, target) if target else None)
    return out


def badness(row: Row) -> float:
    """How badly a sequence went for our method: the appendix shows the worst first."""
    lost = 1.0 - 2 * row["hits"] / (row["true"] + row["found"]) if row["true"] + row["found"] else 0.0
    out = 2.0 * lost + 0.3 * min(abs(row["found_count"] - row["count"]), 10)
    out += 0.5 * (row["exercise_right"] is False)
    out += 0.05 * (row["true"] + row["found"] - row["bounds@0.5"]) if row["segmented"] else 0.0
    if isinstance(row.get("codes"), CodeCounts):
        out += 0.3 * min(sum(row["codes"].missed.values()), 3) + 0.1 * min(sum(row["codes"].false.values()), 5)
    if row.get("bad") is not None:
        out += 0.5 * (row["flagged"] != row["bad"])
    return out + 0.2 * (row["wrong_fp"] + row["wrong_fn"])


def describe(row: Row) -> str:
    """What happened in a sequence, in a few words."""
    parts = [f"{row['found_count']} for {row['count']}"]
    if row["segmented"] and row["true"]:
        if row["polarity_wrong"]:
            parts.append("half a cycle off")
        parts.append(f"{row['hits']} overlap, bounds {row['bounds@0.5']}/{2 * row['true']} within .5 s")
    if row["exercise_right"] is False:
        parts.append(f"taken for {row['said']} (is {row['kind']})")
    if isinstance(row.get("codes"), CodeCounts):
        missed, false = row["codes"].missed, row["codes"].false
        parts += [f"missed {', '.join(f'{c} {n}' for c, n in missed.items())}"] if missed else []
        parts += [f"blamed {', '.join(f'{c} {n}' for c, n in false.most_common(3))}"] if false else []
    elif row.get("errors"):
        parts.append("named " + ", ".join(row["errors"]))
    if row["wrong_fp"] or row["wrong_fn"]:
        parts.append(f"form: {row['wrong_fp']} blamed wrongly, {row['wrong_fn']} missed")
    if row["attempts"]:
        parts.append("attempts " + ", ".join(sorted(set(row["attempts"]))))
    return "; ".join(parts)


def numbers_of(result: Result, draws: int) -> dict[str, dict[str, Cell]]:
    """Method → number → cell. Targets stand beside our streamed method; on pose_trainer beside both of ours."""
    return {
        method: cells(result.data.key, method, rows, method.startswith("ours"), draws)
        for method, rows in result.rows.items()
        if rows
    }
