"""The lines that a run shows: step, speed, metrics, and the time that is left."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Self

from wf_jax.training.budget import Budget
from wf_jax.training.metrics import Progress, duration
from wf_jax.training.task import Task

SLOW = 20  # seconds of compiling after which a line says so
HIDDEN = ("loss", "time", "speed", "memory")  # of the last evaluation


class RunLines:
    """One line that is kept up to date, and lines that stay; use as a context manager."""

    def __init__(self, *, quiet: bool):
        """Shows on standard error, or nothing."""
        self._progress = None if quiet else Progress()
        self._timed_from: tuple[int, float] | None = None  # after the first step: it compiles

    def __enter__(self) -> Self:
        """Returns self."""
        return self

    def begin(self, task: Task, budget: Budget) -> None:
        """Takes the task and the budget of the steps to come."""
        self._task, self._budget = task, budget

    def say(self, line: str) -> None:
        """Shows a line that stays."""
        if self._progress:
            self._progress.keep(line)

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Shows a line if a block that compiles takes longer than SLOW."""
        line = f"still compiling after {SLOW:g} s, as large models on few cores do"
        timer = threading.Timer(SLOW, lambda: self.say(line))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def step(self, step: int, records: list[dict[str, Any]]) -> None:
        """Brings the line up to date."""
        if not self._progress:
            return
        minutes = self._budget.minutes
        if self._timed_from is None:
            self._timed_from = (step, minutes)
        steps, spent = step - self._timed_from[0], minutes - self._timed_from[1]
        parts = [f"step {step}", f"epoch {step / self._task.steps_per_epoch:.1f}"]
        if steps:
            rate = steps / (60 * spent)
            parts.append(f"{rate:.1f} steps/s")
            if self._task.batch_seconds:
                parts.append(f"{rate * self._task.batch_seconds:.1f}x real time")
            parts.append(f"ETA {duration(self._budget.left_minutes(step, spent / steps))}")
        for name, value in (records[-1] if records else {}).items():
            group, slash, metric = name.partition("/")
            if slash and group not in HIDDEN:
                parts.append(f"{group} {metric} {value:.4f}")
        self._progress.update("  ".join(parts))

    def __exit__(self, *error: object) -> None:
        """Leaves the last line standing."""
        if self._progress:
            self._progress.close()
