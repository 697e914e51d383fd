"""Examines an accelerator: correctness and speed of this code on it, in one command.

    python -m experiments.accelerator --output=DIR --minutes=10
    python -m experiments.accelerator --output=DIR --small
    python -m experiments.accelerator --output=DIR --parts=device,capture --corpus=data/lj

Runs the parts in order, each within its share of the time and in a process of its own, and after
every part writes DIR/results.md and results.json. `--small` shrinks every size: a rehearsal that a
CPU with two cores ends in under three minutes.
"""

from absl import flags

from experiments.accelerator.parts import PARTS
from experiments.accelerator.run import examine
from experiments.terminal.start import start

flags.DEFINE_string("output", None, "Folder of the results; made if it is not there")
flags.DEFINE_float("minutes", 10.0, "For all parts together", 0.1)
flags.DEFINE_list("parts", list(PARTS), f"Which to run: {', '.join(PARTS)}")
flags.DEFINE_string("corpus", "", "Prepared corpus to train on; else built-in speech")
flags.DEFINE_bool("small", False, "Shrink every size, for a rehearsal on a CPU")

if __name__ == "__main__":
    start(examine, "--parts=device", left="results that are there are complete")
