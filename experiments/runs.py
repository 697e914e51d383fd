"""Compares training runs: a table, and a picture of their curves.

    python -m experiments.runs runs/amp runs/louder
    python -m experiments.runs runs --x=minutes --output=curves.svg

Each folder is a run's, or holds runs up to two folders below. Runs that still train, or were
stopped, are compared as far as they got.
"""

from pathlib import Path

from absl import flags

from experiments.run.side_by_side import compare_runs
from experiments.terminal.start import start_with_names

_OUTPUT = flags.DEFINE_string(
    "output", None, "The picture, .png or .svg; runs.png in the folder above all runs if left out"
)
_X = flags.DEFINE_enum("x", "step", ["step", "minutes"], "What the curves are drawn over")
_JSON = flags.DEFINE_bool("json", False, "Print a JSON object per run in place of the table")


def main(names: list[str]) -> None:
    """Compares the runs in the named folders."""
    compare_runs([Path(name) for name in names], _OUTPUT.value, _X.value, _JSON.value)


if __name__ == "__main__":
    start_with_names(main)
