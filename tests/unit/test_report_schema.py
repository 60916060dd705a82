"""Every number of the documents has a unit; unknown keys and NaN are refused."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from services.local.report import schema

_NUMBERS = {"number", "integer"}


def _numeric(node: dict[str, Any]) -> bool:
    return node.get("type") in _NUMBERS or any(_numeric(option) for option in node.get("anyOf", ()))


def _numbers(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All schema nodes that allow a number, with where they stand."""
    if isinstance(node, list):
        for i, item in enumerate(node):
            yield from _numbers(item, f"{path}[{i}]")
    elif isinstance(node, dict):
        if _numeric(node):
            yield path, node
            return
        for key, value in node.items():
            yield from _numbers(value, f"{path}.{key}")


def test_every_number_has_a_unit_and_a_description() -> None:
    found = list(_numbers(schema.json_schema(), "$"))
    assert len(found) > 40
    lacking = [path for path, node in found if not node.get("unit") or not node.get("description")]
    assert lacking == []


def test_times_are_in_seconds_and_angles_in_degrees() -> None:
    by_name = {path.rsplit(".", 1)[-1]: node["unit"] for path, node in _numbers(schema.json_schema(), "$")}
    assert {unit for name, unit in by_name.items() if name.endswith("_s")} == {"s"}
    assert {unit for name, unit in by_name.items() if name.endswith("_px")} == {"px"}
    assert {unit for name, unit in by_name.items() if name.endswith("_deg")} == {"deg"}


def test_the_walk_finds_a_number_without_a_unit() -> None:
    class Bad(schema.Model):
        value: float | None

    assert [node.get("unit") for _, node in _numbers(Bad.model_json_schema(), "$")] == [None]


def test_documents_name_their_format_first() -> None:
    segment = schema.SegmentDocument(fps=30.0, repetitions=[])
    assert segment.model_dump_json() == '{"schema":"formcheck.segment/1","fps":30.0,"repetitions":[]}'
    assert schema.AssessDocument(fps=30.0, repetitions=[]).model_dump()["schema"] == "formcheck.assess/1"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        schema.SidePair(left=value, right=None)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError):
        schema.Warning_.model_validate({"code": "A", "text": "b", "more": 1})
