"""Prepares the output streams of commands for any file name."""

import io
import sys
import warnings
from typing import Any

from data_pipeline.audio_headers import AudioFileWarning
from experiments.terminal.programs import UNREADABLE, forget_damaged
from wf_jax.errors import printable


def prepare_terminal() -> None:
    """Prints any name, and each warning of a false audio header once, in one line.

    A character that a terminal cannot show becomes its number. JAX's warning of an unreadable kept
    program is not printed: the program is deleted, so that JAX writes it anew.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    shown, said = warnings.showwarning, set[str]()

    def show(message: Warning | str, category: type[Warning], *others: Any, **options: Any) -> None:
        if str(message).startswith(UNREADABLE):
            forget_damaged(str(message))
        elif not issubclass(category, AudioFileWarning):
            shown(message, category, *others, **options)
        elif str(message) not in said:  # a file may be opened at several places
            said.add(str(message))
            print(f"note: {printable(str(message))}", file=sys.stderr)

    warnings.filterwarnings("always", UNREADABLE)
    warnings.showwarning = show
