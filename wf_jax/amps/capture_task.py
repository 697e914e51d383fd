"""The capture task: models of one or more amps, trained together from DI and recording.

The whole audio lives on the device; a batch is a set of window indices, and the windows are cut
inside the step. Every array of parameters has a leading axis of captures, and the models of one
capture (A2 nano and standard, unless others are given) see the same batches: their parameters are
disjoint and their losses add up, so training them together is training each of them alone.
"""

import copy
import dataclasses
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.amps import a2, losses
from wf_jax.amps.engines import judged_natively, trained_natively, why_not_trained_natively
from wf_jax.amps.loss_weights import LossWeights as LossWeights
from wf_jax.amps.model import AmpModel
from wf_jax.amps.windows import STEP, cut, map_some, play_recordings, play_windows
from wf_jax.errors import UserError
from wf_jax.mesh import AxisNames
from wf_jax.native.engines import AUTO, JAX
from wf_jax.platforms import choices
from wf_jax.random_streams import random_stream
from wf_jax.training.matrices import Axes
from wf_jax.training.task import Task


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
        held_out: samples of the held-out part, filled up to a multiple of STEP.
    """

    windows: int
    held_out: int

    @classmethod
    def of(cls, training: int, held_out: int, lookback: int, window: int) -> "CaptureShape":
        """Returns the shape of a capture with so many samples in both parts."""
        filled = -(-held_out // STEP) * STEP
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


class CaptureTask(Task):
    """Trains the models of one amp or of several, on windows of their recordings.

    Attributes:
        left_to_jax: by name of a model, why JAX computes its passes where it was not asked to.
    """

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
        self.left_to_jax = _left_to_jax(models or self._fresh(), engine)
        lookbacks = [model.lookback for model in (models or {}).values()]
        self.lookback = max(lookbacks) if lookbacks else a2.config(sizes[0]).receptive_field - 1
        held_out = audio.input_validation.shape[1]
        shape = CaptureShape.of(audio.input_train.shape[1], held_out, self.lookback, window)
        self.windows = shape.windows
        self.steps_per_epoch = self.evaluate_every = self.windows // batch_size
        self._check(held_out)
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
        filling = ((0, 0), (0, shape.held_out - held_out))
        parts = (audio.input_validation, audio.output_validation)
        self._validation = (
            *(jnp.asarray(np.pad(x, filling)) for x in parts),
            jnp.full(self.captures, held_out),
        )

    def _check(self, held_out: int) -> None:
        """Refuses parts that are too short."""
        if self.steps_per_epoch < 1:
            needed = (self.lookback + self.batch_size * self.window) / self.sample_rate
            raise UserError(
                f"the training part holds {max(self.windows, 0)} windows of {self.window} samples, "
                f"fewer than one batch of {self.batch_size}; record at least {needed:.1f} s of "
                "it, or lower train.batch_size"
            )
        if held_out <= self.lookback:
            raise UserError(
                f"the held-out part has {held_out} samples, and the model needs {self.lookback} "
                "before the first that is judged; hold out "
                f"{self.lookback / self.sample_rate + 1:.1f} s (data.validation_seconds)"
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
        return SizedModels({k: [v] * self.captures for k, v in self._fresh().items()})

    def _fresh(self) -> dict[str, AmpModel]:
        """Makes fresh A2 models, for each capture the same: what it would begin with alone."""
        return {
            size: a2.create(size, random_stream(self.seed, a2.CHANNELS[size], 0), self.sample_rate)
            for size in self.sizes
        }

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
        x = cut(batch["input"], starts, self.lookback + self.window)
        t = cut(batch["output"], starts + self.lookback, self.window)  # [N, B, window]
        metrics = {}
        for size in self.sizes:
            model = models[size]
            own = x[..., self.lookback - model.lookback :]
            y = play_windows(model, own, self.engine, self.sequences_at_once)
            native = judged_natively(self.engine, y.dtype)
            loss = self.loss_weights(y, t, axis_name, native=native)
            metrics[f"loss/{size}"] = loss
        return sum(loss.sum() for loss in metrics.values()), metrics

    def evaluate(self, models: SizedModels) -> dict[str, jax.Array]:
        """Computes the ESR of every size on the whole validation part: "esr/SIZE" [captures]."""
        how = self.lookback, self.sequences_at_once, self.engine
        return _evaluate(models, *self._validation, *how)


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


def _left_to_jax(models: dict[str, AmpModel], engine: str) -> dict[str, str]:
    """Why JAX computes the passes of a model, by name, where it was not asked to.

    Raises:
        UserError: the native engine is insisted on, and cannot.
    """
    return {
        name: why_not_trained_natively(model)
        for name, model in models.items()
        if engine != JAX and not trained_natively(engine, model)
    }


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
        y = play_recordings(models[size], x, lookback, engine, at_once)
        metrics[f"esr/{size}"] = map_some(esr, (y, t, ends), at_once)
    return metrics
