"""Speed of a .nam model, the native engine beside JAX: in blocks, and as a whole file."""

import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.cases import Options
from experiments.benchmarks.machine import environment, matrix_rate, on_cores
from experiments.benchmarks.tables import draw_stream, stream_table, whole_table
from wf_jax.amps import load_nam, save_nam
from wf_jax.amps.describe import cost_of
from wf_jax.amps.engines import ENGINES, JAX, NATIVE, plays_natively
from wf_jax.amps.jax_form import Playable, jax_form
from wf_jax.amps.model import AmpModel
from wf_jax.amps.player import Player
from wf_jax.amps.render import render
from wf_jax.errors import UserError
from wf_jax.platforms import available_cores
from wf_jax.training.devices import use_every_core
from wf_jax.whole_files import write_whole

RATE = 48000.0  # Hz, of a file that does not say
A2_PASS = "a2_pass"  # of releases; see wf_jax/amps/jax_form.py
PERCENTILES = {"min": 0.0, "p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


def stream(
    model: AmpModel, block: int, seconds: float, rounds: int, core: str | None = None
) -> dict[str, Any]:
    """Times every block by itself, all players in turn.

    Args:
        model: what is measured.
        block: samples.
        seconds: of audio per round.
        rounds: that count.
        core: another player, see `experiments.benchmark`.

    Returns:
        Microseconds of every block by player, and of its statistics; see `stream_table`.
    """
    x = two_tones(model, seconds)
    blocks = [x[i : i + block] for i in range(0, len(x) - block + 1, block)]
    players, ready = {}, {}
    for engine in engines(model):
        start = time.perf_counter()
        players[engine] = Player(model, block, engine)
        ready[engine] = time.perf_counter() - start
    play = {name: partial(_play, player, blocks) for name, player in players.items()}
    with tempfile.TemporaryDirectory() as folder:
        if core:
            file = Path(folder) / "model.nam"
            save_nam(model, file)
            play["core"] = partial(_play_core, core, file, block, x[: len(blocks) * block])
        for call in play.values():
            call()  # once that does not count
        gc.collect()
        gc.freeze()  # what exists by now is not looked through again while blocks are played
        taken: dict[str, list[np.ndarray]] = {name: [] for name in play}
        for _ in range(rounds):
            for name, call in play.items():
                taken[name].append(call())
    times = {name: np.concatenate(each) / 1e3 for name, each in taken.items()}
    deadline = 1e6 * block / (model.sample_rate or RATE)
    return {
        "block": block,
        "blocks": rounds * len(blocks),
        "deadline_us": deadline,
        "players": {name: statistics_of(each, deadline) for name, each in times.items()},
        "ready_seconds": ready,
        "times_us": times,
    }


def _play(player: Player, blocks: list[np.ndarray]) -> np.ndarray:
    """Nanoseconds of every block."""
    player.reset()
    times, clock = [], time.perf_counter_ns
    for block in blocks:
        start = clock()
        player(block)
        times.append(clock() - start)
    return np.array(times, np.float64)


def _play_core(core: str, file: Path, block: int, x: np.ndarray) -> np.ndarray:
    """Nanoseconds of every block by another program."""
    command = [core, str(file), str(block)]
    done = subprocess.run(command, input=np.tile(x, 2).tobytes(), capture_output=True, check=False)
    lines = done.stdout.split()
    try:
        times = np.array(lines, np.float64)
    except ValueError:
        times = np.zeros(0)
    expected = 2 * len(x) // block
    if done.returncode or len(times) != expected:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(
            f"--core={core}: exit code {done.returncode}, {len(lines)} words for {expected} "
            f"blocks, where one number each is due{': ' + said[-1] if said else ''}"
        )
    return times[expected // 2 :]


def engines(model: AmpModel) -> list[str]:
    """The engines that play a model."""
    return ([NATIVE] if plays_natively(model) else []) + [JAX]


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
    """Renders `seconds` of audio with every engine and multiplies matrices, all in turn.

    Args:
        model: what is measured.
        seconds: of audio.
        rounds: that count.
        matrix: multiplies and returns FLOP per second.

    Returns:
        Of every engine, and of the A2 pass where releases use it: medians of times real time,
        FLOP/s and their share of the product's.
    """
    x = two_tones(model, seconds)
    flop = 2.0 * cost_of(model).macs * len(x)

    def playing(playable: Playable, engine: str) -> Callable[[], int]:
        return lambda: sum(len(y) for y in render(playable, [x], engine=engine))

    calls = {engine: playing(model, engine) for engine in engines(model)}
    if (quick := jax_form(model)) is not model:
        calls[A2_PASS] = playing(quick, JAX)
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
        command = [sys.executable, "-m", "wf_jax", "benchmark", *arguments]
        command += [f"--cores={cores}", f"--output={output}"]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            raise UserError(f"the measurement on {cores} cores failed; the reason stands above")
        return json.loads(output.read_text())


def run(options: Options) -> None:
    """Measures what the flags ask for; prints a table, and writes it where --output says."""
    spread = options.case == "render" and options.cores is None
    if not spread:
        on_cores(options.cores or 1)
        use_every_core(available_cores())
    model = load_nam(options.model).at_size(options.slim)
    if (model.input_channels, model.output_channels) != (1, 1):
        raise UserError(f"{options.model}: not a mono model; only those are measured")
    if options.case == "stream" and len(two_tones(model, options.seconds)) < options.block:
        raise UserError(
            f"--seconds={options.seconds:g} of audio hold no block of {options.block} samples"
        )
    if spread:
        result, table = _render_on_all(options)
    else:
        measure = _measure_render if options.case == "render" else _measure_stream
        result, table = measure(model, options)
    print(table)
    if options.output:
        text = json.dumps({**result, "environment": environment()}, indent=1)
        write_whole(options.output, lambda file: file.write(text.encode()))


def _measure_stream(model: AmpModel, options: Options) -> tuple[dict[str, Any], str]:
    result = stream(model, options.block, options.seconds, options.rounds, options.core)
    if options.output:
        picture = Path(options.output).with_suffix(".png")
        what = f"{Path(options.model).name}: {result['blocks']:,} blocks of {options.block} samples"
        draw_stream(picture, result, what)
    del result["times_us"]
    return result, stream_table(result)


def _measure_render(model: AmpModel, options: Options) -> tuple[dict[str, Any], str]:
    result = whole(model, options.seconds, options.rounds, matrix_rate())
    return result, whole_table({available_cores(): result}, options.seconds)


def _render_on_all(options: Options) -> tuple[dict[str, Any], str]:
    """One core, then all of them, each in its own process."""
    arguments = [
        f"--{name}={getattr(options, name)}"
        for name in ("case", "model", "slim", "seconds", "rounds")
    ]
    counts = sorted({1, available_cores()})
    results = {cores: whole_on(cores, arguments) for cores in counts}
    passes = {c: {k: r[k] for k in (*ENGINES, A2_PASS) if k in r} for c, r in results.items()}
    return {str(cores): r for cores, r in passes.items()}, whole_table(passes, options.seconds)
