"""The passes of a capture's training step: machine code beside JAX, in turn."""

import statistics

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.cases import Options
from experiments.benchmarks.timing import seconds_of
from wf_jax.amps import a2, load_nam
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask
from wf_jax.amps.engines import why_not_trained_natively
from wf_jax.amps.model import AmpModel
from wf_jax.amps.windows import play_windows
from wf_jax.errors import UserError
from wf_jax.modules import split
from wf_jax.native.engines import JAX, NATIVE
from wf_jax.training.devices import available_cores

WINDOWS, WINDOW = 8, 8192


def run(options: Options) -> None:
    """Measures A2 nano and standard, or the model that is named, and prints a table."""
    models = _models(options)
    for name, model in models.items():
        if reason := why_not_trained_natively(model):
            raise UserError(f"{name}: the native engine does not train this model: {reason}")
    print(
        f"{WINDOWS} windows of {WINDOW} samples on {available_cores()} cores, one device, "
        f"jax {jax.__version__}; milliseconds, medians of {options.rounds} in turn"
    )
    print(f"{'':12} {'engine':8} {'output':>8} {'gradients':>10} {'first call':>12}")
    for name, model in models.items():
        for engine, (output, gradients, first) in _times(model, options.rounds).items():
            print(
                f"{name:12} {engine:8} {1e3 * output:8.1f} {1e3 * gradients:10.1f} {first:10.1f} s",
                flush=True,
            )


def _models(options: Options) -> dict[str, AmpModel]:
    if options.model:
        return {"model": load_nam(options.model).at_size(options.slim)}
    return {size: a2.create(size, np.random.default_rng(0)) for size in a2.CHANNELS}


def _times(model: AmpModel, rounds: int) -> dict[str, tuple[float, float, float]]:
    """Seconds by engine: of the output, of output and gradients, and of the first call of that."""
    rng = np.random.default_rng(0)
    samples = model.lookback + WINDOWS * WINDOW
    x = 0.2 * rng.normal(size=(1, samples)).astype(np.float32)
    calls, first = {}, {}
    for engine in (NATIVE, JAX):
        task = CaptureTask(
            CaptureAudio(x, x, x, x),
            models={"model": model},
            batch_size=WINDOWS,
            window=WINDOW,
            engine=engine,
        )
        calls[engine] = _calls(task, rng)
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


def _calls(task: CaptureTask, rng: np.random.Generator) -> tuple:
    """Calls that compute the output, and the output and the gradients of all parameters."""
    definition, params = split(task.init()["model"])
    windows = task.lookback + WINDOW + WINDOW * np.arange(WINDOWS)
    audio = task.resident["input"][0]
    x = jnp.asarray(np.stack([audio[end - task.lookback - WINDOW : end] for end in windows])[None])
    dy = jnp.asarray(rng.normal(size=(1, WINDOWS, WINDOW)), jnp.float32)

    def output(params: dict[str, jax.Array]) -> jax.Array:
        return play_windows(definition(params), x, task.engine, task.sequences_at_once)

    @jax.jit
    def gradients(params: dict[str, jax.Array]) -> tuple:
        y, pull = jax.vjp(output, params)
        return y, pull(dy)

    played = jax.jit(output)
    return lambda: played(params), lambda: gradients(params)
