"""The machine of a measurement: its cores, its name, and the rate of a large product on it."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from wf_jax.platforms import available_cores


def on_cores(count: int) -> None:
    """Keeps this process to its first `count` cores; call it before the first computation."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def environment() -> dict[str, Any]:
    """Describes the machine and the versions that the figures depend on."""
    return {
        "device": jax.devices()[0].device_kind,
        "processor": _processor(),
        "cores": available_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "load": os.getloadavg()[0],
    }


def _processor() -> str:
    """The CPU's name where the system tells."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def matrix_rate(size: int = 2048, products: int = 4) -> Callable[[], float]:
    """A call that multiplies large float32 matrices and returns FLOP per second."""
    a = jnp.full((size, size), 1e-3)
    multiply = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))

    def call() -> float:
        start = time.perf_counter()
        for _ in range(products):
            multiply(a).block_until_ready()
        return products * 2.0 * size**3 / (time.perf_counter() - start)

    return call
