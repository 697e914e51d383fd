"""The picture of a comparison: likelihood against evaluations in sequence, ours and the paper's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.paper_likelihoods import ROWS
from experiments.report.drawing import BLUE, GREY, ORANGE, VIOLET
from wf_jax.atomic import write_whole

COLOURS = {"WaveFlow": ORANGE, "WaveGlow": BLUE, "WaveNet": VIOLET}
LABEL = "evaluations of a net, one after the other, for a second of audio"


def draw(path: Path, lines: Sequence[Any]) -> None:
    """Writes the picture: members with `name`, `family`, `sequential_steps`, `log_likelihood`."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    ours, theirs = figure.subplots(1, 2)
    _points(ours, lines, {line.name: line.name.replace("_", " ") for line in lines})
    ours.set_title("these runs", loc="left", fontsize=11)
    names = {row.name: f"{row.name} ({key})" for key, row in ROWS.items()}
    _points(theirs, list(ROWS.values()), dict.fromkeys(names, ""))
    for key, row in ROWS.items():
        place = (row.sequential_steps, row.log_likelihood)
        theirs.annotate(key, place, (5, -3), textcoords="offset points", fontsize=8)
    theirs.set_title(
        "the WaveFlow paper's table 4, LJSpeech, a million steps", loc="left", fontsize=11
    )
    theirs.legend(loc="lower right", fontsize=8, frameon=False)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=120))


def _points(axes: Axes, lines: Sequence[Any], labels: dict[str, str]) -> None:
    shown = set()
    for line in lines:
        family = line.family
        axes.plot(
            line.sequential_steps,
            line.log_likelihood,
            "o",
            color=COLOURS[family],
            label=None if family in shown else family,
        )
        shown.add(family)
        text = labels[line.name]
        if text:
            right = line.sequential_steps > 5000
            axes.annotate(
                text,
                (line.sequential_steps, line.log_likelihood),
                (-7 if right else 7, -3),
                textcoords="offset points",
                ha="right" if right else "left",
                fontsize=8,
                color=GREY,
            )
    axes.set(xscale="log", xlabel=LABEL, ylabel="log-likelihood, nats per sample")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
