"""The results of each model in a comparison, and the table of all."""

import dataclasses
from collections.abc import Sequence

from experiments.comparison.paper_likelihoods import ROWS

HEADING = (
    "model",
    "parameters",
    "steps",
    "nats per sample",
    "bits",
    "evaluations in sequence",
    "x real time",
    "in the paper",
    "its nats",
)


@dataclasses.dataclass(frozen=True)
class Line:
    """The results of a member.

    Attributes:
        name: name of the member and its folder.
        family: family of the model.
        described: its sizes in words.
        parameters: number of parameters.
        steps: training steps.
        minutes: minutes of training.
        log_likelihood: log-likelihood of the held-out clips, nats per sample at full scale 1.
        bits: the same per int16 sample.
        sequential_steps: evaluations of a net, one after the other, for a second of audio.
        real_time: seconds of audio made in a second, one clip, after compilation.
        paper: id of the paper's row, or "".
    """

    name: str
    family: str
    described: str
    parameters: int
    steps: int
    minutes: float
    log_likelihood: float
    bits: float
    sequential_steps: int
    real_time: float
    paper: str


def table(lines: Sequence[Line]) -> list[str]:
    """Formats the comparison in markdown, most likely first."""
    every = [HEADING, ("---",) * len(HEADING), *rows(lines)]
    return [f"| {' | '.join(row)} |" for row in every]


def rows(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """Returns the rows of the table below HEADING, most likely first."""
    return [_row(line) for line in sorted(lines, key=lambda line: -line.log_likelihood)]


def title(name: str) -> str:
    """Returns a member's name in words."""
    return name.replace("_", " ")


def _row(line: Line) -> tuple[str, ...]:
    paper = ROWS.get(line.paper)
    return (
        title(line.name),
        f"{line.parameters:,}",
        f"{line.steps:,}",
        f"{line.log_likelihood:.3f}",
        f"{line.bits:.2f}",
        f"{line.sequential_steps:,}",
        f"{line.real_time:.3g}",
        f"{paper.name}, {paper.parameters}" if paper else "–",
        f"{paper.log_likelihood:.3f}" if paper else "–",
    )
