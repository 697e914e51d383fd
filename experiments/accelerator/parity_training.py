"""Compares three training steps of both tasks with float64."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from data_pipeline.synthetic_pair import SAMPLE_RATE, demo_pair
from experiments.accelerator.amps import new_a2
from experiments.accelerator.flows import random_flow
from experiments.accelerator.parity_checks import (
    Check,
    Errors,
    Jit,
    cast,
    device_jit,
    distance,
    host_jit,
    on_host,
    relative,
)
from experiments.accelerator.parity_flows import cases as flow_cases
from experiments.benchmarks.noise_windows import noise_task
from wf_jax.amps import a2
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask, LossWeights, SizedModels
from wf_jax.flows.flow import Flow
from wf_jax.flows.vocoder_task import VocoderTask
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.training.matrices import AxesOf
from wf_jax.training.optimizers import make_optimizer
from wf_jax.training.settings import Settings

TABLE, STEPS = "Parity: training", 3
LOSSES, GRADIENT, CHANGE = "losses", "first gradient", "change of parameters"
# Ten times what a CPU shows and more, for Adam makes much of the roundings of small gradients.
TOLERANCES = {LOSSES: 3e-5, GRADIENT: 5e-5, CHANGE: 1e-2}
# A power step divides by small eigenvalues; ten times what a CPU shows.
SOAP_STEPS, SOAP_TOLERANCE = 12, 1e-3
Model = SizedModels | Flow
Step = tuple[jax.Array, optax.OptState, jax.Array, jax.Array]  # parameters to gradient


class Task(Protocol):
    """The part of a training task that steps need."""

    resident: dict[str, np.ndarray]
    axes_of: AxesOf

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Returns the arrays of a step."""

    def loss(
        self, model: Model, batch: dict[str, jax.Array]
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns the loss and metrics."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A task, its model and its optimizer settings."""

    build: Callable[[str], tuple[Task, Model]]  # of the dtype that it computes in
    rate: float = Settings.learning_rate
    weight_decay: float = Settings.weight_decay


@dataclasses.dataclass(frozen=True)
class Steps:
    """Losses [3], first gradient [P], and the change of the parameters [P] after the steps."""

    losses: np.ndarray
    gradient: np.ndarray
    change: np.ndarray


def checks(small: bool) -> Iterator[Check]:
    """Returns one row each."""
    sizes = ("nano",) if small else tuple(a2.CHANNELS)
    alone = partial(_capture, small, sizes, demo_pair(2.0), LossWeights(mrstft=0.0), 1.0)
    cases = {
        "capture, MSE alone": Case(alone),
        "vocoder": Case(partial(_vocoder, small), rate=2e-4, weight_decay=0.0),
    }
    if not small:  # the rest of the loss is in another table, too
        # Near silence the gradient of its logarithm is rounding: 6e-4 of it for the built-in
        # pair, which Adam makes 0.1 of the change. Noise, and louder models, have no silence.
        whole = partial(_capture, small, ("nano",), noise_pair(2.0), LossWeights(), 3.0)
        cases["capture of noise, whole loss"] = Case(whole)
    for name, case in cases.items():
        errors = partial(_errors, case, device_jit(small))
        yield Check(TABLE, {"task": f"{name}, {STEPS} steps"}, errors, TOLERANCES)
    cells = {"task": f"SOAP, {SOAP_STEPS} gradients of noise"}
    yield Check(TABLE, cells, partial(_soap_errors, device_jit(small)), {CHANGE: SOAP_TOLERANCE})


def noise_pair(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Makes white noise as DI, and its output from an asymmetric clipper."""
    di = 0.2 * np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE))
    return di, 0.3 * (np.tanh(3 * di + 0.3) - np.tanh(0.3))


def _capture(
    small: bool,
    sizes: tuple[str, ...],
    pair: tuple[np.ndarray, np.ndarray],
    loss_weights: LossWeights,
    gain: float,
    dtype: str,
) -> tuple[CaptureTask, SizedModels]:
    """Makes fresh A2 models, their outputs times `gain`, and a task on DI and recording."""
    del dtype  # that of its arrays
    window, batch_size, layers = (512, 2, 3) if small else (4096, 4, len(a2.DILATIONS))
    signals = [np.float32(signal)[None] for signal in pair]
    audio = CaptureAudio(*signals, *(signal[:, -8192:] for signal in signals))
    models = {size: new_a2(size, layers).scaled(gain) for size in sizes}
    task = CaptureTask(
        audio, models=models, batch_size=batch_size, window=window, loss_weights=loss_weights
    )
    return task, task.init()


def _vocoder(small: bool, dtype: str) -> tuple[VocoderTask, Flow]:
    """Makes a small WaveFlow on noise."""
    config, window = WaveFlowConfig(flows=4, layers=5, channels=32), 4096
    if small:
        config, window = flow_cases(small)["h16"].config, 512
    config = dataclasses.replace(config, compute_dtype=dtype)
    return noise_task(config, window, 2), random_flow(config)


def _errors(case: Case, jit: Jit) -> Errors:
    with on_host():
        exact = _train(case, "float64", host_jit)
    found = _train(case, "float32", jit)
    return {
        LOSSES: relative(found.losses, exact.losses),
        GRADIENT: distance(found.gradient, exact.gradient),
        CHANGE: distance(found.change, exact.change),
    }


def _soap_errors(jit: Jit) -> Errors:
    rng, shape = np.random.default_rng(0), (1, 8, 8, 6)  # a kernel of A2 standard
    scale = 1.5 ** -np.arange(8.0)[:, None, None]  # so that the bases have an order to find
    gradients = np.float32(scale * rng.standard_normal((SOAP_STEPS, *shape)))
    with on_host():
        exact = _soap_change(np.float64(gradients), host_jit)
    return {CHANGE: distance(_soap_change(gradients, jit), exact)}


def _soap_change(gradients: np.ndarray, jit: Jit) -> np.ndarray:
    """Sums all directions, for the kernel and its bias."""
    optimizer = make_optimizer("soap", CaptureTask.axes_of)
    arrays = [{"kernel": g, "bias": g[..., 0, 0]} for g in gradients]
    update, total = jit(optimizer.update), jax.tree.map(np.zeros_like, arrays[0])
    state = optimizer.init(jax.tree.map(jnp.asarray, total))
    for each in arrays:
        direction, state = update(each, state, total)
        total = jax.tree.map(np.add, total, jax.device_get(direction))
    return np.concatenate([total["kernel"].ravel(), total["bias"].ravel()])


def _train(case: Case, dtype: str, jit: Jit) -> Steps:
    task, model = case.build(dtype)
    start, model_of = _flat(cast(model, dtype))
    optimizer = make_optimizer("adam", task.axes_of, case.weight_decay)

    def step(params: jax.Array, state: optax.OptState, batch: dict[str, jax.Array]) -> Step:
        def loss(params: jax.Array) -> jax.Array:
            return task.loss(model_of(params), batch)[0]

        value, gradient = jax.value_and_grad(loss)(params)
        direction, state = optimizer.update(gradient, state, params)
        return params - case.rate * direction, state, value, gradient

    step, params, state, found = jit(step), start, optimizer.init(start), []
    for number in range(STEPS):
        batch = cast({**task.resident, **task.batch(number)}, dtype)
        params, state, *values = step(params, state, batch)
        found.append(jax.device_get(values))
    losses, gradients = zip(*found, strict=True)
    return Steps(np.array(losses), gradients[0], jax.device_get(params) - start)


def _flat(model: Model) -> tuple[np.ndarray, Callable[[jax.Array], Model]]:
    """Packs all arrays of a model into one [P]; also returns the function that unpacks them.

    Adam works element by element: over one array it gives the same result, and compiles faster.
    """
    leaves, treedef = jax.tree.flatten(model)
    ends = np.cumsum([leaf.size for leaf in leaves])

    def model_of(params: jax.Array) -> Model:
        parts = jnp.split(params, ends[:-1])
        return treedef.unflatten(
            [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        )

    return np.concatenate([np.ravel(leaf) for leaf in leaves]), model_of
