"""Train several flows on the same data with the same budget, and compare their likelihoods.

    python -m experiments.compare --config=experiments/configs/likelihood.py --workdir=DIR

Each member is a run of its own in DIR/NAME, with its report and model; the same command goes on
where it stopped. The table goes to DIR/likelihood.md, the picture to DIR/likelihood.png.
"""

import sys
from pathlib import Path
from typing import Any

from absl import app, flags
from ml_collections import config_flags

from experiments.launch import exit_code, parse_config_flags, quiet, run_main

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The comparison, e.g. experiments/configs/likelihood.py"
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the comparison; continued if it exists")


def main(argv: list[str]) -> None:
    """Trains what is missing, then writes the comparison."""
    quiet()
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; options look like --workdir=DIR")
    try:
        config = _CONFIG.value
    except OSError as error:
        sys.exit(f"{str(error).split()[-1]}: no such config file; see experiments/configs")
    from experiments import vocoder
    from experiments.comparison import ComparisonError
    from experiments.sweep import SweepError

    errors = (*vocoder.ERRORS, ComparisonError, SweepError)
    sys.exit(run_main(lambda: _run(config), errors, config.train.batch_size, "none"))


def _run(config: Any) -> int:
    from experiments.comparison import members_of, write_comparison
    from experiments.sweep import train_each

    folder = Path(_WORKDIR.value)
    members = members_of(config)
    configs = {
        name: (f"member {i + 1} of {len(members)}: {name}", member.run)
        for i, (name, member) in enumerate(members.items())
    }
    code = train_each(configs, folder, _train, "comparison")
    if code == 0:
        write_comparison(folder, members)
    return code


def _train(config: Any, folder: Path) -> int:
    import jax

    from experiments import vocoder
    from experiments.workdir import Workdir
    from wf_jax.training.settings import Session

    try:
        return exit_code(vocoder.run(config, Workdir(folder), Session()))
    finally:
        jax.clear_caches()  # programs hold memory maps, of which a process has a limited number


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=parse_config_flags)
