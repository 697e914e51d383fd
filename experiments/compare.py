"""Train several flows on the same data with the same budget, and compare their likelihoods.

    python -m experiments.compare --config=experiments/configs/likelihood.py --workdir=DIR

Each member is a run of its own in DIR/NAME, with its report and model; the same command goes on
where it stopped. The table goes to DIR/likelihood.md, the picture to DIR/likelihood.png.
"""

import sys

from absl import app, flags
from ml_collections import config_flags

from experiments.comparison_members import check_members, members_of
from experiments.launch import ending_politely, parse_config_flags, run_main, set_up
from wf_jax.atomic import folder_path
from wf_jax.errors import UserError
from wf_jax.options import check_options

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The comparison, e.g. experiments/configs/likelihood.py"
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the comparison; continued if it exists")


def main(argv: list[str]) -> None:
    """Trains what is missing, then writes the comparison."""
    set_up()
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; options look like --workdir=DIR")
    try:
        config = _CONFIG.value
    except OSError as error:
        sys.exit(f"{str(error).split()[-1]}: no such config file; see experiments/configs")
    if not hasattr(config, "members"):
        sys.exit(
            "--config has no members to compare; use experiments/configs/likelihood.py, or "
            "experiments.train for one model"
        )
    try:
        check_options(config)
        check_members(members_of(config))
        folder = folder_path(_WORKDIR.value)
    except UserError as error:
        sys.exit(str(error))
    with ending_politely():
        from experiments.comparison import ERRORS, compare  # and with it JAX

        sys.exit(run_main(lambda: compare(config, folder), ERRORS, config.train.batch_size, "none"))


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=parse_config_flags)
