"""Runs the project's own commands in separate processes, as a user runs them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import experiments

ROOT = Path(experiments.__file__).parents[1]  # from which commands are run
PAUSE = 0.02  # seconds between looks at a process


class CommandError(RuntimeError):
    """A command that failed or took too long; one line."""


class Command:
    """Runs `python -m experiments.NAME ARGUMENTS`; a context manager that kills it at the end.

    It stays in the process group of the part that starts it, so that ending the part ends it too.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ):
        """Starts it.

        Args:
            name: module in `experiments`.
            arguments: arguments of the command line.
            log: file of what it prints.
            environment: variables beside those of this process.
        """
        self.name, self._log = name, log
        given = {**os.environ, "JAX_TRACEBACK_FILTERING": "off", **(environment or {})}
        with log.open("w") as file:  # unfiltered, a traceback ends with its reason
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"experiments.{name}", *arguments],
                stdout=file,
                stderr=file,
                env=given,
                cwd=ROOT,
            )

    def __enter__(self) -> Self:
        """Returns the command."""
        return self

    def __exit__(self, *error: object) -> None:
        """Kills the process (SIGKILL) if it still runs."""
        self._process.kill()
        self._process.wait()

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Waits for the end, or until `until`, polled again and again, is true.

        Returns:
            Whether `until` came true first.

        Raises:
            CommandError: the time was over, or its exit code is not 0.
        """
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            if until():
                return True
            if time.monotonic() > deadline:
                raise CommandError(f"{self.name}: not done when the time was over")
            time.sleep(PAUSE)
        if self._process.returncode:
            raise CommandError(f"{self.name}: {self._last_line()}")
        return False

    def _last_line(self) -> str:
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line]
        return lines[-1].strip() if lines else f"exit code {self._process.returncode}"


def run_command(
    name: str,
    arguments: Sequence[str],
    log: Path,
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Runs a command to its end; see `Command`.

    Returns:
        What it printed.

    Raises:
        CommandError: the command failed, or took longer than `seconds`.
    """
    with Command(name, arguments, log, environment) as command:
        command.wait(seconds)
    return log.read_text(errors="replace")
