"""What docs/metrics.md says."""

import re
from pathlib import Path

from services.common.telemetry.definitions import SERVICES

DOC = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def documented() -> dict[tuple[str, str], tuple[str, tuple[str, ...]]]:
    """(service, name) → type, labels, of its tables."""
    rows: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
    for line in DOC.read_text(encoding="utf-8").splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if len(cells) != 4 or not cells[0].startswith("`formcheck_"):
            continue
        name = cells[0].strip("`")
        services = SERVICES if "<service>" in name else (name.split("_")[1],)
        for service in services:
            key = (service, name.replace("<service>", service))
            assert key not in rows, f"{key} stands twice in docs/metrics.md"
            rows[key] = (cells[1], tuple(re.findall(r"`(\w+)`", cells[2])))
    return rows
