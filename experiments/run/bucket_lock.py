"""Locks a run's folder in a bucket of Google Cloud Storage for one process.

A bucket has no locks, but it writes an object only if it is still of the generation that was read.
So the object "lock" belongs to its writer, which writes it again every few seconds; a lock that
stays unchanged belongs to a dead process, and is taken over. No clocks are compared.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from experiments.run.lock import NAME, LockedError, who_holds
from wf_jax.errors import first_line

BEAT_SECONDS = 15.0  # between two writes of the holder
PATIENCE_SECONDS = 60.0  # that an object stays as it is before its owner counts as dead


class BucketLock:
    """Holds a folder for this process until it is released, or the process dies.

    Others on the same machine notice the death at once, those elsewhere after PATIENCE_SECONDS.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]):
        """Takes the lock.

        Args:
            folder: gs://BUCKET/FOLDER.
            say: takes a line before a wait.

        Raises:
            LockedError: another process holds it.
        """
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        owner = {"host": socket.gethostname(), "process": os.getpid(), "since": now}
        self._text = json.dumps(owner | {"token": secrets.token_hex(8)}).encode()
        self._stop, self._generation = threading.Event(), b""
        self._folder, self._say = folder, say
        self.reason = ""  # why it is not held
        try:
            self._store = _open(folder)
            self._take()
        except LockedError:
            raise
        except Exception as error:  # tensorstore's own: no permission, no network
            self.reason = first_line(error)[:200]
            return
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @property
    def held(self) -> bool:
        """True if this process has the lock."""
        return bool(self._generation)

    def release(self) -> None:
        """Lets others in; may be called twice."""
        if not self.held:
            return
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(Exception):  # a lock that stays is taken over
            self._store.write(NAME, None, if_equal=self._generation).result()
        self._generation = b""

    def _take(self) -> None:
        found = self._store.read(NAME).result()
        if found.state == "value" and not _is_dead(found.value):
            found = self._watch(found)
        written = self._store.write(NAME, self._text, if_equal=found.stamp.generation).result()
        now = self._store.read(NAME).result()
        if now.value != self._text:  # another came first
            raise LockedError(f"{self._folder}: {who_holds(now.value)}")
        self._generation = now.stamp.generation or written.generation

    def _watch(self, found: Any) -> Any:
        """Waits until nobody owns the object; raises LockedError when its owner writes it again."""
        self._say(
            f"{self._folder}: {who_holds(found.value)}; waiting {PATIENCE_SECONDS:g} s to see "
            "whether it is still there"
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(min(1.0, PATIENCE_SECONDS / 10))
            now = self._store.read(NAME).result()
            if now.state != "value":
                return now
            if now.stamp.generation != found.stamp.generation:
                raise LockedError(f"{self._folder}: {who_holds(now.value)}")
        return now

    def _beat(self) -> None:
        """Writes the object again and again."""
        while not self._stop.wait(BEAT_SECONDS):
            with contextlib.suppress(Exception):  # no network: the next time
                self._store.write(NAME, self._text, if_equal=self._generation).result()
                now = self._store.read(NAME).result()
                if now.value != self._text:
                    self._say(f"{self._folder}: taken over while this process was away; stop it")
                    return
                self._generation = now.stamp.generation


def _open(folder: Path) -> Any:
    import tensorstore

    bucket, _, path = str(folder).partition("://")[2].partition("/")
    spec = {"driver": "gcs", "bucket": bucket, "path": f"{path.rstrip('/')}/" if path else ""}
    context = {"gcs_request_retries": {"max_retries": 4}}
    return tensorstore.KvStore.open({**spec, "context": context}).result()


def _is_dead(text: bytes) -> bool:
    """Returns whether the owner was a dead process of this machine, or a past life of this one."""
    try:
        owner = json.loads(text)
        if owner["host"] != socket.gethostname():
            return False
        if owner["process"] == os.getpid():
            return True
        os.kill(owner["process"], 0)
    except ProcessLookupError:
        return True
    except (ValueError, KeyError, TypeError, OSError):
        return False
    return False
