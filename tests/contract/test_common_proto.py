"""The committed generated code is what proto/ says."""

from pathlib import Path

import pytest

from training.tools.generate_proto import ROOT, generate


def test_generated_code_is_current(tmp_path: Path) -> None:
    generate(tmp_path)
    fresh = {p.relative_to(tmp_path): p.read_text() for p in tmp_path.rglob("*.py*")}
    committed = {
        p.relative_to(ROOT / "gen"): p.read_text()
        for p in (ROOT / "gen").rglob("*.py*")
        if "__pycache__" not in p.parts
    }
    assert fresh == committed, "gen/ is stale: run `make proto`"


def test_generation_refuses_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proto" / "formcheck" / "v1").mkdir(parents=True)
    (tmp_path / "proto" / "formcheck" / "v1" / "x.proto").write_text("message {")
    monkeypatch.setattr("training.tools.generate_proto.ROOT", tmp_path)
    with pytest.raises(SystemExit):
        generate(tmp_path / "out")
