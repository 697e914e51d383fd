"""Locks a run's folder for one process."""

import contextlib
import json
import os
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import IO

from wf_jax.errors import UserError, short
from wf_jax.json_values import parse_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NAME = "lock"
PATIENCE = 1.0  # seconds that a lock is tried: others hold it for an instant to look at it
_LONGEST = 1000  # characters of what stands in it


class LockedError(UserError):
    """Another process holds a folder."""


class FolderLock:
    """Holds a folder for this process until it is released or the process ends.

    Uses the system's own lock on the file "lock", which names its holder. The lock of a dead
    process stops nobody, and a file system of several machines decides for all of them.
    """

    def __init__(self, folder: Path):
        """Takes the lock.

        Raises:
            LockedError: another process holds it.
            OSError: the file cannot be written.
        """
        self._file: IO[str] | None = None
        self.held = False  # where the file system has no locks
        if fcntl is None:
            return
        file = (folder / NAME).open("a+", errors="replace")
        try:
            take(file)
            if not os.fstat(file.fileno()).st_nlink:  # its last holder has removed it meanwhile
                raise BlockingIOError
        except BlockingIOError:
            with file:
                file.seek(0)
                raise LockedError(f"{folder}: {who_holds(file.read(_LONGEST))}") from None
        except OSError:
            file.close()
            return
        file.truncate(0)
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        json.dump({"host": socket.gethostname(), "process": os.getpid(), "since": now}, file)
        file.flush()
        self._file, self.held = file, True

    def __del__(self) -> None:
        """Releases the lock."""
        self.release()

    def release(self) -> None:
        """Lets others in; may be called twice."""
        if self._file is not None:
            self._file.close()
            self._file = None


def take(file: IO) -> None:
    """Locks an open file for this process alone, once others have ended to look at it.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file system has no locks.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
        time.sleep(0.02)


def check_unlocked(folder: Path) -> None:
    """Checks that no other process holds a folder, and leaves it as it is.

    Raises:
        LockedError: one does.
    """
    if fcntl is None or not (folder / NAME).is_file():  # a pipe would be waited for
        return
    with contextlib.suppress(OSError), (folder / NAME).open(errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"{folder}: {who_holds(file.read(_LONGEST))}") from None


def who_holds(text: str | bytes) -> str:
    """Describes the owner of a lock as part of a message, with the remedy."""
    try:
        owner = parse_json(text[:_LONGEST])
        process, host, since = (short(owner[key], 60) for key in ("process", "host", "since"))
        who, since = f"process {process} on {host} has trained", f" since {since}"
    except (ValueError, KeyError, TypeError, RecursionError):
        who, since = "another process trains", ""
    return f"{who} here{since}; wait for it, stop it, or give another --workdir"
