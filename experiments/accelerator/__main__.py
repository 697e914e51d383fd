"""Examines an accelerator: correctness and speed of this code on it, in one command.

    python -m experiments.accelerator --output=DIR --minutes=10
    python -m experiments.accelerator --output=DIR --small
    python -m experiments.accelerator --output=DIR --parts=device,capture --corpus=data/lj

Runs the parts in order, each within its share of the time and in a process of its own, and after
every part writes DIR/results.md and results.json. `--small` shrinks every size: a rehearsal that a
CPU with two cores ends in under three minutes.
"""

import os
import signal
import sys
from pathlib import Path

from absl import app, flags

from data_pipeline.corpus import Corpus
from experiments.accelerator.parts import PARTS
from experiments.terminal.outputs import check_folder
from experiments.terminal.start import no_arguments, parse_flags, set_up
from wf_jax.errors import UserError, why

_OUTPUT = flags.DEFINE_string("output", None, "Folder of the results; made if it is not there")
_MINUTES = flags.DEFINE_float("minutes", 10.0, "For all parts together", 0.1)
_PARTS = flags.DEFINE_list("parts", list(PARTS), f"Which to run: {', '.join(PARTS)}")
_CORPUS = flags.DEFINE_string("corpus", "", "Prepared corpus to train on; else built-in speech")
_SMALL = flags.DEFINE_bool("small", False, "Shrink every size, for a rehearsal on a CPU")


def main(argv: list[str]) -> None:
    """Runs the parts; the exit code is 1 if one of them did not finish."""
    set_up()
    no_arguments(argv, "--parts=device")
    unknown = [name for name in _PARTS.value if name not in PARTS]
    if unknown:
        sys.exit(f"--parts={','.join(unknown)}: no such part; choose of {', '.join(PARTS)}")
    try:
        check_folder(Path(_OUTPUT.value))
    except UserError as error:
        sys.exit(str(error))
    corpus = _corpus(_CORPUS.value) if _CORPUS.value else ""
    from experiments.accelerator.run import run_parts

    parts = {name: part for name, part in PARTS.items() if name in _PARTS.value}
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # what runs is ended, what is there kept
    try:
        code = run_parts(parts, Path(_OUTPUT.value), 60 * _MINUTES.value, _SMALL.value, corpus)
    except OSError as error:
        sys.exit(f"{error.filename}: {why(error)}")
    sys.exit(code)


def _corpus(folder: str) -> str:
    """Returns the absolute path of a prepared corpus; exits the program if there is none."""
    try:
        Corpus.open(folder).check()
    except UserError as error:
        sys.exit(str(error))
    return os.path.abspath(folder)


if __name__ == "__main__":
    flags.mark_flag_as_required("output")
    app.run(main, flags_parser=parse_flags)
