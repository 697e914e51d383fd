"""What a comparison of flows is made of, and what it leaves: table, picture and numbers."""

import dataclasses
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.comparison_figures import draw
from experiments.configs import voice
from experiments.paper_likelihoods import ROWS
from experiments.run_folder import read_result
from experiments.vocoder_results import is_slow
from experiments.workdir import write_json
from wf_jax.atomic import write_text
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.flow import Flow
from wf_jax.flows.model_folder import load_model

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


class ComparisonError(ValueError):
    """A comparison that cannot be made: one line with the remedy."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A member: its run, and its row in the paper's table ("" for none)."""

    run: Any
    paper: str


@dataclasses.dataclass(frozen=True)
class Line:
    """What the table says of a member.

    Attributes:
        name: of the member and its folder.
        family: of the model.
        described: its sizes in words.
        parameters: how many.
        steps: of training.
        minutes: of training.
        log_likelihood: of the held-out clips, nats per sample at full scale 1.
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


def members_of(config: Any) -> dict[str, Entry]:
    """The runs of a comparison by name.

    Raises:
        ComparisonError: no members, or an unknown one asked for.
    """
    unknown = [name for name in config.only if name not in config.members]
    if unknown or not config.members:
        known = ", ".join(config.members) or "none"
        raise ComparisonError(
            f"--config.only={','.join(unknown)}: no such member; there are {known}"
        )
    return {
        name: Entry(_run_of(config, member), member.paper)
        for name, member in config.members.items()
        if name in config.only or not config.only
    }


def write_comparison(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Measures the members that were trained in `folder`, and writes and prints the table."""
    lines = [_line(folder, name, entry) for name, entry in entries.items()]
    text = "\n".join(table(lines)) + "\n"
    write_json(folder / "likelihood.json", [dataclasses.asdict(line) for line in lines])
    write_text(folder / "likelihood.md", text)
    draw(folder / "likelihood.png", lines)
    print(f"\n{text}")
    print(f"table:   {folder / 'likelihood.md'}")
    print(f"picture: {folder / 'likelihood.png'}")


def table(lines: list[Line]) -> list[str]:
    """The comparison in markdown, the likeliest first."""
    rows = [HEADING, ("---",) * len(HEADING)]
    for line in sorted(lines, key=lambda line: -line.log_likelihood):
        row = ROWS.get(line.paper)
        rows.append(
            (
                line.name.replace("_", " "),
                f"{line.parameters:,}",
                f"{line.steps:,}",
                f"{line.log_likelihood:.3f}",
                f"{line.bits:.2f}",
                f"{line.sequential_steps:,}",
                f"{line.real_time:.3g}",
                f"{row.name}, {row.parameters}" if row else "–",
                f"{row.log_likelihood:.3f}" if row else "–",
            )
        )
    return [f"| {' | '.join(row)} |" for row in rows]


def _run_of(config: Any, member: Any) -> voice.Config:
    training = config.train
    if member.learning_rate:
        training = dataclasses.replace(training, learning_rate=member.learning_rate)
    return voice.Config(
        member.model,
        data=dataclasses.replace(config.data),
        mel=dataclasses.replace(config.mel),
        train=dataclasses.replace(training),
        checkpoints=dataclasses.replace(config.checkpoints),
    )


def _line(folder: Path, name: str, entry: Entry) -> Line:
    result, model = read_result(folder / name), load_model(folder / name / "model")
    config: FlowConfig = model.config
    return Line(
        name=name,
        family=config.family,
        described=config.describe(),
        parameters=result["parameters"],
        steps=result["steps"],
        minutes=result["minutes"],
        log_likelihood=result["log_likelihood"],
        bits=result["bits"],
        sequential_steps=config.sequential_steps(config.mel.sample_rate),
        real_time=real_time(model),
        paper=entry.paper,
    )


def real_time(model: Flow) -> float:
    """Seconds of audio that the model makes in a second: one clip, median of three."""
    mel, count = model.config.mel, 3
    frames = 16 if is_slow(model.config) else round(4 * mel.sample_rate / mel.hop / 16) * 16
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((1, frames * mel.hop), np.float32)
    condition = np.full((1, mel.bands, frames), np.log(mel.floor), np.float32)
    seeds, times = np.zeros(1, np.uint32), []
    for _ in range(count + 1):
        start = time.perf_counter()
        jax.block_until_ready(_generate(model, noise, seeds, condition))
        times.append(time.perf_counter() - start)
    return frames * mel.hop / mel.sample_rate / statistics.median(times[1:])


@jax.jit
def _generate(model: Flow, noise: jax.Array, seeds: jax.Array, mel: jax.Array) -> jax.Array:
    return model.generate(noise, seeds, mel)
