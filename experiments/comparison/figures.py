"""Plots likelihood against sequential evaluations, ours and the paper's."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.comparison.paper_likelihoods import ROWS, Row
from experiments.comparison.table import Line
from experiments.report.drawing import BLUE, GRAY, ORANGE, VIOLET
from wf_jax.whole_files import write_whole

COLORS = {"WaveFlow": ORANGE, "WaveGlow": BLUE, "WaveNet": VIOLET}
LABEL = "evaluations of a net, one after the other, for a second of audio"


def draw(path: Path, lines: Sequence[Line]) -> None:
    """Writes the picture."""
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    ours, theirs = figure.subplots(1, 2)
    _points(ours, lines, [line.name.replace("_", " ") for line in lines])
    ours.set_title("these runs", loc="left", fontsize=11)
    rows = list(ROWS.values())
    _points(theirs, rows, [row.label for row in rows])
    theirs.set_title(
        "the WaveFlow paper's table 4, a million steps: height/channels",
        loc="left",
        fontsize=11,
    )
    theirs.legend(loc="lower right", fontsize=8, frameon=False)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=120))


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
