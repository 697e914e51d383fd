"""The JSON files that runs leave."""

import json
from pathlib import Path
from typing import Any

from wf_jax.bounded_files import read_json
from wf_jax.whole_files import write_text


def read_table(path: Path) -> dict[str, Any]:
    """Reads a table; {} where there is none, or a damaged one."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Any) -> None:
    """Writes JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_metrics(workdir: Path, metrics: dict[str, Any], *, reported: bool) -> None:
    """Writes metrics.json: the result, and whether its report is written."""
    write_json(workdir / "metrics.json", {**metrics, "reported": reported})
