"""The results of many captures: captures.csv, and a page with a table to sort and to listen to."""

import csv
import dataclasses
import io
import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from experiments.capture.preview import CLIPS, FOLDER, PICTURES
from experiments.report import elements
from experiments.run.reading import number, read_result
from wf_jax.plurals import counted
from wf_jax.whole_files import write_text

TABLE, PAGE, REPORT = "captures.csv", "overview.html", "report.html"
SIZES = ("nano", "standard")  # before any other
_HEADING = ("name", "state")
_REST = ("linear_esr", "latency_samples", "minutes", "warnings", "reason")

_STYLE = """<style>
.captures th { width: auto; white-space: nowrap; }
.captures th[tabindex] { cursor: pointer; }
.captures th[aria-sort="ascending"]::after { content: " \\25b4"; }
.captures th[aria-sort="descending"]::after { content: " \\25be"; }
.captures td { vertical-align: middle; }
.captures .value { font-variant-numeric: tabular-nums; white-space: nowrap; }
.captures img { display: block; width: 130px; height: 50px; background: #fff; border-radius: 4px; }
.captures label { display: flex; align-items: center; gap: .4rem; font-size: .85rem; }
.captures label span { width: 2.8rem; color: var(--soft); }
.captures audio { flex: 1; width: 190px; min-width: 0; height: 32px; margin: .15rem 0; }
.captures em { font-size: .85rem; overflow-wrap: anywhere; }
@media (max-width: 760px) {
  .captures, .captures tbody, .captures tr, .captures td { display: block; }
  .captures thead tr { display: flex; flex-wrap: wrap; gap: 0 1rem; }
  .captures th { padding: .2rem 0; }
  .captures th:not([tabindex]) { display: none; }
  .captures tbody tr { border-bottom: 1px solid var(--line); padding: .8rem 0; }
  .captures td { border: 0; padding: .1rem 0; }
  .captures td.value { display: inline-block; margin-right: 1rem; }
  .captures td.value::before { content: attr(data-label) " "; color: var(--soft); }
  .captures td.value:empty { display: none; }
  .captures .thumbnails { display: flex; gap: .5rem; }
}
</style>"""
_SCRIPT = """
for (const heading of document.querySelectorAll(".captures th[tabindex]")) {
  const sort = () => {
    const up = heading.getAttribute("aria-sort") !== "ascending", at = heading.cellIndex;
    for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.cells[at]?.dataset.key ?? "";
    const body = heading.closest("table").tBodies[0];
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return (up ? 1 : -1) * (x - y || x.localeCompare(y, "en", { numeric: true }));
    };
    body.append(...[...body.rows].sort(order));
  };
  heading.addEventListener("click", sort);
  heading.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
"""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Says how far one capture is.

    Attributes:
        state: "waiting", "finished", "refused", "failed", or "elsewhere": another process has it.
        reason: why it was refused or failed, in one line.
        warnings: of the checks, where they were made by this start.
    """

    state: str
    reason: str = ""
    warnings: tuple[str, ...] = ()


class Overview:
    """Keeps the rows of all captures, and writes the table and the page of them."""

    def __init__(self, workdir: Path):
        """Writes into `workdir`, the folder above those of the captures."""
        self._workdir = workdir
        self._rows: dict[str, dict[str, Any]] = {}

    def note(self, name: str, outcome: Outcome) -> None:
        """Notes how far a capture is; reads its results, where there are any."""
        self._rows[name] = _row(self._workdir, name, outcome)

    def write(self) -> None:
        """Writes the table and the page, each whole or not at all.

        Raises:
            OSError: one cannot be written; names it.
        """
        rows = list(self._rows.values())
        found = {size for row in rows for size in row["esr"]}
        sizes = [size for size in SIZES if size in found] + sorted(found - set(SIZES))
        write_text(self._workdir / TABLE, _csv(rows, sizes))
        elements.write_page(self._workdir / PAGE, _page(self._workdir, rows, sizes))


def _row(workdir: Path, name: str, outcome: Outcome) -> dict[str, Any]:
    """Collects what is known of a capture; numbers are None where there are none."""
    result = read_result(workdir / name) if outcome.state in ("finished", "failed") else {}
    esrs = result.get("esr") if isinstance(result.get("esr"), dict) else {}
    known = result.get("warnings")
    said = known if isinstance(known, list) else outcome.warnings
    return {
        "name": name,
        "state": outcome.state,
        "esr": {size: number(value) for size, value in esrs.items()},
        **{key: number(result.get(key)) for key in ("linear_esr", "latency_samples", "minutes")},
        "warnings": [str(warning) for warning in said],
        "reason": outcome.reason,
        "links": _links(workdir / name) if esrs else {},
    }


def _links(folder: Path) -> dict[str, str]:
    """Returns the addresses of a capture's files that are there, from the page, by their names."""
    files = [REPORT, *(f"{FOLDER}/{file}" for file in (*PICTURES.values(), *CLIPS.values()))]
    return {file: f"{quote(folder.name)}/{file}" for file in files if (folder / file).exists()}


def _csv(rows: Sequence[dict[str, Any]], sizes: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_HEADING, *(f"esr_{size}" for size in sizes), *_REST])
    for row in rows:
        cells = {**row, "warnings": " | ".join(row["warnings"])}
        numbers = [*(row["esr"].get(size) for size in sizes), *(cells[key] for key in _REST)]
        writer.writerow([row["name"], row["state"], *map(_cell, numbers)])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float | int) else str(value)


def _page(workdir: Path, rows: Sequence[dict[str, Any]], sizes: Sequence[str]) -> str:
    states = [row["state"] for row in rows]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    headings = ["capture", *(f"ESR {size}" for size in sizes), "linear", "latency", "minutes"]
    head = "".join(f'<th tabindex="0" scope="col">{escape(heading)}</th>' for heading in headings)
    head += '<th scope="col">error, spectrum</th><th scope="col">listen</th>'
    body = "".join(_html_row(row, sizes) for row in rows)
    legend = (
        "<p>ESR is the error's energy over the signal's, on audio that was not trained on: 0.01 is "
        "an error 20 dB below the sound; linear is that of the best linear filter. Latency in "
        "samples. The pictures: level over time and average spectrum of the target (gray), and of "
        f"the largest model's error. All numbers are in {TABLE}.</p>"
    )
    table = f'<table class="captures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    title = workdir.resolve().name
    contents = (
        f"{_STYLE}<h1>{escape(title)}</h1><p>{counted(len(rows), 'capture')}: "
        f"{', '.join(counts)}. A heading "
        f'sorts.</p><div class="wide">{table}</div>{legend}'
    )
    return elements.page(title, contents, script=_SCRIPT, beside=True)


def _html_row(row: dict[str, Any], sizes: Sequence[str]) -> str:
    """Returns the row of a capture: its results, or in their place why there are none."""
    name, notes = row["name"], _notes(row)
    title = escape(name)
    if REPORT in row["links"]:
        title = f'<a href="{row["links"][REPORT]}">{title}</a>'
    first = f'<td data-key="{escape(name)}"><strong>{title}</strong>'
    if not row["esr"]:
        return f'<tr>{first}</td><td colspan="{len(sizes) + 5}">{notes}</td></tr>'
    values = {f"ESR {size}": (row["esr"].get(size), ".4f") for size in sizes}
    values |= {"linear": (row["linear_esr"], ".3f"), "latency": (row["latency_samples"], ".0f")}
    values |= {"minutes": (row["minutes"], ".1f")}
    cells = "".join(
        f'<td class="value" data-label="{escape(label)}" data-key="{_key(value)}">'
        f"{'' if value is None else format(value, kind)}</td>"
        for label, (value, kind) in values.items()
    )
    pictures, clips = "".join(_pictures(row)), "".join(_clips(row))
    return (
        f"<tr>{first}<br>{notes}</td>{cells}"
        f'<td><div class="thumbnails">{pictures}</div></td><td>{clips}</td></tr>'
    )


def _notes(row: dict[str, Any]) -> str:
    """Marks what is not finished, with its reason, and every warning."""
    level = {"finished": "", "refused": "error", "failed": "error"}.get(row["state"], "note")
    mark = [f'<span class="mark {level}">{escape(row["state"])}</span>'] if level else []
    lines = [*filter(None, [row["reason"]]), *row["warnings"]]
    return "<br>".join([*mark, *(f"<em>{escape(line)}</em>" for line in lines)])


def _pictures(row: dict[str, Any]) -> Iterator[str]:
    for title, file in PICTURES.items():
        if source := row["links"].get(f"{FOLDER}/{file}"):
            alt = escape(f"{row['name']}: {title}")
            yield f'<img src="{source}" loading="lazy" alt="{alt}">'


def _clips(row: dict[str, Any]) -> Iterator[str]:
    for title, file in CLIPS.items():
        if source := row["links"].get(f"{FOLDER}/{file}"):
            player = f'<audio controls preload="none" src="{source}"></audio>'
            yield f"<label><span>{title}</span>{player}</label>"


def _key(value: float | None) -> str:
    """Returns what a number is sorted by: the same digits for all, in plain notation."""
    return "" if value is None or not math.isfinite(value) else f"{value:.9f}"
