"""The parts of a capture's training step: machine code beside JAX, in turn."""

import statistics
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.cases import Options
from experiments.benchmarks.timing import seconds_of
from wf_jax.amps import a2, load_nam
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask
from wf_jax.amps.engines import why_not_trained_natively
from wf_jax.amps.loss_weights import LossWeights
from wf_jax.amps.model import AmpModel
from wf_jax.amps.windows import play_windows
from wf_jax.errors import UserError
from wf_jax.modules import split
from wf_jax.native.engines import JAX, NATIVE
from wf_jax.platforms import available_cores

WINDOWS, WINDOW = 8, 8192
Pair = tuple[Callable[[], object], Callable[[], object]]  # of the output, and with gradients


def run(options: Options) -> None:
    """Measures A2 nano and standard, or the model that is named, and the loss; prints a table."""
    models = _models(options)
    for name, model in models.items():
        if reason := why_not_trained_natively(model):
            raise UserError(f"{name}: the native engine does not train this model: {reason}")
    print(
        f"{WINDOWS} windows of {WINDOW} samples on {available_cores()} cores, one device, "
        f"jax {jax.__version__}; milliseconds, medians of {options.rounds} in turn"
    )
    print(f"{'':12} {'engine':8} {'output':>8} {'gradients':>10} {'first call':>12}")
    parts = {name: partial(_passes, model) for name, model in models.items()}
    for name, calls_of in {**parts, "loss": _loss}.items():
        for engine, (output, gradients, first) in _times(calls_of, options.rounds).items():
            print(
                f"{name:12} {engine:8} {1e3 * output:8.1f} {1e3 * gradients:10.1f} {first:10.1f} s",
                flush=True,
            )


def _models(options: Options) -> dict[str, AmpModel]:
    if options.model:
        return {"model": load_nam(options.model).at_size(options.slim)}
    return {size: a2.create(size, np.random.default_rng(0)) for size in a2.CHANNELS}


def _times(calls_of: Callable[[str], Pair], rounds: int) -> dict[str, tuple[float, float, float]]:
    """Seconds by engine: of the output, of output and gradients, and of the first call of that."""
    calls, first = {}, {}
    for engine in (NATIVE, JAX):
        calls[engine] = calls_of(engine)
        first[engine] = seconds_of(calls[engine][1])
        seconds_of(calls[engine][0])
    taken = [{e: tuple(map(seconds_of, each)) for e, each in calls.items()} for _ in range(rounds)]
    return {
        engine: (
            *map(statistics.median, zip(*(t[engine] for t in taken), strict=True)),
            first[engine],
        )
        for engine in calls
    }


def _passes(model: AmpModel, engine: str) -> Pair:
    """Calls that play windows through a model, and compute the gradients of its parameters."""
    rng = np.random.default_rng(0)
    x = 0.2 * rng.normal(size=(1, model.lookback + WINDOWS * WINDOW)).astype(np.float32)
    task = CaptureTask(
        CaptureAudio(x, x, x, x),
        models={"model": model},
        batch_size=WINDOWS,
        window=WINDOW,
        engine=engine,
    )
    definition, params = split(task.init()["model"])
    windows = task.lookback + WINDOW + WINDOW * np.arange(WINDOWS)
    audio = task.resident["input"][0]
    x = jnp.asarray(np.stack([audio[end - task.lookback - WINDOW : end] for end in windows])[None])
    dy = jnp.asarray(rng.normal(size=(1, WINDOWS, WINDOW)), jnp.float32)

    def output(params: dict[str, jax.Array]) -> jax.Array:
        return play_windows(definition(params), x, engine, task.sequences_at_once)

    @jax.jit
    def gradients(params: dict[str, jax.Array]) -> tuple:
        y, pull = jax.vjp(output, params)
        return y, pull(dy)

    played = jax.jit(output)
    return lambda: played(params), lambda: gradients(params)


def _loss(engine: str) -> Pair:
    """Calls that judge windows of one size, and compute the gradient of their samples."""
    t, noise = np.random.default_rng(0).normal(size=(2, 1, WINDOWS, WINDOW)).astype(np.float32)
    p = jnp.asarray(0.9 * t + 0.1 * noise)

    def loss(p: jax.Array) -> jax.Array:
        return LossWeights()(p, t, native=engine == NATIVE).sum()

    value, gradient = jax.jit(loss), jax.jit(jax.value_and_grad(loss))
    return lambda: value(p), lambda: gradient(p)
