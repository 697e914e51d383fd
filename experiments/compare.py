"""Trains several flows on the same data with the same budget and compares their likelihoods.

    python -m experiments.compare --config=likelihood --workdir=DIR

Each member is a run of its own in DIR/NAME, with its report and model; the same command goes on
where it stopped. The table goes to DIR/likelihood.md, the picture to DIR/likelihood.png.
"""

from absl import flags
from ml_collections import config_flags

from experiments.comparison.members import compare_members
from experiments.terminal.start import start

config_flags.DEFINE_config_file("config", None, "The comparison, e.g. likelihood")
flags.DEFINE_string("workdir", None, "Folder of the comparison; continued if it exists")

if __name__ == "__main__":
    start(compare_members, "--workdir=DIR")
