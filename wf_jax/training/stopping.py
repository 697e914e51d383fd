"""When a run ends: its budget of steps or minutes, or a polite signal."""

import signal
import time
from types import FrameType, TracebackType


class StopOnSignal:
    """Turns the first SIGINT or SIGTERM into a flag; the second leaves at once.

    Use as a context manager; `received` is the signal's name, or None.
    """

    def __init__(self) -> None:
        """Nothing has been received."""
        self.received: str | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopOnSignal":
        """Takes the two signals over."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives them back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        # The system's own action, since Python's would wait for the end of a running step.
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)


class Budget:
    """How much training there is to be, and how much of it is done, from 0 to 1."""

    def __init__(self, steps: int, minutes: float = 0.0, minutes_before: float = 0.0):
        """A budget of `steps`, or of `minutes` where they are above 0.

        Args:
            steps: total, earlier sessions of the run included.
            minutes: total wall-clock time of training, likewise.
            minutes_before: used up by earlier sessions.
        """
        self.steps, self.limit = steps, minutes
        self._start = time.monotonic() - 60 * minutes_before

    @property
    def minutes(self) -> float:
        """Used so far, earlier sessions included."""
        return (time.monotonic() - self._start) / 60

    def progress(self, step: int, minutes: float | None = None) -> float:
        """Share of the budget used before `step`, by `minutes` or by this process's clock."""
        minutes = self.minutes if minutes is None else minutes
        done = minutes / self.limit if self.limit else step / max(self.steps, 1)
        return min(done, 1.0)

    def left_minutes(self, step: int, minutes_per_step: float) -> float:
        """Until the budget is used up."""
        if self.limit:
            return max(self.limit - self.minutes, 0.0)
        return (self.steps - step) * minutes_per_step
