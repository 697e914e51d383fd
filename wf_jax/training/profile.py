"""A trace of a few steps, for xprof, TensorBoard or Perfetto."""

import sys
import tempfile
from pathlib import Path
from typing import Any, Self

import jax

from wf_jax.errors import first_line
from wf_jax.folders import copy_files, is_remote


class Profile:
    """Writes a trace of the steps first to last of a session; use as a context manager."""

    def __init__(self, folder: Path, steps: tuple[int, ...]):
        """Writes into `folder` a trace of the steps in `steps`: first and last, or () for none."""
        self._folder, self._steps, self._running = folder, steps, False
        remote = steps and is_remote(folder)
        self._local = Path(tempfile.mkdtemp(prefix="wf_jax-")) if remote else folder

    def __enter__(self) -> Self:
        """Returns self."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends a trace that is still open at the end of the run."""
        self._stop()

    def before(self, step: int, count: int, pending: Any) -> None:
        """Takes each dispatch: its first step, their number, and results still being computed."""
        if not self._steps:
            return
        first, last = self._steps
        if self._running and step > last:
            jax.block_until_ready(pending)
            self._stop()
        elif not self._running and step + count > first and step <= last:
            jax.block_until_ready(pending)
            jax.profiler.start_trace(str(self._local))
            self._running = True

    def _stop(self) -> None:
        if not self._running:
            return
        self._running, self._steps = False, ()
        try:
            jax.profiler.stop_trace()
            if self._local != self._folder:
                copy_files(self._local, self._folder)
        except (RuntimeError, OSError) as error:  # a full disk: no reason to end the training
            reason = first_line(error)
            sys.stderr.write(f"\n{self._folder}: no trace was written: {reason}\n")
