"""Compares training runs: a table, and a picture of their curves.

    python -m experiments.runs runs/amp runs/louder
    python -m experiments.runs runs --x=minutes --output=curves.svg

Each folder is a run's, or holds runs up to two folders below. Runs that still train, or were
stopped, are compared as far as they got.
"""

from absl import flags

from experiments.run.side_by_side import compare_runs
from experiments.terminal.start import start

flags.DEFINE_string(
    "output", None, "The picture, .png or .svg; runs.png in the folder above all runs if left out"
)
flags.DEFINE_enum("x", "step", ["step", "minutes"], "What the curves are drawn over")
flags.DEFINE_bool("json", False, "Print a JSON object per run in place of the table")

if __name__ == "__main__":
    start(compare_runs)
