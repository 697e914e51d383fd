"""Plots likelihood against sequential evaluations, ours and the paper's."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.comparison.paper_likelihoods import ROWS, Row
from experiments.comparison.table import Line, title
from experiments.report.drawing import BLUE, GRAY, LEGEND, ORANGE, VIOLET, sheet
from wf_jax.whole_files import write_whole

COLORS = {"WaveFlow": ORANGE, "SourceFilter": ORANGE, "WaveGlow": BLUE, "WaveNet": VIOLET}
LABEL = "evaluations in sequence for a second of audio"
PAPER = "the WaveFlow paper's table 4, a million steps"


def draw(path: Path, lines: Sequence[Line]) -> None:
    """Writes the picture."""
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    ours, theirs = figure.subplots(1, 2)
    _draw_runs(ours, lines)
    ours.set_title("these runs", loc="left", fontsize=11)
    _draw_paper(theirs)
    theirs.set_title(f"{PAPER}: height/channels", loc="left", fontsize=11)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=120))


def runs(lines: Sequence[Line]) -> Figure:
    """Plots these runs alone, for a page."""
    figure = sheet(4.6)
    _draw_runs(figure.subplots(), lines)
    return figure


def paper() -> Figure:
    """Plots the paper's models alone, for a page."""
    figure = sheet(4.6)
    _draw_paper(figure.subplots())
    return figure


def _draw_runs(axes: Axes, lines: Sequence[Line]) -> None:
    _points(axes, lines, [title(line.name) for line in lines])


def _draw_paper(axes: Axes) -> None:
    rows = list(ROWS.values())
    _points(axes, rows, [row.label for row in rows])
    axes.legend(loc="lower right", **LEGEND)


def _points(axes: Axes, lines: Sequence[Line | Row], labels: Sequence[str]) -> None:
    shown = set()
    for line, label in zip(lines, labels, strict=True):
        place = line.sequential_steps, line.log_likelihood
        right = line.sequential_steps > 5000
        legend = None if line.family in shown else line.family
        shown.add(line.family)
        axes.plot(*place, "o", color=COLORS[line.family], label=legend)
        axes.annotate(
            label,
            place,
            (-7 if right else 7, _room(line, lines)),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=8,
            color=GRAY,
        )
    axes.set(xscale="log", xlabel=LABEL, ylabel="log-likelihood, nats per sample")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _room(line: Line | Row, lines: Sequence[Line | Row]) -> float:
    """Returns the label's vertical shift in points that keeps it off its neighbor's."""
    near = _near(lines)
    for other in lines:
        gap = line.log_likelihood - other.log_likelihood
        if (
            other is not line
            and other.sequential_steps == line.sequential_steps
            and abs(gap) < near
        ):
            return 1 if gap >= 0 else -8
    return -3


def _near(lines: Sequence[Line | Row]) -> float:
    """Height of a label, in nats."""
    values = [line.log_likelihood for line in lines]
    return 0.03 * (max(values) - min(values))
