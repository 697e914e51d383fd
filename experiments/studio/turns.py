"""Computations that use every core: one after the other, and few that wait."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")
MOST_WAITING = 8


class BusyError(Exception):
    """Too many wait already."""


class Turns:
    """Lets one computation run at a time, in a thread of its own; the others wait in none."""

    def __init__(self) -> None:
        """Begins with none."""
        self._limiter, self._taken = CapacityLimiter(1), 0

    async def take(self, work: Callable[..., T], *arguments: object) -> T:
        """Returns what `work` does, after those that came before.

        Raises:
            BusyError: too many wait; it was not begun.
        """
        if self._taken > MOST_WAITING:
            raise BusyError(f"{MOST_WAITING} others wait already; ask again in a few seconds")
        self._taken += 1
        try:
            return await to_thread.run_sync(work, *arguments, limiter=self._limiter)
        finally:
            self._taken -= 1

    async def parts(self, work: Iterator[T]) -> AsyncIterator[T]:
        """Yields what `work` does, each part after those that came before; it was begun already."""
        while (
            part := await to_thread.run_sync(next, work, None, limiter=self._limiter)
        ) is not None:
            yield part
