"""A comparison of flows: its members trained one after the other, then measured and set out."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from experiments import vocoder
from experiments.comparison_figures import draw
from experiments.comparison_table import Line, table
from experiments.configs import voice
from experiments.launch import INTERRUPTED, exit_code
from experiments.run_folder import read_result
from experiments.speaking_speed import real_time
from experiments.sweep import AGAIN, finished, train_each
from experiments.workdir import Workdir, write_json
from wf_jax.atomic import is_remote, write_text
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import ModelFolderError, load_model
from wf_jax.training.settings import Session


class ComparisonError(UserError):
    """A comparison that cannot be made: one line with the remedy."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A member: its run, and its row in the paper's table ("" for none)."""

    run: Any
    paper: str


ERRORS = (*vocoder.ERRORS, ComparisonError, ModelFolderError)


def compare(config: Any, folder: Path) -> int:
    """Trains the members that are not finished yet, then compares those that are.

    Args:
        config: see experiments/configs/likelihood.py.
        folder: of the comparison; each member is trained in a folder below.

    Returns:
        The exit code: 0 if all members are compared, 75 or 130 if it was interrupted, else 1.

    Raises:
        ERRORS: before anything is trained, for what no training could mend.
    """
    if is_remote(folder):
        raise ComparisonError(f"--workdir={folder}: a comparison is written to local folders only")
    entries = members_of(config)
    _check(entries)
    configs = {
        name: (f"member {i + 1} of {len(entries)}: {name}", entry.run)
        for i, (name, entry) in enumerate(entries.items())
    }
    code = train_each(configs, folder, _train, "comparison")
    if code in (AGAIN, INTERRUPTED):
        return code
    missing = [name for name in entries if not finished(folder / name)]
    if missing:
        print(
            f"left out: {', '.join(missing)}; the same command tries again, and with "
            "--config.only=NAME,NAME takes those alone",
            file=sys.stderr,
        )
    write_comparison(folder, {k: v for k, v in entries.items() if k not in missing})
    return code


def members_of(config: Any) -> dict[str, Entry]:
    """The runs of a comparison by name.

    Raises:
        ComparisonError: no members, or an unknown one asked for.
    """
    only = [name for names in config.only for name in names.split(",")]
    unknown = [name for name in only if name not in config.members]
    if unknown or not config.members:
        known = ", ".join(config.members) or "none"
        raise ComparisonError(
            f"--config.only={','.join(unknown)}: no such member; there are {known}"
        )
    return {
        name: Entry(_run_of(config, member), member.paper)
        for name, member in config.members.items()
        if name in only or not only
    }


def write_comparison(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Measures the members that were trained in `folder`, and writes and prints the table."""
    if not entries:
        return
    lines = [_line(folder, name, entry) for name, entry in entries.items()]
    text = "\n".join(table(lines)) + "\n"
    write_json(folder / "likelihood.json", [dataclasses.asdict(line) for line in lines])
    write_text(folder / "likelihood.md", text)
    draw(folder / "likelihood.png", lines)
    print(f"\n{text}")
    print(f"table:   {folder / 'likelihood.md'}")
    print(f"picture: {folder / 'likelihood.png'}")


def _check(entries: Mapping[str, Entry]) -> None:
    """Finds what would stop a member, before another has cost its time."""
    for name, entry in entries.items():
        if not entry.run.data.corpus:
            raise ComparisonError(
                "--config.data.corpus is missing; make one with python -m experiments.prepare, or "
                "try the built-in audio with --config=experiments/configs/likelihood.py:demo"
            )
        try:
            vocoder.check(entry.run)
        except vocoder.VocoderConfigError as error:
            raise ComparisonError(f"{name}: {error}") from None


def _train(config: Any, folder: Path) -> int:
    """One member; what goes wrong with it is said, and the others go on."""
    try:
        with Workdir(folder) as workdir:
            return exit_code(vocoder.run(config, workdir, Session()))
    except (*vocoder.ERRORS, OSError, ValueError, jax.errors.JaxRuntimeError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    finally:
        jax.clear_caches()  # programs hold memory maps, of which a process has a limited number


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
    config = model.config
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
