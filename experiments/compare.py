"""Trains several flows on the same data with the same budget and compares their likelihoods.

    python -m experiments.compare --config=likelihood --workdir=DIR

Each member is a run of its own in DIR/NAME, with its report and model; the same command goes on
where it stopped. The table goes to DIR/likelihood.md, the picture to DIR/likelihood.png.
"""

import sys

from absl import app, flags
from ml_collections import config_flags

from experiments.comparison.members import check_members, members_of
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
from wf_jax.options import check_options

_CONFIG = config_flags.DEFINE_config_file("config", None, "The comparison, e.g. likelihood")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the comparison; continued if it exists")


def main(argv: list[str]) -> None:
    """Trains missing members, then writes the comparison."""
    set_up()
    no_arguments(argv, "--workdir=DIR")
    config = config_of(_CONFIG)
    if not hasattr(config, "members"):
        sys.exit(
            "--config has no members to compare; use likelihood, or experiments.train for one model"
        )
    try:
        check_options(config)
        check_members(members_of(config))
        folder = folder_path(_WORKDIR.value)
        if not is_remote(folder):
            check_folder(folder)
    except UserError as error:
        sys.exit(str(error))
    with ending_politely():
        from experiments.comparison.suite import compare  # and with it JAX

        sys.exit(run_main(lambda: compare(config, folder), config.train.batch_size, "none"))


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=parse_flags)
