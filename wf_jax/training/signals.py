"""Ends a training after the first SIGINT or SIGTERM."""

import os
import signal
import socket
import threading
import time
from types import FrameType, TracebackType

_NOTED = "{}: stopping after the step and evaluation at hand; once more to leave at once\n"
_TWICE = 0.5  # seconds between two signals that are meant: one Ctrl-C may be sent on by parents


class StopOnSignal:
    """Turns the first SIGINT or SIGTERM into a flag; the second leaves at once.

    Use as a context manager; `received` is the signal's name, or None. Python runs a handler when
    the main thread comes back from compiling or from a step. A thread of its own says at once that
    the signal was noted, and answers the second.
    """

    def __init__(self) -> None:
        """Starts with no signal received."""
        self.received: str | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopOnSignal":
        """Installs the handlers of both signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)
        reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=_answer, args=(reader,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restores the earlier handlers."""
        signal.set_wakeup_fd(self._wakeup)
        self._writer.close()  # which ends the thread
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        # The system's own action, since Python's would wait for the end of a running step.
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)


def _answer(reader: socket.socket) -> None:
    """Says that the first signal was noted, and ends the process at the second."""
    noted = 0.0
    with reader:
        while numbers := reader.recv(16):
            for number in set(numbers) & {signal.SIGINT, signal.SIGTERM}:
                if not noted:
                    noted = time.monotonic()
                    # Not by `print`, whose buffer the main thread may be writing to.
                    line = "\n" if os.isatty(2) else ""  # a terminal shows ^C
                    line += _NOTED.format(signal.Signals(number).name)
                    os.write(2, line.encode())
                elif time.monotonic() - noted > _TWICE:
                    os._exit(128 + number)
