"""Speed of a .nam model, its A2 pass beside the general one: in blocks, and as a whole file."""

import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.tables import NAMES, draw_stream, stream_table, whole_table
from wf_jax.amps import a2, load_nam
from wf_jax.amps.describe import cost_of
from wf_jax.amps.fast import fastest
from wf_jax.amps.model import AmpModel
from wf_jax.amps.player import Player
from wf_jax.amps.render import render
from wf_jax.training.devices import available_cores, use_every_core
from wf_jax.whole_files import write_whole

RATE = 48000.0  # Hz, of a file that does not say
PERCENTILES = {"min": 0.0, "p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


def on_cores(count: int) -> None:
    """Keeps this process to its first `count` cores; call it before the first computation."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def stream(model: AmpModel, block: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Times every block by itself, both passes in turn.

    Returns:
        Microseconds of every block by pass, and of its statistics; see `stream_table`.
    """
    x = two_tones(model, seconds)
    blocks = [x[i : i + block] for i in range(0, len(x) - block + 1, block)]
    players = {name: Player(form, block) for name, form in forms(model).items()}
    times: dict[str, list[int]] = {name: [] for name in players}
    _play(players, blocks, times)  # once that does not count
    times = {name: [] for name in players}
    gc.collect()
    gc.freeze()  # what exists by now is not looked through again while blocks are played
    for _ in range(rounds):
        _play(players, blocks, times)
    deadline = 1e6 * block / (model.sample_rate or RATE)
    return {
        "block": block,
        "blocks": rounds * len(blocks),
        "deadline_us": deadline,
        "passes": {name: statistics_of(np.array(t) / 1e3, deadline) for name, t in times.items()},
        "times_us": {name: np.array(t) / 1e3 for name, t in times.items()},
    }


def _play(
    players: dict[str, Player], blocks: list[np.ndarray], times: dict[str, list[int]]
) -> None:
    for name, player in players.items():
        player.reset()
        clock, keep = time.perf_counter_ns, times[name].append
        for block in blocks:
            start = clock()
            player(block)
            keep(clock() - start)


def forms(model: AmpModel) -> dict[str, AmpModel]:
    """The passes that a model has."""
    return ({"a2": fastest(model)} if a2.size_of(model) else {}) | {"general": model}


def statistics_of(microseconds: np.ndarray, deadline: float) -> dict[str, float]:
    """Percentiles by linear interpolation, mean, and what they mean against the deadline."""
    values = {name: float(np.percentile(microseconds, p)) for name, p in PERCENTILES.items()}
    values["mean"] = float(microseconds.mean())
    values["real_time"] = deadline / values["p50"]
    values["share_p50"] = values["p50"] / deadline
    values["share_p99.9"] = values["p99.9"] / deadline
    values["late"] = float(np.mean(microseconds > deadline))
    return values


def two_tones(model: AmpModel, seconds: float) -> np.ndarray:
    """0.25 sin(2 pi 220 t) + 0.1 sin(2 pi 1230 t)."""
    t = np.arange(round(seconds * (model.sample_rate or RATE))) / (model.sample_rate or RATE)
    x = 0.25 * np.sin(2 * np.pi * 220 * t) + 0.1 * np.sin(2 * np.pi * 1230 * t)
    return x.astype(np.float32)


def whole(model: AmpModel, seconds: float, rounds: int, matrix: Callable[[], float]) -> dict:
    """Renders `seconds` of audio with both passes and multiplies matrices, all in turn.

    Args:
        model: what is measured.
        seconds: of audio.
        rounds: that count.
        matrix: multiplies and returns FLOP per second.

    Returns:
        Of every pass: medians of times real time, FLOP/s and their share of the product's.
    """
    x = two_tones(model, seconds)
    flop = 2.0 * cost_of(model).macs * len(x)
    calls = {
        name: lambda form=form: sum(len(y) for y in render(form, [x]))
        for name, form in forms(model).items()
    }
    for call in (*calls.values(), matrix):
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    products = []
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
        products.append(matrix())
    return {
        name: {
            "real_time": seconds / statistics.median(times),
            "gflops": flop / statistics.median(times) / 1e9,
            "share": statistics.median(flop / t / p for t, p in zip(times, products, strict=True)),
            "matrix_gflops": statistics.median(products) / 1e9,
        }
        for name, times in taken.items()
    }


def whole_on(cores: int, arguments: list[str]) -> dict[str, Any]:
    """`whole` in a process of its own that has so many cores."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        command = [sys.executable, "-m", "experiments.benchmark", *arguments]
        command += [f"--cores={cores}", f"--output={output}"]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"the measurement on {cores} cores failed; the reason stands above")
        return json.loads(output.read_text())


def environment() -> dict[str, Any]:
    """What the figures depend on."""
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


def matrix_rate(size: int = 2048) -> Callable[[], float]:
    """A call that multiplies large float32 matrices and returns FLOP per second."""
    a = jnp.full((size, size), 1e-3)
    multiply = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))

    def call() -> float:
        start = time.perf_counter()
        for _ in range(4):
            multiply(a).block_until_ready()
        return 4 * 2.0 * size**3 / (time.perf_counter() - start)

    return call


def run(options: Any) -> None:
    """Measures what the flags ask for; prints a table, and writes it where --output says."""
    spread = options.case == "a2_render" and options.cores is None
    if not spread:
        on_cores(options.cores or 1)
        use_every_core(available_cores())
    try:
        model = load_nam(options.model).at_size(options.slim)
    except ValueError as error:
        sys.exit(str(error))
    if (model.input_channels, model.output_channels) != (1, 1):
        sys.exit(f"{options.model}: not a mono model; only those are measured")
    if options.case == "a2_stream" and len(two_tones(model, options.seconds)) < options.block:
        sys.exit(f"--seconds={options.seconds:g} of audio hold no block of {options.block} samples")
    if spread:
        result, table = _render_on_all(options)
    else:
        measure = _measure_render if options.case == "a2_render" else _measure_stream
        result, table = measure(model, options)
    print(table)
    if options.output:
        text = json.dumps({**result, "environment": environment()}, indent=1)
        write_whole(options.output, lambda file: file.write(text.encode()))


def _measure_stream(model: AmpModel, options: Any) -> tuple[dict[str, Any], str]:
    result = stream(model, options.block, options.seconds, options.rounds)
    if options.output:
        picture = Path(options.output).with_suffix(".png")
        what = f"{Path(options.model).name}: {result['blocks']:,} blocks of {options.block} samples"
        draw_stream(picture, result, what)
    del result["times_us"]
    return result, stream_table(result)


def _measure_render(model: AmpModel, options: Any) -> tuple[dict[str, Any], str]:
    result = whole(model, options.seconds, options.rounds, matrix_rate())
    return result, whole_table({available_cores(): result}, options.seconds)


def _render_on_all(options: Any) -> tuple[dict[str, Any], str]:
    """One core, then all of them, each in its own process."""
    arguments = [
        f"--{name}={getattr(options, name)}"
        for name in ("case", "model", "slim", "seconds", "rounds")
    ]
    counts = sorted({1, available_cores()})
    results = {cores: whole_on(cores, arguments) for cores in counts}
    passes = {c: {k: r[k] for k in NAMES if k in r} for c, r in results.items()}
    return {str(cores): r for cores, r in passes.items()}, whole_table(passes, options.seconds)
