"""Trains a model: python -m experiments.train --config=a2_capture --workdir=DIR.

Stopped by Ctrl-C it keeps the best so far; by SIGTERM it saves and exits with code 75, "start me
again". Started again with the same --workdir it continues.
"""

import sys
from functools import partial
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from experiments.run.config import RunConfig
from experiments.run.exit_codes import INTERRUPTED
from experiments.run.folder import RunFolder
from experiments.run.initial import check_initial, read_initial
from experiments.run.lock import check_unlocked
from experiments.run.same_run import check_same_run
from experiments.run.sweep import check_trials, configs_of, read_sweep, run_sweep
from experiments.terminal.command_lines import same_command
from experiments.terminal.outputs import check_folder
from experiments.terminal.start import (
    config_of,
    ending_politely,
    no_arguments,
    parse_flags,
    run_main,
    set_up,
)
from wf_jax.errors import UserError
from wf_jax.folders import folder_path, is_remote
from wf_jax.training.clusters import check_choice
from wf_jax.training.settings import Session, parse_range

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "a2_capture, waveflow:64, ..., or a file: the run's configuration"
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run, local or gs://; continued if it exists"
)
_DISTRIBUTED = flags.DEFINE_string(
    "distributed", "auto", "auto (Cloud TPU, GKE, Slurm), none, or HOST:PORT,COUNT,INDEX"
)
_INIT_FROM = flags.DEFINE_string(
    "init_from", None, "Begin with the parameters of this run or model folder, where they fit"
)
_PROFILE_STEPS = flags.DEFINE_string(
    "profile_steps", None, "FIRST:LAST, write a trace of these steps of the session"
)
_DEBUG_NANS = flags.DEFINE_bool("debug_nans", False, "Stop where the first NaN is made (slow)")
_SWEEP = flags.DEFINE_string("sweep", None, "File of config overrides: one run after the other")
_SWEEP_INDEX = flags.DEFINE_integer("sweep_index", None, "Only this run of the sweep, from 0", 0)


def main(argv: list[str]) -> None:
    """Runs the task that the config names."""
    set_up()
    no_arguments(argv, "--workdir=DIR")
    config = config_of(_CONFIG)
    if not isinstance(config, RunConfig):
        sys.exit("--config is no training's; for likelihood use experiments.compare")
    config.source = config.source or flags.FLAGS["config"].config_filename
    try:
        _check(config)
    except UserError as error:
        sys.exit(str(error))
    with ending_politely():
        sys.exit(run_main(lambda: _run(config), config.batch_size, _DISTRIBUTED.value))


def _check(config: RunConfig) -> None:
    """Checks a run as far as possible before slow imports.

    Raises:
        UserError: an option, a flag or a file cannot be used.
    """
    workdir = folder_path(_WORKDIR.value)
    parse_range(_PROFILE_STEPS.value)
    check_choice(_DISTRIBUTED.value)
    if not is_remote(workdir):
        check_folder(workdir)
    # A run that goes on from its own checkpoints begins from nothing else.
    if _INIT_FROM.value and not (workdir / "checkpoints").is_dir():
        check_initial(folder_path(_INIT_FROM.value))
    if _SWEEP.value:
        trials = read_sweep(Path(_SWEEP.value))
        check_trials(configs_of(trials, config, _SWEEP_INDEX.value), workdir)
    else:
        config.check()
        if not is_remote(workdir):
            check_unlocked(workdir)
            check_same_run(workdir, config)


def _run(config: RunConfig) -> int:
    from experiments.run.job import execute, exit_code, job_of  # and with it JAX
    from wf_jax.training.distributed import say

    session, workdir = _session(), folder_path(_WORKDIR.value)
    if _SWEEP.value:
        return _sweep(config, workdir, session)
    with RunFolder(workdir) as folder:
        result = execute(job_of(config), folder, session)
    if result.again:
        say(
            f"{result.stopped} after {result.steps} steps, which are saved in {workdir}; this "
            f"goes on with them:\n  {same_command()}"
        )
    code = exit_code(result)
    return 0 if code == INTERRUPTED else code  # what there is has been kept


def _sweep(config: RunConfig, workdir: Path, session: Session) -> int:
    import jax

    from experiments.run.job import attempt

    if _SWEEP_INDEX.value is None and jax.process_count() > 1:
        raise UserError("--sweep in several processes trains one run of it: give --sweep_index")
    run = partial(attempt, session=session)
    return run_sweep(read_sweep(Path(_SWEEP.value)), config, workdir, run, _SWEEP_INDEX.value)


def _session() -> Session:
    initial = folder_path(_INIT_FROM.value) if _INIT_FROM.value else None
    return Session(
        initial=(lambda: read_initial(initial)) if initial else None,
        initial_name=_INIT_FROM.value or "",
        profile=parse_range(_PROFILE_STEPS.value),
        debug_nans=_DEBUG_NANS.value,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=parse_flags)
