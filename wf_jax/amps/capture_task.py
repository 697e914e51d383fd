"""The capture task: models of one or more amps, trained together from DI and recording.

The whole audio lives on the device; a batch is a set of window indices, and the windows are cut
inside the step. Every array of parameters has a leading axis of captures, and the models of one
capture (A2 nano and standard, unless others are given) see the same batches: their parameters are
disjoint and their losses add up, so training them together is training each of them alone.
"""

import copy
import dataclasses
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wf_jax.amps import a2, losses
from wf_jax.amps.engines import trained_natively, why_not_trained_natively
from wf_jax.amps.loss_weights import LossWeights as LossWeights
from wf_jax.amps.model import AmpModel
from wf_jax.errors import UserError
from wf_jax.mesh import AxisNames
from wf_jax.native.engines import AUTO, JAX
from wf_jax.platforms import choices
from wf_jax.random_streams import random_stream
from wf_jax.training.matrices import Axes
from wf_jax.training.task import Task

_VALIDATION_STEP = 1 << 13  # samples; held-out parts are filled up to multiples


@dataclasses.dataclass(frozen=True)
class CaptureAudio:
    """Aligned audio of N captures, float32 [N, T]: training and validation parts."""

    input_train: np.ndarray
    output_train: np.ndarray
    input_validation: np.ndarray
    output_validation: np.ndarray


@dataclasses.dataclass(frozen=True)
class CaptureShape:
    """The lengths that captures which are trained together have in common.

    Attributes:
        windows: of the training part.
        held_out: samples of the held-out part, filled up to a multiple of _VALIDATION_STEP.
    """

    windows: int
    held_out: int

    @classmethod
    def of(cls, training: int, held_out: int, lookback: int, window: int) -> "CaptureShape":
        """Returns the shape of a capture with so many samples in both parts."""
        filled = -(-held_out // _VALIDATION_STEP) * _VALIDATION_STEP
        return cls((training - lookback) // window, filled)


class SizedModels(nnx.Module):
    """The models of all captures by name: attributes like `nano`, each stacked over captures."""

    def __init__(self, models: dict[str, list[AmpModel]]):
        """Stacks, under each name, the models of all captures."""
        self.sizes = tuple(models)
        for name, captures in models.items():
            setattr(self, name, jax.tree.map(lambda *leaves: jnp.stack(leaves), *captures))

    def __getitem__(self, name: str) -> AmpModel:
        """The models of one name, stacked over captures."""
        return getattr(self, name)


def fresh_a2(
    sizes: tuple[str, ...], captures: int, sample_rate: float, seed: int
) -> dict[str, list[AmpModel]]:
    """Makes new A2 models, for each capture the same: what it would begin with alone."""
    return {
        size: [a2.create(size, random_stream(seed, a2.CHANNELS[size], 0), sample_rate)] * captures
        for size in sizes
    }


class CaptureTask(Task):
    """Trains the models of one amp or of several, on windows of their recordings."""

    def __init__(
        self,
        audio: CaptureAudio,
        *,
        sizes: tuple[str, ...] = ("nano", "standard"),
        models: dict[str, AmpModel] | None = None,
        sample_rate: float = 48000.0,
        batch_size: int = 16,
        window: int = 8192,
        loss_weights: LossWeights | None = None,
        seed: int = 0,
        sequences_at_once: int | None = None,
        engine: str = AUTO,
    ):
        """Puts the validation audio on the default device.

        Args:
            audio: training and validation parts.
            sizes: which A2 sizes to train.
            models: mono models to begin with in their place, by name, at training level and the
                same for every capture.
            sample_rate: Hz, written into the models.
            batch_size: windows per step and capture.
            window: output samples per window (the trainer's ny).
            loss_weights: what to minimize.
            seed: of the first weights and of the order of windows.
            sequences_at_once: windows per pass through the network, those of several captures
                counted together; what suits the device if None. Of JAX's passes.
            engine: "native" for passes that are compiled for the models' shapes, on CPUs, "jax",
                or "auto" for the first where it can.

        Raises:
            UserError: the native engine is insisted on, and cannot; or the training part holds
                less than one batch, or the validation part no sample after `lookback` samples.
        """
        self.sizes, self.sample_rate = tuple(models or sizes), sample_rate
        self._models, self._joined = models, ()
        self.batch_size, self.window, self.seed = batch_size, window, seed
        self.loss_weights, self.engine = loss_weights or LossWeights(), engine
        self.captures = audio.input_train.shape[0]
        self.models = (self.captures,)
        fresh = {} if models else fresh_a2(sizes, 1, sample_rate, seed)
        each = models or {name: model for name, (model,) in fresh.items()}
        # Why JAX computes the passes of a model, where it was not asked to.
        self.left_to_jax = {
            name: why_not_trained_natively(model)
            for name, model in each.items()
            if engine != JAX and not trained_natively(engine, model)
        }
        lookbacks = [model.lookback for model in (models or {}).values()]
        self.lookback = max(lookbacks) if lookbacks else a2.config(sizes[0]).receptive_field - 1
        held_out = audio.input_validation.shape[1]
        shape = CaptureShape.of(audio.input_train.shape[1], held_out, self.lookback, window)
        self.windows = shape.windows
        self.steps_per_epoch = self.evaluate_every = self.windows // batch_size
        if self.steps_per_epoch < 1:
            needed = (self.lookback + batch_size * window) / sample_rate
            raise UserError(
                f"the training part holds {max(self.windows, 0)} windows of {window} samples, "
                f"fewer than one batch of {batch_size}; record at least {needed:.1f} s of it, or "
                "lower train.batch_size"
            )
        if held_out <= self.lookback:
            raise UserError(
                f"the held-out part has {held_out} samples, and the model needs {self.lookback} "
                "before the first that is judged; hold out "
                f"{self.lookback / sample_rate + 1:.1f} s (data.validation_seconds)"
            )
        self.sequences_at_once = sequences_at_once or choices().sequences
        self.best_metrics = {f"{size}/": f"esr/{size}" for size in self.sizes}
        self.batch_axes = {"windows": 1, "input": None, "output": None}
        self.batch_seconds = self.captures * batch_size * window / sample_rate
        # Cut and filled up, so that recordings whose latencies differ have programs in common.
        used = self.lookback + self.windows * window
        self.resident = {
            "input": audio.input_train[:, :used],
            "output": audio.output_train[:, :used],
        }
        missing = shape.held_out - held_out
        self._validation = (
            *(
                jnp.asarray(np.pad(x, ((0, 0), (0, missing))))
                for x in (audio.input_validation, audio.output_validation)
            ),
            jnp.full(self.captures, held_out),
        )

    @property
    def program(self) -> Hashable:
        """Everything that the loss depends on beside models and batch."""
        lengths = (self.lookback, self.window, self.captures, self.sequences_at_once)
        return "capture", self.sizes, self.loss_weights, self.engine, lengths

    def init(self) -> SizedModels:
        """Makes fresh models of every size and capture."""
        if self._joined:
            return jax.tree.map(
                lambda *leaves: jnp.concatenate(leaves), *(task.init() for task in self._joined)
            )
        if self._models:
            return SizedModels({k: [v] * self.captures for k, v in self._models.items()})
        return SizedModels(fresh_a2(self.sizes, self.captures, self.sample_rate, self.seed))

    def batch(self, step: int, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Returns the rows of a step's batch (all if None): a pure function of (seed, step).

        Each epoch is a new permutation of all windows; an incomplete last batch is dropped.
        """
        rows = np.arange(self.batch_size) if rows is None else rows
        epoch, position = divmod(step, self.steps_per_epoch)
        order = random_stream(self.seed, epoch).permuted(
            np.arange(self.windows, dtype=np.int32)[None], axis=1
        )
        # The same for every capture, as each would have them alone.
        order = np.tile(order, (self.captures, 1))
        return {"windows": order[:, position * self.batch_size + rows]}

    @staticmethod
    def axes_of(name: str, shape: tuple[int, ...]) -> Axes:
        """Sees captures as copies, and a kernel as one matrix of outputs by inputs and taps."""
        del name
        return Axes(copies=(0,), rows=(1,), columns=tuple(range(2, len(shape))))

    def describe(self, step: int) -> str:
        """Describes the batch of a step in words."""
        windows = self.batch(step)["windows"][0]
        return f"windows {', '.join(map(str, windows))} of {self.window} samples"

    def loss(
        self, models: SizedModels, batch: dict[str, Any], axis_name: AxisNames = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Sums the losses of every size and capture; metrics "loss/SIZE" [captures]."""
        starts = batch["windows"] * self.window
        x = _cut(batch["input"], starts, self.lookback + self.window)
        t = _cut(batch["output"], starts + self.lookback, self.window)  # [N, B, window]
        metrics = {}
        for size in self.sizes:
            y = self.play(models[size], x[..., self.lookback - models[size].lookback :])
            loss = jax.vmap(lambda y, t: self.loss_weights(y, t, axis_name))(y, t)
            metrics[f"loss/{size}"] = loss
        return sum(loss.sum() for loss in metrics.values()), metrics

    def evaluate(self, models: SizedModels) -> dict[str, jax.Array]:
        """Computes the ESR of every size on the whole validation part: "esr/SIZE" [captures]."""
        how = self.lookback, self.sequences_at_once, self.engine
        return _evaluate(models, *self._validation, *how)

    def play(self, model: AmpModel, x: jax.Array) -> jax.Array:
        """Maps [N, B, lookback + window] to [N, B, window]; activations live for one pass only."""
        if trained_natively(self.engine, model):
            from wf_jax.amps.native.training.valid import valid_windows

            return valid_windows(model, x)

        def capture(model: AmpModel, x: jax.Array) -> jax.Array:
            sequence = jax.checkpoint(model.valid, prevent_cse=False)
            return _map(sequence, x, self.sequences_at_once)

        if self.captures == 1:  # spares XLA a loop of one
            first = jax.tree.map(lambda leaf: leaf[0], model)
            return capture(first, x[0])[None]
        return _map(lambda args: capture(*args), (model, x), self.sequences_at_once // len(x[0]))


def together(tasks: Sequence[CaptureTask]) -> CaptureTask:
    """Joins tasks of one shape and recipe into one, which trains each capture as it were alone."""
    joined = copy.copy(tasks[0])
    joined._joined, joined.captures = tuple(tasks), sum(task.captures for task in tasks)
    joined.models = (joined.captures,)
    joined.batch_seconds = sum(task.batch_seconds for task in tasks)
    joined.resident = {
        name: np.concatenate([task.resident[name] for task in tasks]) for name in joined.resident
    }
    joined._validation = tuple(
        jnp.concatenate(parts) for parts in zip(*(task._validation for task in tasks), strict=True)
    )
    return joined


def _map(function: Callable[[Any], jax.Array], xs: Any, at_once: int) -> jax.Array:
    """Maps `function` over the leading axis, `at_once` items together, at least one."""
    if at_once >= len(jax.tree.leaves(xs)[0]):
        return jax.vmap(function)(xs)
    return lax.map(function, xs, batch_size=at_once if at_once > 1 else None)


def _cut(audio: jax.Array, starts: jax.Array, length: int) -> jax.Array:
    """Cuts windows from audio [N, T] at starts [N, B]: [N, B, length]."""

    def cut(row: jax.Array, start: jax.Array) -> jax.Array:
        return lax.dynamic_slice(row, (start,), (length,))

    return jax.vmap(jax.vmap(cut, in_axes=(None, 0)))(audio, starts)


@partial(jax.jit, static_argnums=(4, 5, 6))
def _evaluate(
    models: SizedModels,
    x: jax.Array,
    t: jax.Array,
    ends: jax.Array,
    lookback: int,
    at_once: int,
    engine: str,
) -> dict[str, jax.Array]:
    """Computes ESRs of x and t [N, V], of which capture i has ends[i] samples, then zeros."""

    def esr(capture: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        y, t, end = capture
        # As in the trainer, outputs whose receptive field begins before the split are left out.
        real = lookback + jnp.arange(len(y)) < end
        return losses.esr(jnp.where(real, y, 0.0), t[lookback:])

    metrics = {}
    for size in models.sizes:
        if trained_natively(engine, models[size]):
            y = _play_natively(models[size], x[:, lookback - models[size].lookback :])
        else:
            y = _map(lambda args: args[0](args[1][None])[0, lookback:], (models[size], x), at_once)
        metrics[f"esr/{size}"] = _map(esr, (y, t, ends), at_once)
    return metrics


def _play_natively(models: AmpModel, x: jax.Array) -> jax.Array:
    """Plays audio [N, lookback + T] in windows: [N, T]."""
    from wf_jax.amps.native.training.valid import valid_windows

    lookback = models.lookback
    count = -(-(x.shape[1] - lookback) // _VALIDATION_STEP)
    missing = lookback + count * _VALIDATION_STEP - x.shape[1]
    starts = jnp.broadcast_to(_VALIDATION_STEP * jnp.arange(count), (len(x), count))
    windows = _cut(jnp.pad(x, ((0, 0), (0, missing))), starts, lookback + _VALIDATION_STEP)
    return valid_windows(models, windows).reshape(len(x), -1)[:, : x.shape[1] - lookback]
