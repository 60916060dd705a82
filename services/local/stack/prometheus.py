"""Debian's Prometheus beside the stack, scraping every service and Triton."""

import json
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from services.common.errors import ConfigError
from services.local.stack.ports import HOST

INSTALL: Final = "apt-get install -y --no-install-recommends prometheus"
_SCRAPE_S: Final = 5


def program() -> Path:
    """Raises ConfigError, with the command that installs it, when it is not there."""
    found = shutil.which("prometheus")
    if found is None:
        raise ConfigError(f"--prometheus needs the program prometheus, which is not installed; on Debian: {INSTALL}")
    return Path(found)


def write_config(folder: Path, targets: Mapping[str, int], triton_port: int | None) -> Path:
    """``prometheus.yml``: the processes' ``/metrics`` by name, labelled with service and instance.

    The targets lie in a file of their own, which Prometheus reads again when it changes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups = [
        {"targets": [f"{HOST}:{port}"], "labels": {"service": name.partition(".")[0], "instance": name}}
        for name, port in targets.items()
    ]
    if triton_port is not None:
        groups.append({"targets": [f"{HOST}:{triton_port}"], "labels": {"service": "triton", "instance": "triton"}})
    (folder / "targets.json").write_text(json.dumps(groups, indent=1))
    config = {
        "global": {"scrape_interval": f"{_SCRAPE_S}s", "scrape_timeout": f"{_SCRAPE_S}s"},
        "scrape_configs": [{"job_name": "formcheck", "file_sd_configs": [{"files": [str(folder / "targets.json")]}]}],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def command(program: Path, folder: Path, port: int) -> str:
    """For the shell."""
    arguments = [
        str(program), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=7d", f"--web.listen-address={HOST}:{port}",
    ]  # fmt: skip
    return f"exec {shlex.join(arguments)}"
