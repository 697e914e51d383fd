"""Train a model: python -m experiments.train --config=FILE.py --workdir=DIR.

Stopped by Ctrl-C it keeps the best so far; by SIGTERM it saves and exits with code 75, "start me
again". Started again with the same --workdir it continues.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

from absl import app, flags
from ml_collections import config_flags

from experiments.command_lines import same_command
from experiments.folder_lock import check_unlocked
from experiments.initial import InitialError, check_initial, read_initial
from experiments.launch import (
    INTERRUPTED,
    ending_politely,
    exit_code,
    parse_config_flags,
    run_main,
    say,
    set_up,
)
from experiments.sweep import SweepError, check_trials, configs_of, read_sweep, run_sweep
from experiments.workdir import Workdir, check_same_run
from wf_jax.atomic import FolderError, folder_path, is_remote
from wf_jax.errors import UserError
from wf_jax.options import check_options
from wf_jax.training.settings import FlagError, Session, parse_range

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The run's configuration, e.g. experiments/configs/a2_capture.py"
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

# Of each: the module that trains it, and the one that checks its config without JAX.
TASKS = {
    "capture": ("experiments.capture", "experiments.capture_options"),
    "vocoder": ("experiments.vocoder", "experiments.vocoder_options"),
}


def main(argv: list[str]) -> None:
    """Runs the task that the config names."""
    set_up()
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; options look like --workdir=DIR")
    config = _CONFIG.value
    try:
        if not hasattr(config, "task"):
            sys.exit("--config is no training's; for likelihood.py use experiments.compare")
    except OSError as error:  # the flag complains of a missing file at the first look only
        sys.exit(f"{str(error).split()[-1]}: no such config file; see experiments/configs")
    try:
        _check(config)
    except UserError as error:
        sys.exit(str(error))
    with ending_politely():
        task = importlib.import_module(TASKS[config.task][0])  # and with it JAX
        errors = (*task.ERRORS, FlagError, FolderError, InitialError, SweepError)
        devices = config.train.batch_size
        sys.exit(run_main(lambda: _run(task, config), errors, devices, _DISTRIBUTED.value))


def _check(config: Any) -> None:
    """Finds what can be known of a run before anything slow is loaded.

    Raises:
        UserError: an option, a flag or a file cannot be used.
    """
    check_options(config)
    check = importlib.import_module(TASKS[config.task][1]).check
    workdir = folder_path(_WORKDIR.value)
    parse_range(_PROFILE_STEPS.value)
    # A run that goes on from its own checkpoints begins from nothing else.
    if _INIT_FROM.value and not (workdir / "checkpoints").is_dir():
        check_initial(folder_path(_INIT_FROM.value))
    if _SWEEP.value:
        trials = read_sweep(Path(_SWEEP.value))
        check_trials(configs_of(trials, config, _SWEEP_INDEX.value), workdir, check)
    else:
        check(config)
        if not is_remote(workdir):
            check_unlocked(workdir)
            check_same_run(workdir, config)


def _run(task: Any, config: Any) -> int:
    session, workdir = _session(), folder_path(_WORKDIR.value)
    if _SWEEP.value:
        return _sweep(task, config, workdir, session)
    with Workdir(workdir) as folder:
        result = task.run(config, folder, session)
    if result.again:
        say(
            f"{result.stopped} after {result.steps} steps, which are saved in {workdir}; this "
            f"goes on with them:\n  {same_command()}"
        )
    code = exit_code(result)
    return 0 if code == INTERRUPTED else code  # what there is has been kept


def _sweep(task: Any, config: Any, workdir: Path, session: Any) -> int:
    import jax

    if _SWEEP_INDEX.value is None and jax.process_count() > 1:
        raise FlagError("--sweep in several processes trains one run of it: give --sweep_index")

    def run(config: Any, workdir: Path) -> int:
        try:
            with Workdir(workdir) as folder:
                return exit_code(task.run(config, folder, session))
        except (*task.ERRORS, OSError, ValueError, jax.errors.JaxRuntimeError) as error:
            print(error, file=sys.stderr, flush=True)
            return 1
        finally:
            jax.clear_caches()  # programs hold memory maps, of which a process has a limited number

    return run_sweep(read_sweep(Path(_SWEEP.value)), config, workdir, run, _SWEEP_INDEX.value)


def _session() -> Any:
    initial = folder_path(_INIT_FROM.value) if _INIT_FROM.value else None
    return Session(
        initial=(lambda: read_initial(initial)) if initial else None,
        initial_name=_INIT_FROM.value or "",
        profile=parse_range(_PROFILE_STEPS.value),
        debug_nans=_DEBUG_NANS.value,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=parse_config_flags)
