"""Waits until all processes of a run have come, and names those missing meanwhile.

Process 0 listens on the run's port until every other one has said its number; then all let go of
the port and JAX takes it.
"""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

SAID_SECONDS = 5.0  # between two lines
_HELLO, _COME = b"wf_jax ", b"come\n"


def gather(
    host: str, port: int, count: int, index: int, seconds: float, say: Callable[[str], None]
) -> None:
    """Returns in every process once all are there.

    Args:
        host: of process 0.
        port: of process 0, free there.
        count: of processes.
        index: of this one.
        seconds: to wait.
        say: takes a line, every few seconds that somebody is missing.

    Raises:
        TimeoutError: not all have come; it names who has not.
        OSError: process 0 cannot listen on the port.
    """
    deadline = time.monotonic() + seconds
    if index:
        _report(host, port, index, deadline, say)
    else:
        _wait(port, count, deadline, say)


@contextlib.contextmanager
def saying(words: str) -> Iterator[None]:
    """Writes a line every few seconds while the block runs."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(SAID_SECONDS):
            to_stderr(words)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def to_stderr(line: str) -> None:
    """Writes a line at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _wait(port: int, count: int, deadline: float, say: Callable[[str], None]) -> None:
    """Takes numbers in process 0 until all are there, then answers."""
    come: dict[int, socket.socket] = {}
    line = _Line(say)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_listen(port))
        while len(come) < count - 1:
            missing = _names(set(range(1, count)) - set(come))
            if time.monotonic() > deadline:
                raise TimeoutError(f"{missing} did not come")
            line.say(f"waiting for {missing} of this run's {count}")
            server.settimeout(0.5)
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            stack.enter_context(connection)
            number = _heard(connection)
            if number is not None and 0 < number < count:
                come[number] = connection
        for connection in come.values():
            with contextlib.suppress(OSError):
                connection.sendall(_COME)


def _listen(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        options = {"family": socket.AF_INET6, "dualstack_ipv6": True}
        return socket.create_server(("", port), **options)
    return socket.create_server(("", port))


def _heard(connection: socket.socket) -> int | None:
    """Reads the number that a process sends; None where it sends something else."""
    connection.settimeout(2.0)
    with contextlib.suppress(OSError, ValueError):
        said = connection.recv(len(_HELLO) + 8, socket.MSG_WAITALL)
        if said.startswith(_HELLO):
            return int(said[len(_HELLO) :])
    return None


def _report(host: str, port: int, index: int, deadline: float, say: Callable[[str], None]) -> None:
    """Sends the number of another process until process 0 answers that all are there."""
    line, reached = _Line(say), False
    while time.monotonic() < deadline:
        missing = "others of this run" if reached else f"process 0 at {host}:{port}"
        line.say(f"waiting for {missing}")
        try:
            with socket.create_connection((host, port), 2.0) as connection:
                reached = True
                connection.sendall(_HELLO + b"%08d" % index)
                while time.monotonic() < deadline:
                    connection.settimeout(0.5)
                    with contextlib.suppress(TimeoutError):
                        answer = connection.recv(len(_COME), socket.MSG_WAITALL)
                        if answer == _COME:
                            return
                        break  # process 0 was started again
                    line.say("waiting for others of this run")
        except OSError:
            reached = False
        time.sleep(0.2)
    where = f"process 0 at {host}:{port}"
    raise TimeoutError("others did not come" if reached else f"{where} is not there")


class _Line:
    """Repeats a line every few seconds, after a first pause."""

    def __init__(self, say: Callable[[str], None]):
        self._say, self._next = say, time.monotonic() + SAID_SECONDS

    def say(self, line: str) -> None:
        if time.monotonic() > self._next:
            self._say(line)
            self._next = time.monotonic() + SAID_SECONDS


def _names(numbers: set[int]) -> str:
    word = "process" if len(numbers) == 1 else "processes"
    return f"{word} {', '.join(map(str, sorted(numbers)))}"
