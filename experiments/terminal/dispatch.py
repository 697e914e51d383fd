"""Runs a word of `wf-jax` as its main; words.py says which and how."""

import runpy
import sys
from collections.abc import Sequence

from experiments.terminal.pipes import reader_may_leave
from experiments.terminal.word_arguments import as_typed, find_word, translate
from experiments.terminal.word_help import help_of, overview
from experiments.terminal.words import Word
from wf_jax import __version__
from wf_jax.command_lines import Start, started_as
from wf_jax.errors import UserError

HELP = {"--help", "-help", "-h"}
WRONG = 2  # exit code


def run(program: str, typed: Sequence[str]) -> int:
    """Runs what was typed; returns the exit code.

    Args:
        program: path of `wf-jax`; "" for `python -m wf_jax`.
        typed: the arguments after it.
    """
    if not typed or typed[0] in HELP | {"help"}:
        return _say(overview())
    if typed[0] == "--version":
        return _say(f"wf-jax {__version__}")
    name, *rest = typed
    try:
        word = find_word(name)
        if HELP & set(rest):
            return _say(help_of(name))
        arguments = translate(name, rest)
    except UserError as error:
        print(error, file=sys.stderr)
        return WRONG
    started_as(Start(program, typed, as_typed))
    _become(word, arguments)
    return 0


def _say(text: str) -> int:
    with reader_may_leave():
        print(text)
    return 0


def _become(word: Word, arguments: Sequence[str]) -> None:
    """Runs the word's main as `python -m` does; it ends the process."""
    sys.argv = ["wf-jax", *arguments]
    runpy.run_module(f"experiments.{word.main}", run_name="__main__", alter_sys=True)
