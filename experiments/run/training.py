"""Trains a config as experiments.train is asked to: all checks, then one run or a sweep."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from experiments.run.config import RunConfig
from experiments.run.folder import RunFolder
from experiments.run.initial import check_initial, read_initial
from experiments.run.lock import check_unlocked
from experiments.run.process import run_main
from experiments.run.same_run import check_same_run
from experiments.run.sweep import check_trials, configs_of, read_sweep, run_sweep
from experiments.terminal.command_lines import command, same_command
from experiments.terminal.exit_codes import INTERRUPTED
from experiments.terminal.outputs import check_folder
from wf_jax.errors import UserError
from wf_jax.folders import folder_path, is_remote
from wf_jax.plurals import counted
from wf_jax.training.clusters import check_choice
from wf_jax.training.settings import Session, parse_range


@dataclasses.dataclass(frozen=True)
class Requests:
    """The requests of one start; see the flags of experiments.train."""

    config: Any
    workdir: str
    distributed: str = "auto"
    init_from: str | None = None
    profile_steps: str | None = None
    debug_nans: bool = False
    sweep: str | None = None
    sweep_index: int | None = None

    def session(self) -> Session:
        """Returns what the training loop is told of them."""
        initial = folder_path(self.init_from) if self.init_from else None
        return Session(
            initial=(lambda: read_initial(initial)) if initial else None,
            initial_name=self.init_from or "",
            profile=parse_range(self.profile_steps),
            debug_nans=self.debug_nans,
        )


def train(requests: Requests) -> int:
    """Trains what a config names; returns the exit code.

    Raises:
        UserError: an option, a flag or a file cannot be used.
    """
    config = requests.config
    if not isinstance(config, RunConfig):
        raise UserError(f"--config is no training's; for likelihood use {command('compare')}")
    _check(config, requests)
    return run_main(lambda: carry_out(requests), config.devices, requests.distributed)


def _check(config: RunConfig, requests: Requests) -> None:
    """Checks a run as far as possible before slow imports."""
    workdir = folder_path(requests.workdir)
    parse_range(requests.profile_steps)
    check_choice(requests.distributed)
    if not is_remote(workdir):
        check_folder(workdir)
    # A run that goes on from its own checkpoints begins from nothing else.
    if requests.init_from and not (workdir / "checkpoints").is_dir():
        check_initial(folder_path(requests.init_from))
    if config.several:
        config.check()
        _check_several(workdir, requests)
        return
    if requests.sweep:
        trials = read_sweep(Path(requests.sweep))
        check_trials(configs_of(trials, config, requests.sweep_index), workdir)
        return
    config.check()
    if not is_remote(workdir):
        check_unlocked(workdir)
        check_same_run(workdir, config)


def _check_several(workdir: Path, requests: Requests) -> None:
    """Refuses for several runs what is for one."""
    if requests.sweep:
        raise UserError(
            f"--sweep={requests.sweep}: tries one run with several options, and this config names "
            "several runs; sweep one of them"
        )
    if is_remote(workdir):
        raise UserError(f"--workdir={workdir}: several runs need a local folder; give one")
    if (workdir / "config.json").exists():
        raise UserError(f"{workdir}: holds a single run; give another --workdir")


def carry_out(requests: Requests) -> int:
    """Trains a checked config; returns the exit code."""
    from experiments.run.job import execute, exit_code, job_of, named  # and with it JAX
    from wf_jax.training.distributed import say

    config, workdir = requests.config, folder_path(requests.workdir)
    if config.several:
        return named(config.several)(config, workdir, requests.session())
    if requests.sweep:
        return _sweep(config, workdir, requests)
    with RunFolder(workdir) as folder:
        result = execute(job_of(config), folder, requests.session())
    if result.again:
        say(
            f"{result.stopped} after {counted(result.steps, 'step')}, saved in {workdir}; this "
            f"goes on with them:\n  {same_command()}"
        )
    code = exit_code(result)
    return 0 if code == INTERRUPTED else code  # what there is has been kept


def _sweep(config: RunConfig, workdir: Path, requests: Requests) -> int:
    import jax

    from experiments.run.job import attempt

    index = requests.sweep_index
    if index is None and jax.process_count() > 1:
        raise UserError("--sweep in several processes trains one run of it: give --sweep_index")
    run = partial(attempt, session=requests.session())
    return run_sweep(read_sweep(Path(requests.sweep)), config, workdir, run, index)
