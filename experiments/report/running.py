"""The page of a run while it trains: it loads itself again until the report takes its place."""

import time
from collections.abc import Iterable
from html import escape
from pathlib import Path

from experiments.report import elements
from wf_jax.training.metrics import duration

REFRESH = 15  # seconds
SECONDS_BETWEEN = 30.0  # drawing costs training time


class RunningPage:
    """Writes a page now and then; each takes the place of the one before."""

    def __init__(self, path: Path, title: str):
        """Writes to `path`, once `write` is called."""
        self._path, self._title = path, title
        self._written = time.monotonic() - SECONDS_BETWEEN

    def due(self) -> bool:
        """Returns whether it is time for the next one."""
        return time.monotonic() - self._written >= SECONDS_BETWEEN

    def write(self, step: int, minutes: float, sections: Iterable[str]) -> None:
        """Writes the page: how far the run is, then the sections (HTML).

        Raises:
            OSError: it cannot be written.
        """
        status = (
            f"Training: step {step:,} after {duration(minutes)}, as of {time.strftime('%H:%M:%S')}."
            f" This page loads itself again every {REFRESH} seconds, unless something plays, until"
            " the report takes its place. If that time is long past, the run was stopped; the same"
            " command goes on with it."
        )
        shown = [f'<p class="status" role="status">{escape(status)}</p>', *sections]
        elements.write_page(self._path, elements.document(self._title, shown, REFRESH))
        self._written = time.monotonic()
