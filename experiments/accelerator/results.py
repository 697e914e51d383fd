"""Writes results.json and results.md from the rows of all parts."""

import json
from pathlib import Path
from typing import Any

from experiments.accelerator.parts import PARTS
from experiments.accelerator.report import ROWS, Row, read_rows
from wf_jax.whole_files import write_text


def write_results(output: Path) -> None:
    """Writes both files whole, with all parts that have left rows in `output`."""
    left = {path.parent.name: path for path in output.glob(f"*/{ROWS}")}
    names = [name for name in PARTS if name in left] + sorted(left.keys() - PARTS)
    found = {name: collect(left[name]) for name in names}
    write_text(output / "results.json", json.dumps({"parts": found}, indent=1) + "\n")
    write_text(output / "results.md", markdown(found))


def collect(path: Path) -> dict[str, Any]:
    """Returns a part's entries: end state, seconds, tables {name: rows}, notes."""
    part: dict[str, Any] = {"ended": "cut off", "seconds": None, "tables": {}, "notes": []}
    for entry in read_rows(path):
        if "table" in entry:
            part["tables"].setdefault(entry["table"], []).append(entry["cells"])
        elif "note" in entry:
            part["notes"].append(entry["note"])
        elif "ended" in entry:
            part |= entry
    return part


def markdown(found: dict[str, dict[str, Any]]) -> str:
    """Formats the parts as sections, their tables in the order in which they began."""
    sections = ["# Examination of an accelerator"]
    for name, part in found.items():
        time = "" if part["seconds"] is None else f", {part['seconds']:.0f} s"
        sections.append(f"## {name}\n\n{part['ended']}{time}")
        sections += [f"**{table}**\n\n{_table(rows)}" for table, rows in part["tables"].items()]
        sections += part["notes"]
    return "\n\n".join(sections) + "\n"


def _table(rows: list[Row]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    columns.sort(key=lambda column: column == "error")  # last, where there is one
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(column)) for column in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("|", "/")
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
