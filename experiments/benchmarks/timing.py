"""Times calls on the device."""

import dataclasses
import statistics
import time
from collections.abc import Callable

import jax

ROUNDS, SECONDS = 7, 2.0  # calls that count, and the time after which no further one begins


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of the first call, which compiles, and the median of the others."""

    first: float
    median: float


def time_calls(
    call: Callable[[], object], rounds: int = ROUNDS, seconds: float = SECONDS
) -> Timing:
    """Times consecutive calls, each until its result is ready.

    Args:
        call: gives arrays.
        rounds: calls that count.
        seconds: after which no further call begins; one always counts.
    """
    first, taken = seconds_of(call), []
    while len(taken) < rounds and (not taken or sum(taken) < seconds):
        taken.append(seconds_of(call))
    return Timing(first, statistics.median(taken))


def seconds_of(call: Callable[[], object]) -> float:
    """Times one call until its result is ready."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start
