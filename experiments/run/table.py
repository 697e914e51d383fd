"""Compares runs in a table: results, speed, and the options that differ. Needs no jax."""

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.run.reading import Best, Run, judged
from wf_jax.plurals import counted

# Judging metrics, the one that ranks first; other sizes' ESR follow them.
ORDER = ("esr/standard", "esr/nano", "ll/validation", "bits/validation")
HIGHER = ("ll/validation",)
# Options that choose the held-out audio: across them the metrics are of different sounds.
AUDIO = (
    "data.corpus",
    "data.input",
    "data.input_channel",
    "data.output",
    "data.output_channel",
    "data.validation_seconds",
)
HEADINGS = ("run", "state", "steps", "minutes")  # of the table, beside the metrics
WIDEST = 28  # characters of an option's value


@dataclasses.dataclass(frozen=True)
class Row:
    """A run in a table.

    Attributes:
        name: the shortest end of its path that no other run shares.
        run: the run as its folder describes it.
        best: best values by judging metric.
        options: options that set it apart, by their full names.
        shown: their values in few characters.
    """

    name: str
    run: Run
    best: dict[str, Best | None]
    options: dict[str, Any]
    shown: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Table:
    """The runs of one task, best first by the first of `metrics`."""

    task: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]


def compare(runs: Sequence[Run]) -> list[Table]:
    """Makes a table for each task."""
    names = dict(zip(runs, short_names([run.folder for run in runs]), strict=True))
    tasks = sorted({run.task for run in runs})
    return [_table(task, {r: n for r, n in names.items() if r.task == task}) for task in tasks]


def _table(task: str, names: dict[Run, str]) -> Table:
    runs = list(names)
    metrics, options = _metrics(runs), _differing(runs)
    columns = {name: _short([run.config.get(name) for run in runs]) for name in options}
    rows = [
        Row(
            name=names[run],
            run=run,
            best={metric: run.best(metric, higher=metric in HIGHER) for metric in metrics},
            options={name: run.config.get(name) for name in options},
            shown={name: column[i] for name, column in columns.items()},
        )
        for i, run in enumerate(runs)
    ]
    return Table(task, metrics, tuple(sorted(rows, key=lambda row: _rank(row, metrics))))


def _rank(row: Row, metrics: Sequence[str]) -> tuple[float, ...]:
    """Returns the sort key: the first metric that tells runs apart; runs without it come last."""
    values = [(metric in HIGHER, row.best[metric]) for metric in metrics]
    return tuple(
        float("inf") if best is None else -best.value if higher else best.value
        for higher, best in values
    )


def _metrics(runs: Sequence[Run]) -> tuple[str, ...]:
    chosen_by = {key for run in runs for key in judged(run.result)}
    keys = {key for run in runs for record in run.records for key in record}
    found = chosen_by | {key for key in keys if key in ORDER or key.startswith("esr/")}
    return tuple(sorted(found, key=lambda key: (*(key != name for name in ORDER), key)))


def _differing(runs: Sequence[Run]) -> list[str]:
    """Returns options that differ between runs, in the order of the config files."""
    every = dict.fromkeys(name for run in runs for name in run.config)
    return [
        name
        for name in every
        if len({json.dumps(run.config.get(name), sort_keys=True) for run in runs}) > 1
    ]


def other_audio(table: Table) -> list[str]:
    """Returns options by which the runs' held-out audio may differ; none if it is the same."""
    return [name for name in AUDIO if name in table.rows[0].options]


def text(table: Table) -> Iterator[str]:
    """Formats the table in lines for a person."""
    count = len(table.rows)
    ranked = f", best first by {title(table.metrics[0])}" if table.metrics and count > 1 else ""
    yield f"{table.task}: {counted(count, 'run')}{ranked}"
    columns = [(heading, *cells) for heading, cells in _columns(table)]
    widths = [max(map(len, column)) for column in columns]
    numbers = [all(re.fullmatch(r"[-+.,e\d]+", c) for c in column[1:]) for column in columns]
    for line in zip(*columns, strict=True):
        cells = zip(line, widths, numbers, strict=True)
        padded = (c.rjust(width) if right else c.ljust(width) for c, width, right in cells)
        yield f"  {'  '.join(padded)}".rstrip()
    if different := other_audio(table):
        yield f"  {' and '.join(different)} differ: these runs may be judged by different audio"


def _columns(table: Table) -> Iterator[tuple[str, list[str]]]:
    """Returns headings with the cells below them."""
    rows, metrics = table.rows, table.metrics
    yield "run", [row.name for row in rows]
    yield "state", [state(row) for row in rows]
    yield "steps", [f"{row.run.step:,}" for row in rows]
    yield "minutes", [f"{row.run.minutes:.1f}" for row in rows]
    steps = [[_at(row.best[metric]) for row in rows] for metric in metrics]
    for i, metric in enumerate(metrics):
        yield title(metric), [value(metric, row.best[metric]) for row in rows]
        if steps[i] not in steps[i + 1 : i + 2]:  # the next metric's column says the same
            yield "at step", steps[i]
    yield "steps/s", ["-" if row.run.speed is None else f"{row.run.speed:.3g}" for row in rows]
    options = list(rows[0].options)
    for name, heading in zip(options, short_options(options, HEADINGS), strict=True):
        yield heading, [row.shown[name] for row in rows]


def _at(best: Best | None) -> str:
    return "-" if best is None or best.step is None else f"{best.step:,}"


def json_lines(table: Table) -> Iterator[str]:
    """Formats the table as a JSON object per run."""
    for row in table.rows:
        run = row.run
        content = {
            "run": row.name,
            "folder": str(run.folder),
            "task": table.task,
            "state": state(row),
            "steps": run.step,
            "minutes": run.minutes,
            "best": {key: best and dataclasses.asdict(best) for key, best in row.best.items()},
            "steps_per_second": run.speed,
            "options": row.options,
        }
        yield json.dumps(content)


def state(row: Row) -> str:
    """Describes the progress of a run."""
    run = row.run
    if run.finished:
        return "finished"
    if run.diverged:
        return "diverged"
    if not any(row.best.values()):
        return "no evaluation yet"
    if run.total_minutes:
        return f"at {run.minutes:.1f} of {run.total_minutes:g} min"
    of = f" of {run.total_steps:,}" if run.total_steps else ""
    return f"at step {run.step:,}{of}"


def title(metric: str) -> str:
    """Returns the heading of a metric: "ESR nano", "nats/sample", "bits/sample"."""
    names = {"ll/validation": "nats/sample", "bits/validation": "bits/sample"}
    return names.get(metric) or metric.replace("esr/", "ESR ")


def value(metric: str, best: Best | None) -> str:
    """Formats a metric's value with its significant digits: three of an ESR."""
    if best is None:
        return "-"
    return f"{best.value:#.3g}".rstrip(".") if metric.startswith("esr/") else f"{best.value:.3f}"


def short_names(paths: Sequence[Path]) -> list[str]:
    """Returns the shortest path ends that are unique."""
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    names = []
    for own in parts:
        others = [other for other in parts if other != own]
        lengths = range(1, len(own))
        free = (n for n in lengths if all(other[-n:] != own[-n:] for other in others))
        name = str(Path(*own[-next(free, len(own)) :]))
        names.append("".join(c if c.isprintable() else "?" for c in name))
    return names


def short_options(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Returns the last components of options where unambiguous, also among those `taken`."""
    last = [name.rpartition(".")[2] for name in names]
    used = [*last, *taken]
    return [
        short if used.count(short) == 1 else name for short, name in zip(last, names, strict=True)
    ]


def _short(values: Sequence[Any]) -> list[str]:
    """Shortens the values of one option for a narrow column; different ones stay different."""
    paths = sorted({v for v in values if isinstance(v, str) and os.sep in v})
    ends = dict(zip(paths, short_names([Path(path) for path in paths]), strict=True))
    shown = [_shown(ends.get(v, v) if isinstance(v, str) else v) for v in values]
    full = [json.dumps(v) for v in values]
    return shown if len(set(shown)) == len(set(full)) else full


def _shown(content: Any) -> str:
    if content is None:
        return "-"
    if isinstance(content, float):
        return f"{content:.4g}"
    if isinstance(content, list):
        return ",".join(map(str, content)) or "none"
    shown = content if isinstance(content, str) and content else json.dumps(content)
    return shown if len(shown) <= WIDEST else f"…{shown[1 - WIDEST :]}"
