"""Part `device`: the kind of device and its two ceilings: large products and copies."""

import os
import platform
import subprocess

import jax
import jax.numpy as jnp

from experiments.accelerator.report import Options, Report
from experiments.benchmarks.timing import time_calls
from wf_jax.platforms import choices
from wf_jax.training.flops import matrix_rate

# As JAX names them, with what they are on an NVIDIA GPU and on a TPU.
PRODUCTS = (
    ("float32, highest", jnp.float32, "highest"),
    ("float32, default (TF32 on a GPU, bfloat16 on a TPU)", jnp.float32, "default"),
    ("bfloat16", jnp.bfloat16, None),
)


def measure(report: Report, options: Options) -> None:
    """Adds a row of names, one for each kind of product, and one for copies."""
    device = jax.local_devices()[0]
    if jax.default_backend() == "cpu" and not options.small:
        report.note("JAX found no accelerator: all of this is of a CPU, in sizes made for a GPU.")
    memory = (device.memory_stats() or {}).get("bytes_limit")
    report.row(
        "Device",
        device=f"{jax.local_device_count()} x {device.device_kind}",
        **{"memory for JAX, GiB": memory and round(memory / 2**30, 1)},
        driver=_driver(),
        jax=jax.__version__,
        python=platform.python_version(),
        **{"host cores": os.cpu_count()},
    )
    report.note(f"Decided for {jax.default_backend()}: {choices().describe()}.")
    for kind, dtype, precision in PRODUCTS:
        with report.attempt("Ceilings", what=f"matrix product, {kind}") as row:
            row["TFLOP/s"] = round(matrix_rate(dtype, precision) / 1e12, 2)
    with report.attempt("Ceilings", what="copy (bytes read and written)") as row:
        row["GB/s"] = round(copy_rate(2**24 if options.small else 2**30) / 1e9, 1)


def copy_rate(size: int) -> float:
    """Measures bytes per second, read and written, of a copy of `size` bytes."""
    x = jnp.ones(size // 4, jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    return 2 * size / time_calls(lambda: copy(x)).median


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.split("\n")[0].strip()
