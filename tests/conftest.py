"""Shared by all tests: where the real data lies, and that nothing is skipped in silence."""

import importlib.util
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

# Before a landing the examples are the same each time; elsewhere (`make test`) they are new ones.
settings.register_profile("landing", derandomize=True)
if os.environ.get("FORMCHECK_REQUIRE_ALL") == "1":
    settings.load_profile("landing")

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("FORMCHECK_DATA", ROOT.parent / "shared" / "data"))

# PyTorch belongs to the training group, which `make test` does not install: `make test-training` runs these.
NEED_TORCH = ["unit/test_errors_training.py", "unit/test_segment_training.py"]
collect_ignore = NEED_TORCH if importlib.util.find_spec("torch") is None else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if DATA.is_dir():
        return
    absent = pytest.mark.skip(reason=f"real data absent: no folder {DATA} (set FORMCHECK_DATA)")
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(absent)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.CallInfo, None]:
    """With FORMCHECK_REQUIRE_ALL=1 a skipped test is a failure, unless the real data is what it lacks."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("FORMCHECK_REQUIRE_ALL") != "1" or not report.skipped or hasattr(report, "wasxfail"):
        return
    if item.get_closest_marker("data") and not DATA.is_dir():
        return
    report.outcome = "failed"
    report.longrepr = f"skipped although FORMCHECK_REQUIRE_ALL=1: {report.longrepr}"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; only for tests marked ``data``."""
    return DATA
