"""Measures the time of training steps, its parts, and their speed."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax

PARTS = ("data", "device")


class StepClock:
    """Splits the time of steps into waiting for data, waiting for the device, and the rest.

    "device" is what the host waits for results; where the host is the slower of the two it is near
    0. `start` begins to count: after compilation, and after each evaluation.
    """

    def __init__(self, audio_seconds: float = 0.0, flops: float = 0.0, peak: float = 0.0):
        """Takes the size of one step.

        Args:
            audio_seconds: of its batch, over all devices; 0 where that has no meaning.
            flops: of it, over all devices; 0 if unknown.
            peak: FLOP/s that all devices reach in a large matrix product; 0 if unknown.
        """
        self._audio, self._flops, self._peak = audio_seconds, flops, peak
        self.start()

    def start(self) -> None:
        """Forgets what was counted and counts from now on."""
        self._steps, self._spent = 0, dict.fromkeys(PARTS, 0.0)
        self._began = time.perf_counter()

    @contextmanager
    def waiting(self, part: str) -> Iterator[None]:
        """Counts the time of a `with` block as "data" or "device"."""
        began = time.perf_counter()
        yield
        self._spent[part] += time.perf_counter() - began

    def count(self, steps: int) -> None:
        """Adds finished steps."""
        self._steps += steps

    @property
    def seconds_per_step(self) -> float:
        """Mean since the start; 0 before the first step."""
        return self._total / self._steps if self._steps else 0.0

    def report(self) -> dict[str, float]:
        """Returns, per step in seconds, time/step, time/data, time/device, time/host; and speeds.

        speed/steps (per second), speed/audio (times real time), speed/gflops and speed/utilization
        (share of `peak`) where they are known; memory/host_gb and memory/device_gb at their peak.
        """
        report = {"memory/host_gb": _peak_memory()}
        stats = jax.local_devices()[0].memory_stats()
        if stats and "peak_bytes_in_use" in stats:
            report["memory/device_gb"] = stats["peak_bytes_in_use"] / 1e9
        if not self._steps:
            return report
        step = self.seconds_per_step
        parts = {part: self._spent[part] / self._steps for part in PARTS}
        report |= {"time/step": step} | {f"time/{part}": t for part, t in parts.items()}
        report["time/host"] = max(step - sum(parts.values()), 0.0)
        report["speed/steps"] = 1 / step
        if self._audio:
            report["speed/audio"] = self._audio / step
        if self._flops:
            report["speed/gflops"] = self._flops / step / 1e9
            if self._peak:
                report["speed/utilization"] = self._flops / step / self._peak
        return report

    @property
    def _total(self) -> float:
        return time.perf_counter() - self._began


def _peak_memory() -> float:
    """Peak memory of this process, GB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
