"""Train a model: python -m experiments.train --config=FILE.py --workdir=DIR.

Stopped by Ctrl-C or SIGTERM it keeps the best so far; started again with the same --workdir it
continues.
"""

import importlib
import sys
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from experiments.launch import parse_config_flags, quiet

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The run's configuration, e.g. experiments/configs/a2_capture.py"
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; continued if it exists")

TASKS = {"capture": "experiments.capture", "vocoder": "experiments.vocoder"}


def main(argv: list[str]) -> None:
    """Runs the task that the config names."""
    quiet()
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; options look like --workdir=DIR")
    config = _CONFIG.value
    try:
        task = importlib.import_module(TASKS[config.task])
    except OSError as error:  # the flag complains of a missing file at the first look only
        sys.exit(f"{str(error).split()[-1]}: no such config file; see experiments/configs")
    try:
        result = task.run(config, Path(_WORKDIR.value))
    except task.ERRORS as error:
        sys.exit(f"\n{error}")
    except OSError as error:  # a full disk, a folder that cannot be written
        sys.exit(f"\n{error.filename or _WORKDIR.value}: {error.strerror or error}")
    except KeyboardInterrupt:  # the training itself turns Ctrl-C into a result
        sys.exit("\nstopped before there was anything to keep")
    if result.diverged:
        sys.exit(1)


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=parse_config_flags)
