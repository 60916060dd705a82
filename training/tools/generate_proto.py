"""Generate gen/formcheck/v1 from proto/: `make proto`. A test runs this into a temporary folder and compares."""

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]


def generate(out: Path) -> None:
    """Write Python, stub (.pyi) and gRPC modules of every .proto file below ``out``.

    Raises:
        SystemExit: protoc refuses a file (it has printed why).
    """
    out.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(p.relative_to(ROOT / "proto")) for p in (ROOT / "proto").rglob("*.proto"))
    code = protoc.main(
        [
            "protoc",
            f"-I{ROOT / 'proto'}",
            f"-I{files('grpc_tools') / '_proto'}",
            f"--python_out={out}",
            f"--mypy_out=quiet:{out}",
            *sources,
        ]
    )
    if code:
        sys.exit(code)
    for folder in (out / "formcheck", out / "formcheck" / "v1"):
        (folder / "__init__.py").touch()


if __name__ == "__main__":
    generate(ROOT / "gen")
