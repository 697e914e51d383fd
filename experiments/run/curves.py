"""Plots several runs in one picture: a row per task, a panel per judging metric. Needs no jax."""

import dataclasses
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from experiments.report.drawing import drawable
from experiments.run.table import HIGHER, Row, Table, other_audio, title, value
from wf_jax.likelihood import bits_per_sample, nats_per_sample
from wf_jax.plurals import counted

# Ten colors that stay apart beside each other; the runs after them are dashed, then dotted.
COLORS = (
    "#2a78b5",
    "#d9762b",
    "#2f8f4e",
    "#c0392b",
    "#7a5ea8",
    "#8a6d3b",
    "#17a2b0",
    "#d45fa2",
    "#8c9a1f",
    "#444b52",
)
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.5)))
LONGEST = 40  # characters of a name in the legend
AXES = {"step": "training steps", "minutes": "minutes of training"}
TITLES = {
    "capture": "error on held-out audio, lower is better",
    "vocoder": "likelihood of held-out speech, higher is better",
}
KEY = "line: the best so far · faint: every evaluation · dot: the model that is kept"
LABELS = {
    "ll/validation": "log-likelihood (nats per sample)",
    "bits/validation": "bits per 16-bit sample",
}


@dataclasses.dataclass(frozen=True)
class Panel:
    """The content of one pair of axes: a metric, its heading, and the range of a detail."""

    metric: str
    heading: str
    limits: tuple[float, float] | None = None


def has_curves(table: Table) -> bool:
    """Returns whether any of the runs has been evaluated."""
    return bool(_evaluated(table))


def curves(tables: Sequence[Table], axis: str, kind: str) -> bytes:
    """Plots tables that have curves.

    Args:
        tables: one per task.
        axis: "step" or "minutes".
        kind: "png" or "svg".
    """
    heights = [max(3.7, 1.2 + 0.21 * len(_evaluated(table))) for table in tables]
    figure = Figure(figsize=(11, sum(heights)), layout="constrained")
    rows = figure.subfigures(len(tables), 1, squeeze=False, height_ratios=heights, hspace=0.04)
    for part, table in zip(rows[:, 0], tables, strict=True):
        _row(part, table, axis)
    part.supxlabel(KEY, x=0.01, ha="left", fontsize=8.5, color="#5d666f")  # once, at the bottom
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None  # the same runs give the same file
    with rc_context({"svg.hashsalt": "runs"}):
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()


def _row(part: SubFigure, table: Table, axis: str) -> None:
    """Draws the panels of one task, with a title above and the runs' names beside them."""
    rows, panels = _evaluated(table), _panels(table)
    lines = [
        {"color": COLORS[i % len(COLORS)], "linestyle": DASHES[i // len(COLORS) % len(DASHES)]}
        for i in range(len(rows))
    ]
    width = 1.8 if len(rows) < 7 else 1.3
    every = part.subplots(1, len(panels), squeeze=False, sharex=True, sharey=_is_esr(panels[0]))[0]
    for axes, panel in zip(every, panels, strict=True):
        for row, line in list(zip(rows, lines, strict=True))[::-1]:  # the best one on top
            _curve(axes, row, panel.metric, axis, width, line)
    for axes, panel in zip(every, panels, strict=True):
        _dress(axes, panel, axis)
    every[0].set_ylabel(LABELS.get(panels[0].metric, "ESR, error over signal (log scale)"))
    if panels[-1].metric == "ll/validation":
        bits = every[-1].secondary_yaxis("right", functions=(bits_per_sample, nats_per_sample))
        bits.set_ylabel(LABELS["bits/validation"])
    part.suptitle(_title(table, len(rows)), x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    first = table.metrics[0]
    part.legend(
        [Line2D([], [], linewidth=2, **line) for line in lines],
        [f"{value(first, row.best[first])}  {_name(row)}" for row in rows],
        title=f"best {title(first)} and name of the run",
        loc="outside right upper",
        frameon=False,
        fontsize=8.5,
        title_fontsize=8.5,
        alignment="left",
        handlelength=2.8,
    )


def _curve(
    axes: Axes, row: Row, metric: str, axis: str, width: float, line: dict[str, Any]
) -> None:
    """Draws one run's evaluations, the best so far among them, and a dot at the kept model."""
    best, (x, y) = row.best[metric], np.array(row.run.curve(metric, axis))
    if best is None or not len(y):
        return
    axes.plot(x, y, linewidth=width / 2, alpha=width / 6, **line)
    # Nothing is better than what was kept: where a signal ends a run, its last evaluation is none.
    if metric in HIGHER:
        reached = np.minimum(np.maximum.accumulate(y), best.value)
    else:
        reached = np.maximum(np.minimum.accumulate(y), best.value)
    axes.plot(x, reached, linewidth=width, **line)
    at = np.argmin(np.abs(y - best.value))
    axes.plot(x[at], y[at], "o", color=line["color"], markersize=5.5, markeredgecolor="white")


def _dress(axes: Axes, panel: Panel, axis: str) -> None:
    """Sets scales, ticks and headings of a panel whose curves are drawn."""
    axes.set_title(panel.heading, fontsize=10)
    axes.set_xlabel(AXES[axis])
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], integer=axis == "step"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axes.grid(alpha=0.3)
    axes.grid(alpha=0.12, which="minor")
    axes.spines[["top", "right"]].set_visible(False)
    if panel.limits:
        axes.set_ylim(*panel.limits)
    if _is_esr(panel):
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        every = [m * 10.0**e for e in range(-46, 46) for m in (1, 2, 5)]
        low = max((v for v in every if v <= low), default=every[0])
        high = min((v for v in every if v >= high), default=every[-1])
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1e4 * low else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _panels(table: Table) -> list[Panel]:
    """Returns one panel per amp size; for a vocoder, the whole training and a detail of its end."""
    if sizes := [metric for metric in table.metrics if metric.startswith("esr/")]:
        return [Panel(size, size.removeprefix("esr/")) for size in sizes]
    # Nats and bits are one measure on two scales: the bits are the axis at the right.
    metric = table.metrics[0]
    whole = Panel(metric, "the whole training")
    detail = _detail(table, metric) if metric in HIGHER else None
    return [whole, detail] if detail else [whole]


def _detail(table: Table, metric: str) -> Panel | None:
    """Returns the range of the better three quarters of the runs, if the whole picture hides it."""
    values = [y for row in table.rows for y in row.run.curve(metric, "step")[1]]
    bests = sorted((best.value for row in table.rows if (best := row.best[metric])), reverse=True)
    if not (values and bests):
        return None
    top, reached = bests[0], bests[math.ceil(0.75 * len(bests)) - 1]
    span = max(top - reached, 0.05)
    limits = (reached - 0.8 * span, top + 0.15 * span)
    if limits[1] - limits[0] > 0.5 * (max(values) - min(values)):
        return None
    return Panel(metric, f"in detail: above {limits[0]:.2f} nats", limits)


def _title(table: Table, count: int) -> str:
    runs = f"{table.task.capitalize()}, {counted(count, 'run')}"
    about = TITLES.get(table.task)
    other = "\nThese runs may be judged by different audio." if other_audio(table) else ""
    return drawable(f"{runs}: {about}" if about else runs) + other


def _name(row: Row) -> str:
    name = row.name
    if len(name) > LONGEST:
        name = f"{name[: LONGEST // 2]}…{name[1 - LONGEST // 2 :]}"
    return drawable(name)


def _evaluated(table: Table) -> list[Row]:
    return [row for row in table.rows if any(row.run.curve(m, "step")[1] for m in table.metrics)]


def _is_esr(panel: Panel) -> bool:
    return panel.metric.startswith("esr/")
