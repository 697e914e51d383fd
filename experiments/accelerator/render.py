"""Part `render`: an hour-long file, a batch of files, and blocks as a plug-in host sends them.

An LSTM stands beside the WaveNets: each of its samples waits for the one before it, which is the
worst that an accelerator can be given.
"""

import itertools
import statistics
import time
from collections.abc import Iterator
from functools import partial

import jax.numpy as jnp
import numpy as np

from experiments.accelerator.report import Options, Report, Row
from experiments.benchmarks.timing import seconds_of, time_calls
from wf_jax.amps import a2, lstm
from wf_jax.amps.model import AmpModel
from wf_jax.amps.player import Player
from wf_jax.amps.recurrent import RecurrentConfig
from wf_jax.amps.render import render

RATE = 48000  # Hz
WHOLE, BATCH, BLOCKS = "A whole file", "Sixteen files at once", "Blocks of 64 samples in a Player"
HOUR, MINUTES = 3600.0, 180.0  # seconds, of a file and of each of sixteen
FILES, BLOCK, MOST_BLOCKS = 16, 64, 5000
LSTM = "LSTM, 16 hidden"
NOTE = (
    "The first call of a whole file is of one sample: it compiles, and plays the silence before. "
    "Files are as long as the time allows, an hour at most. A block of 64 samples is due every "
    "1,333 microseconds at 48 kHz."
)


def measure(report: Report, options: Options) -> None:
    """Adds rows for A2 nano and standard (small: nano alone), and an LSTM of one cell."""
    rng, small = np.random.default_rng(0), options.small
    models: dict[str, AmpModel] = {
        f"A2 {size}": a2.create(size, rng) for size in (("nano",) if small else a2.CHANNELS)
    }
    wavenets = [{"model": name} for name in models]
    models[LSTM] = lstm.create(RecurrentConfig(layers=1, input_size=1, hidden_size=16), rng)
    limit = min(options.seconds / 16, 0.2 if small else 20.0)  # seconds, of the calls of a row
    speeds: dict[str, float] = {}
    for case in report.in_time(WHOLE, wavenets):
        with report.attempt(WHOLE, **case) as row:
            speeds[case["model"]] = _whole_file(row, models[case["model"]], limit)
    for case in report.in_time(BATCH, wavenets):
        with report.attempt(BATCH, **case) as row:
            _batch(row, models[case["model"]], limit, speeds.get(case["model"], 1.0))
    for case in report.in_time(BLOCKS, [*wavenets, {"model": LSTM}]):
        with report.attempt(BLOCKS, **case) as row:
            _blocks(row, models[case["model"]], limit)
    for case in report.in_time(WHOLE, [{"model": LSTM}]):
        with report.attempt(WHOLE, **case) as row:
            _whole_file(row, models[LSTM], limit)
    report.note(NOTE)


def _whole_file(row: Row, model: AmpModel, limit: float) -> float:
    """Measures times real time; the length keeps one call within `limit` seconds."""

    def play(seconds: float) -> int:
        return sum(len(y) for y in render(model, _noise(seconds)))

    row["first call, s"] = seconds_of(partial(play, 1 / RATE))
    seconds = min(1.0, limit)
    while 2 * (spent := seconds_of(partial(play, seconds))) < limit and seconds < HOUR:
        seconds = min(HOUR, seconds * min(16.0, limit / spent))
    taken = [spent]
    while len(taken) < 3 and sum(taken) + spent < limit:
        taken.append(seconds_of(partial(play, seconds)))
    median = statistics.median(taken)
    row |= {"audio, s": seconds, "s": median, "x real time": seconds / median}
    return seconds / median


def _noise(seconds: float) -> Iterator[np.ndarray]:
    """Yields a second of noise again and again, `seconds` in all."""
    samples = round(seconds * RATE)
    second = np.random.default_rng(1).uniform(-0.5, 0.5, RATE).astype(np.float32)
    full, rest = divmod(samples, RATE)
    return itertools.chain(itertools.repeat(second, full), [second[:rest]])


def _batch(row: Row, model: AmpModel, limit: float, speed: float) -> None:
    """Renders sixteen files; their length suits `speed`, that of one file."""
    seconds = min(MINUTES, speed * limit / 4)
    samples = model.chunk if limit < 1 else round(seconds * RATE)
    x = jnp.asarray(np.random.default_rng(2).random((FILES, samples), np.float32) - 0.5)
    timing = time_calls(lambda: model(x), rounds=3, seconds=limit / 2)
    row |= {
        "audio of each, s": samples / RATE,
        "first call, s": timing.first,
        "s": timing.median,
        "x real time, all together": FILES * samples / RATE / timing.median,
    }


def _blocks(row: Row, model: AmpModel, limit: float) -> None:
    start = time.perf_counter()
    player, block = Player(model, BLOCK), next(_noise(1.0))[:BLOCK]
    for _ in range(10):
        player(block)
    row["until it plays, s"] = time.perf_counter() - start
    times: list[float] = []
    while len(times) < MOST_BLOCKS and sum(times) < limit:
        start = time.perf_counter()
        player(block)
        times.append(time.perf_counter() - start)
    microseconds = 1e6 * np.array(times)
    row |= {
        "blocks": len(times),
        "p50, us": float(np.percentile(microseconds, 50)),
        "p99, us": float(np.percentile(microseconds, 99)),
        "later than due, %": float(100 * np.mean(np.array(times) > BLOCK / RATE)),
    }
