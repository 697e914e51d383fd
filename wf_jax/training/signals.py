"""Ends a training after the first SIGINT or SIGTERM."""

import signal
from types import FrameType, TracebackType


class StopOnSignal:
    """Turns the first SIGINT or SIGTERM into a flag; the second leaves at once.

    Use as a context manager; `received` is the signal's name, or None.
    """

    def __init__(self) -> None:
        """Starts with no signal received."""
        self.received: str | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopOnSignal":
        """Installs the handlers of both signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restores the earlier handlers."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        # The system's own action, since Python's would wait for the end of a running step.
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)
