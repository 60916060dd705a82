"""The JSON Schema is a promise to partners: a change of it must be seen. Rewrite with FORMCHECK_UPDATE_GOLDEN=1."""

import json
import os
from pathlib import Path

from services.local.report.schema import json_schema

GOLDEN = Path(__file__).parent / "report_schema.json"


def test_json_schema_is_as_published() -> None:
    text = json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("FORMCHECK_UPDATE_GOLDEN") == "1":
        GOLDEN.write_text(text, "utf-8")
    assert json.loads(text) == json.loads(GOLDEN.read_text("utf-8"))
