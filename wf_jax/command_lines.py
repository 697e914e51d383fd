"""Formats command lines to paste: quoted, and as this process was started.

By `wf-jax WORD`, or by `python -m experiments.NAME` with the running Python.
"""

import contextlib
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple


class Start(NamedTuple):
    """Keeps the way in which `wf-jax` was started.

    Attributes:
        program: its path, or "" for `python -m wf_jax`.
        arguments: as they were typed.
        as_typed: turns the name of a main in `experiments` and its flags into a word and its
            arguments; None if no word runs it.
    """

    program: str
    arguments: Sequence[str]
    as_typed: Callable[[str, Sequence[str]], list[str] | None]


_start: Start | None = None


def started_as(start: Start) -> None:
    """Writes later commands as words of `wf-jax`."""
    global _start
    _start = start


def by_word() -> bool:
    """Returns whether this process was started by `wf-jax`."""
    return _start is not None


def command(name: str, *arguments: str) -> str:
    """Formats the command that runs a main of `experiments`, for a shell.

    Args:
        name: of the main: "train" for experiments/train.py.
        *arguments: its flags, in their long form.
    """
    typed = _start.as_typed(name, arguments) if _start else None
    if _start is None or typed is None:
        return shlex.join([_interpreter(), "-m", f"experiments.{name}", *arguments])
    return shlex.join([*_program(_start), *typed])


def same_command() -> str:
    """Returns the command line of this process."""
    if _start is not None:
        return shlex.join([*_program(_start), *_start.arguments])
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    started = ["-m", spec.name] if spec else [sys.argv[0]]
    return shlex.join([_interpreter(), *started, *sys.argv[1:]])


def _program(start: Start) -> list[str]:
    """Returns the words that a shell finds `wf-jax` by."""
    if not start.program:
        return [_interpreter(), "-m", "wf_jax"]
    path = Path(start.program)
    found = shutil.which(path.stem)
    with contextlib.suppress(OSError):
        if found and Path(found).samefile(path):
            return [path.stem]
    return [from_here(path)]


def _interpreter() -> str:
    return from_here(Path(sys.executable))


def from_here(path: Path) -> str:
    """Returns a program's path, relative where it is below the current folder."""
    with contextlib.suppress(OSError, ValueError):  # no current folder, or not below it
        return str(path.relative_to(Path.cwd()))
    return str(path)
