"""The calibration sheet: per error what was said against how often it was so."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from training.errors.metrics import calibration_error, reliability
from training.errors.validate import Findings

COLUMNS = 9


def calibration_sheet(found: Findings, path: Path) -> None:
    """Small multiples, one per error; the size of a point is the number of repetitions."""
    codes = sorted({code for _, code in found.keys})
    codes = [c for c in codes if found.calibration(c)[1].sum() >= 5]
    rows = -(-len(codes) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(1.45 * COLUMNS, 1.6 * rows), sharex=True, sharey=True)
    for axis in axes.ravel()[len(codes) :]:
        axis.axis("off")
    for axis, code in zip(axes.ravel(), codes, strict=False):
        p, wrong = found.calibration(code)
        points = reliability(p, wrong, 10)
        axis.plot([0, 1], [0, 1], color="#bbbbbb", lw=0.8)
        axis.plot([x for x, _, _ in points], [y for _, y, _ in points], color="#2563a8", lw=0.8)
        sizes = [3 + 1.5 * n**0.5 for _, _, n in points]
        axis.scatter([x for x, _, _ in points], [y for _, y, _ in points], s=sizes, color="#2563a8")
        axis.set_title(
            f"{code.lower().replace('_', ' ')}\nECE {calibration_error(p, wrong):.3f}, n {len(p)}", fontsize=6
        )
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axis.tick_params(labelsize=6, length=2)
    figure.supxlabel("probability that was given", fontsize=8)
    figure.supylabel("share of these repetitions with the mistake", fontsize=8)
    figure.tight_layout(h_pad=0.4, w_pad=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=75)
    plt.close(figure)
