"""Limits the resources that a hostile file may take, within the process of the test."""

import contextlib
import resource
import time
from collections.abc import Iterator

SECONDS = 2.0  # of CPU
ROOM = 1 << 30  # bytes


@contextlib.contextmanager
def limited(seconds: float = SECONDS, room: int = ROOM) -> Iterator[None]:
    """Fails a block that takes more time; excess memory raises a MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + room, hard))
    begun = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    taken = time.process_time() - begun
    assert taken < seconds, f"took {taken:.1f} s"
