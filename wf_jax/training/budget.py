"""The length of a run in steps or minutes, and the share of it that is done."""

import time

LEAST = 20  # steps of a run in minutes, however few minutes it has


class Budget:
    """The length of a run, and the share of it that is done, from 0 to 1.

    The clock stands still until `begin`, so that compiling costs nothing of it.
    """

    def __init__(self, steps: int, minutes: float = 0.0, minutes_before: float = 0.0):
        """A budget of `steps`, or of `minutes` where they are above 0.

        Args:
            steps: total, earlier sessions of the run included.
            minutes: total wall-clock time of training, likewise, but LEAST steps at least.
            minutes_before: used up by earlier sessions.
        """
        self.steps, self.limit = steps, minutes
        self._before = minutes_before
        self._start: float | None = None

    def begin(self) -> None:
        """Starts the clock."""
        self._start = time.monotonic()

    @property
    def minutes(self) -> float:
        """Minutes used so far, earlier sessions included."""
        now = 0.0 if self._start is None else time.monotonic() - self._start
        return self._before + now / 60

    def progress(self, step: int, minutes: float | None = None) -> float:
        """Returns the share of the budget used before `step`, by `minutes` or the clock."""
        minutes = self.minutes if minutes is None else minutes
        if not self.limit:
            return min(step / max(self.steps, 1), 1.0)
        return min(minutes / self.limit, step / LEAST, 1.0)

    def end(self, step: int) -> str:
        """Describes a budget that is used up after `step`."""
        if self.limit and step <= LEAST:
            return f"the least number of steps, {LEAST}, took more than {self.limit:g} minutes"
        return "the budget is used up"

    def left_minutes(self, step: int, minutes_per_step: float) -> float:
        """Minutes until the budget is used up."""
        if self.limit:
            return max(self.limit - self.minutes, 0.0)
        return (self.steps - step) * minutes_per_step
