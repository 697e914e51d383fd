"""Ends a training after the first SIGINT or SIGTERM."""

import contextlib
import os
import signal
import socket
import threading
import time
from types import FrameType, TracebackType

_LINE = "{}: stopping soon, with all that was learned; once more to leave at once\n"
_APART = 0.5  # seconds between two signals that are meant: one Ctrl-C may be sent on by parents


class StopOnSignal:
    """Turns the first SIGINT or SIGTERM into a flag; the second leaves at once.

    Use as a context manager; `received` is the signal's name, or None. Python runs a handler when
    the main thread comes back from compiling or from a step. A thread of its own says at once that
    the signal was noted, and answers the second.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """Starts with no signal received; `quiet` says nothing of the first."""
        self._quiet = quiet
        self.received: str | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopOnSignal":
        """Installs the handlers of both signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)
        reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=_answer, args=(reader, self._quiet), daemon=True).start()
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


def _answer(reader: socket.socket, quiet: bool) -> None:
    """Says that the first signal was noted, and ends the process at the second."""
    noted = 0.0
    with reader:
        while numbers := reader.recv(16):
            for number in set(numbers) & {signal.SIGINT, signal.SIGTERM}:
                if not noted:
                    noted = time.monotonic()
                    if not quiet:
                        _say(signal.Signals(number).name)
                elif time.monotonic() - noted > _APART:
                    os._exit(128 + number)


def _say(name: str) -> None:
    """Says that a signal was noted; not by `print`, whose buffer the main thread may be using."""
    with contextlib.suppress(OSError):  # who listened is gone
        line = "\n" if os.isatty(2) else ""  # a terminal shows ^C
        os.write(2, (line + _LINE.format(name)).encode())
