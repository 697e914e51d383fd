"""Runs a command of `experiments` in a process that is made to be killed.

Processes are forked from one that has imported everything (multiprocessing's forkserver), so that
hundreds of them can be killed; the programs that they compile are kept in a common folder.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave

ROOT = Path(__file__).parents[2]
IMPORTED = (
    "experiments.capture.many_captures",
    "experiments.vocoder.job",
    "experiments.releases.writing",
    "data_pipeline.corpus_preparation",
)
# Audit events (https://docs.python.org/3/library/audit_events.html) of changes to a file system.
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.chmod")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Command:
    """Runs `python -m experiments.MODULE ARGUMENTS` with all its files below `folder`."""

    def __init__(self, folder: Path, module: str, *arguments: str):
        """Makes `folder`; temporary files of the command go to its "tmp"."""
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        self.folder, self._given = folder, (module, arguments)
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(list(IMPORTED))

    def run(self, *, seconds: float | None = None, change: int | None = None) -> int:
        """Returns the exit code; kills after `seconds`, or just before so many file changes."""
        process = self._processes.Process(target=_run, args=(self.folder, *self._given, change))
        process.start()
        process.join(seconds)
        process.kill()
        process.join()
        code = process.exitcode
        process.close()
        return code

    @property
    def said(self) -> str:
        """Returns the output of the last process so far, on both streams."""
        path = self.folder / "said.txt"
        return path.read_text() if path.exists() else ""

    @property
    def changes(self) -> int:
        """Counts the file changes of the last process that ended by itself."""
        return int((self.folder / "changes.txt").read_text())


def _run(folder: Path, module: str, arguments: tuple[str, ...], last: int | None) -> None:
    said = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.chdir(ROOT)
    tempfile.tempdir = str(folder / "tmp")
    Figure.savefig = _save_dot  # drawing takes a third of the time, and makes no file
    sys.argv = [f"experiments.{module}", *arguments]
    changes = 0

    def count(event: str, values: tuple[Any, ...]) -> None:
        nonlocal changes
        if _changes(event, values, str(folder)):
            changes += 1
            if changes == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        runpy.run_module(f"experiments.{module}", run_name="__main__")
    finally:
        made = changes
        (folder / "changes.txt").write_text(str(made))


def _save_dot(figure: Figure, file: IO, format: str = "png", **options: Any) -> None:
    """Saves a transparent dot in place of every picture."""
    if format == "svg":
        file.write('<svg viewBox="0 0 1 1"></svg>')
    else:
        imsave(file, np.zeros((1, 1, 4)), format="png")


def _changes(event: str, values: tuple[Any, ...], folder: str) -> bool:
    """Returns whether an event is a change below `folder`, or an exchange of two folders."""
    if event == "ctypes.dlsym":
        return values[1] == "renameat2"
    opened = event == "open" and isinstance(values[2], int) and values[2] & WRITES
    if not (opened or event in CHANGES) or not isinstance(values[0], str | bytes | os.PathLike):
        return False
    # A name without a folder is one of a folder that is being removed.
    path = os.fsdecode(values[0])
    return path.startswith(folder) or "/" not in path
