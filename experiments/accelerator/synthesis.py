"""Part `synthesis`: flows synthesize audio, in times real time, with the round-trip error."""

import itertools
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.accelerator.flows import BFLOAT16, DEFAULT, HIGHEST, PRECISIONS, random_flow
from experiments.accelerator.report import Options, Report, Row
from experiments.benchmarks.flows import round_trip_error
from experiments.benchmarks.timing import time_calls
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.flows.waveglow_config import WaveGlowConfig
from wf_jax.platforms import chosen
from wf_jax.training.flops import matrix_rate, program_flops

PAPER = 42.6  # times real time: the WaveFlow paper's C = 64, h = 16 on a V100
PLAIN = f"{HIGHEST}, plain rows"  # where it transforms them, see wf_jax.platforms
# Model, clips, precision: the most wanted first, then the rest.
FIRST = (
    ("WaveFlow 64, h 16", 1, HIGHEST),
    ("WaveFlow 64, h 16", 1, DEFAULT),
    ("WaveFlow 64, h 16", 1, PLAIN),
    ("WaveFlow 64, h 16", 16, DEFAULT),
    ("WaveGlow 256", 1, DEFAULT),
    ("WaveFlow 64, h 16", 1, BFLOAT16),
    ("WaveFlow 64, h 8", 1, DEFAULT),
    ("WaveFlow 64, h 32", 1, DEFAULT),
    ("WaveFlow 64, h 64", 1, DEFAULT),
    ("WaveFlow 128, h 16", 1, DEFAULT),
    ("WaveFlow 64, h 16", 16, HIGHEST),
    ("WaveGlow 256", 16, DEFAULT),
)
SMALL = (("tiny", 1, HIGHEST), ("tiny", 1, PLAIN))
TINY = partial(WaveFlowConfig, flows=2, layers=2, channels=8, height=8)
MODELS: dict[str, Callable[..., FlowConfig]] = {
    "WaveGlow 256": partial(WaveGlowConfig, channels=256),
    **{
        f"WaveFlow {c}, h {h}": partial(WaveFlowConfig, channels=c, height=h)
        for c, h in ((64, 16), (64, 8), (64, 32), (64, 64), (128, 16))
    },
}
ALL = tuple(dict.fromkeys((*FIRST, *itertools.product(MODELS, (1, 16), PRECISIONS))))


def measure(report: Report, options: Options) -> None:
    """Synthesizes mels of ten seconds (one if small), by model, number of clips and precision."""
    peak = matrix_rate(precision="highest")
    cases = [
        {"model": model, "clips": clips, "precision": precision}
        for model, clips, precision in (SMALL if options.small else ALL)
    ]
    for case in report.in_time("Synthesis", cases):
        plain = {"transformed_rows": False} if case["precision"] == PLAIN else {}
        with report.attempt("Synthesis", **case) as row, chosen(**plain):
            _speak(row, 0.5 if options.small else 10.0, peak)
    report.note(
        f"The paper's figure of WaveFlow 64, h 16, on a V100 is {PAPER} times real time. Round "
        "trip: RMS of x -> z -> x against x. Rate: FLOP of the program, which where rows are "
        "transformed are fewer than the convolutions' own, over a large float32 product's at "
        "full precision."
    )


def _speak(row: Row, seconds: float, peak: float) -> None:
    precision = HIGHEST if row["precision"] == PLAIN else row["precision"]
    config = MODELS.get(row["model"], TINY)(**PRECISIONS[precision])
    model, (z, mel) = random_flow(config), _inputs(config, row["clips"], seconds)
    inverse = jax.jit(lambda model, z, mel: model.inverse(z, mel))
    timing = time_calls(lambda: inverse(model, z, mel))
    spoken = z.size / config.mel.sample_rate
    flops = program_flops(inverse, model, z, mel)
    row |= {
        "x real time": spoken / timing.median,
        "ms": 1e3 * timing.median,
        "rate, %": 100 * flops / timing.median / peak,
        "first call, s": timing.first,
    }
    if row["clips"] == 1:
        row["round trip"] = round_trip_error(model)


def _inputs(config: FlowConfig, clips: int, seconds: float) -> tuple[jax.Array, jax.Array]:
    """Makes a random latent [clips, T] and mel [clips, M, F]."""
    rng = np.random.default_rng(1)
    frames = round(seconds * config.mel.sample_rate / config.mel.hop_length)
    z = rng.standard_normal((clips, frames * config.mel.hop_length), np.float32)
    mel = rng.standard_normal((clips, config.mel.n_mels, frames), np.float32)
    return jnp.asarray(z), jnp.asarray(mel)
