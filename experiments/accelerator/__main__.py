"""Examines an accelerator: correctness and speed of this code on it, in one command.

    python -m experiments.accelerator --output=DIR --minutes=10
    python -m experiments.accelerator --output=DIR --small
    python -m experiments.accelerator --output=DIR --parts=device,capture --corpus=data/lj

Runs the parts in order, each within its share of the time and in a process of its own, and after
every part writes DIR/results.md and results.json. `--small` shrinks every size: a rehearsal that a
CPU with two cores ends in under three minutes.
"""

from pathlib import Path

from absl import flags

from experiments.accelerator.parts import PARTS
from experiments.accelerator.run import examine
from experiments.terminal.start import start

_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of the results; made if it is not there", required=True
)
_MINUTES = flags.DEFINE_float("minutes", 10.0, "For all parts together", 0.1)
_PARTS = flags.DEFINE_list("parts", list(PARTS), f"Which to run: {', '.join(PARTS)}")
_CORPUS = flags.DEFINE_string("corpus", "", "Prepared corpus to train on; else built-in speech")
_SMALL = flags.DEFINE_bool("small", False, "Shrink every size, for a rehearsal on a CPU")


def main() -> int:
    """Runs the parts; the exit code is 1 if one of them did not finish."""
    seconds = 60 * _MINUTES.value
    return examine(_PARTS.value, Path(_OUTPUT.value), seconds, _SMALL.value, _CORPUS.value)


if __name__ == "__main__":
    start(main, "--parts=device", left="the results that are there are complete")
