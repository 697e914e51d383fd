"""The parts of a run around its task, and the one function that carries out every run."""

import dataclasses
import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from experiments.run.config import RunConfig, flat_config
from experiments.run.folder import RunFolder
from experiments.run.json_files import write_metrics
from experiments.run.settings import length, read_settings
from experiments.terminal.exit_codes import AGAIN, INTERRUPTED
from wf_jax.platforms import choices
from wf_jax.plurals import counted
from wf_jax.training.distributed import is_main, part, say
from wf_jax.training.loop import Result, train
from wf_jax.training.settings import Session
from wf_jax.training.task import Task

# (step, module, record), called in process 0 after each evaluation
Publish = Callable[[int, Any, dict[str, Any]], None]


class Job(Protocol):
    """The parts of a run around its task: data, publishing and results.

    A job may subclass this; it must then define every member without a value or a body.

    Attributes:
        config: config of the run.
        what: description of the trained model; known after `prepare`.
    """

    config: Any
    what: str

    def __init__(self, config: RunConfig):
        """Reads nothing yet."""
        self.config = config

    def prepare(self, folder: RunFolder) -> Task:
        """Reads the data and makes the task; a refusal leaves nothing in the folder.

        Raises:
            UserError: the data or the model cannot be used.
        """

    def inputs(self) -> Mapping[str, str]:
        """Returns the digest of every file or folder that is trained on, by its name."""
        return {}

    def begin(self, folder: RunFolder) -> None:
        """Prints findings about the data, once the folder is this run's."""
        del folder

    def publish(self, folder: RunFolder) -> Publish | None:
        """Returns the callback that shows the run while it trains, or None."""
        del folder

    def finish(self, folder: Path, result: Result) -> None:
        """Writes the results, in process 0 alone: the model first, then what decorates it.

        As it stands here it writes metrics.json, which `experiments.runs` and sweeps read.

        Raises:
            DecorationError: the model is written, and something failed after that.
        """
        best = {name: float(np.mean(value)) for name, value in result.metrics.items()}
        kept = {name: getattr(result, name) for name in ("steps", "minutes", "stopped", "finished")}
        write_metrics(folder, {"best": best, **kept}, reported=True)


def job_of(config: RunConfig) -> Job:
    """Makes the job of a run's config."""
    return named(type(config).job)(config)


def named(place: str) -> Any:
    """Imports what "MODULE:NAME" stands for."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def execute(job: Job, folder: RunFolder, session: Session) -> Result:
    """Carries a run out: checks, data, training, results.

    Raises:
        UserError: the run cannot be done; one line with the remedy.
    """
    config = job.config
    config.check()
    settings = read_settings(config)
    task = job.prepare(folder)
    folder.open(config, job.inputs())
    job.begin(folder)
    count = jax.device_count()
    devices = counted(count, f"{jax.default_backend()} device")
    say(f"training {job.what} for {length(settings)} on {devices}; the first step compiles")
    if jax.default_backend() != "cpu":
        decided = dataclasses.replace(choices(), substeps=settings.substeps)
        say(f"decided for {jax.default_backend()}: {decided.describe()}")
    publish = job.publish(folder) if is_main() else None
    result = train(
        task, settings, folder.shared, publish, session=session, config=flat_config(config)
    )
    part()
    if result.again or not is_main():
        return result
    try:
        job.finish(folder.local, result)
    finally:
        folder.finish()
    return result


def attempt(config: RunConfig, folder: Path, session: Session) -> int:
    """Carries out one run of several; prints its failure without stopping the others.

    Returns:
        The exit code.
    """
    try:
        with RunFolder(folder) as workdir:
            return exit_code(execute(job_of(config), workdir, session))
    except (OSError, ValueError, jax.errors.JaxRuntimeError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    finally:
        jax.clear_caches()  # programs hold memory maps, of which a process has a limited number


def exit_code(result: Result) -> int:
    """Returns the exit code of a process that trained to this result."""
    if result.again:
        return AGAIN
    if result.diverged:
        return 1
    return 0 if result.finished else INTERRUPTED
