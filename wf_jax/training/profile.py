"""A trace of a few steps, for xprof, TensorBoard or Perfetto."""

from pathlib import Path
from typing import Any, Self

import jax


class Profile:
    """Writes a trace of the steps first to last of a session; use as a context manager."""

    def __init__(self, folder: Path, steps: tuple[int, ...]):
        """Into `folder`, of the steps in `steps`: first and last, or () for none."""
        self._folder, self._steps, self._running = folder, steps, False

    def __enter__(self) -> Self:
        """Nothing to open."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends a trace that the run has not outlived."""
        self._stop()

    def before(self, step: int, pending: Any) -> None:
        """Is told of each dispatch, with the results that are still being computed."""
        if not self._steps:
            return
        first, last = self._steps
        if self._running and step > last:
            jax.block_until_ready(pending)
            self._stop()
        elif not self._running and first <= step <= last:
            jax.block_until_ready(pending)
            jax.profiler.start_trace(str(self._folder))
            self._running = True

    def _stop(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
            self._steps = ()
