"""Formats command lines to paste: quoted, and with the running Python."""

import contextlib
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def command(name: str, *arguments: str) -> str:
    """Formats `python -m experiments.NAME ARGUMENTS` for a shell."""
    return shlex.join([_interpreter(), "-m", f"experiments.{name}", *arguments])


def same_command() -> str:
    """Returns the command line of this process."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    started = ["-m", spec.name] if spec else [sys.argv[0]]
    return shlex.join([_interpreter(), *started, *sys.argv[1:]])


def differences(given: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    """Returns the options that make one config of another, both as {"train.steps": 100, ...}."""
    return [
        f"--config.{name}={_value(value)}"
        for name, value in given.items()
        if value != usual.get(name)
    ]


def _value(value: Any) -> str:
    return str(tuple(value) if isinstance(value, list) else value)


def _interpreter() -> str:
    """Returns the path of this Python, relative where it is below the current folder."""
    executable = Path(sys.executable)
    with contextlib.suppress(OSError, ValueError):  # no current folder, or not below it
        return str(executable.relative_to(Path.cwd()))
    return str(executable)
