"""The training loop, top to bottom. It knows nothing about audio: it is handed a task.

A task has
- `init() -> module`,
- `batch(step) -> arrays`, a pure function of the step, and `describe(step) -> str`, what is in it,
- `resident`, arrays that every batch shares (they stay on the devices), and `batch_specs`, how
  both are split over devices,
- `loss(module, batch, axis_name) -> (scalar, metrics)` and `evaluate(module) -> metrics`,
- `steps_per_epoch`, `evaluate_every` (steps), `batch_size`,
- `models`, the leading axes of independent models, and `best_metrics` (see state.Best).
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from wf_jax.mesh import data_mesh
from wf_jax.modules import split
from wf_jax.training.checkpoints import Checkpoints
from wf_jax.training.metrics import MetricsFile, Progress, duration
from wf_jax.training.state import (
    TrainState,
    adam_with_l2,
    create_state,
    make_step,
    make_update_best,
)
from wf_jax.training.stopping import Budget, StopOnSignal

CHECKPOINT_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long to train, and how fast to learn.

    Attributes:
        epochs: length of the run, unless `steps` or `minutes` is above 0.
        steps: its length in steps instead, unless `minutes` is above 0.
        minutes: wall-clock budget of training, compilation and evaluations included.
        learning_rate: of the first epoch.
        decay: factor per epoch. A run in steps or minutes stretches the decay of `epochs` epochs
            over its budget.
        weight_decay: L2, added to the gradient.
        clip_norm: greatest norm of the gradient; 0 for no limit.
        average_decay: per step, of the moving average of the parameters that is evaluated and
            kept; 0 for no average.
    """

    epochs: int = 100
    steps: int = 0
    minutes: float = 0.0
    learning_rate: float = 0.004
    decay: float = 0.994
    weight_decay: float = 3.17e-7
    clip_norm: float = 0.0
    average_decay: float = 0.0


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run leaves.

    Attributes:
        models: the module with the best parameters of every group.
        metrics: by name [models], what they were chosen by.
        best_epochs: by metric name [models], when.
        history: a record per evaluation.
        steps: taken in total.
        minutes: used in total.
        stopped: why the run ended, in words.
        diverged: whether it ended because the loss was no number any more.
    """

    models: Any
    metrics: dict[str, np.ndarray]
    best_epochs: dict[str, np.ndarray]
    history: list[dict[str, Any]]
    steps: int
    minutes: float
    stopped: str
    diverged: bool


class DivergedError(RuntimeError):
    """The loss stopped being a number before anything worth keeping was reached."""


def learning_rate(settings: Settings, step: int, steps_per_epoch: int, progress: float) -> float:
    """Of one step; `progress` in [0, 1] is the share of the budget used before it."""
    if settings.minutes or settings.steps:
        epoch = settings.epochs * progress
    else:
        epoch = step // steps_per_epoch
    return settings.learning_rate * settings.decay**epoch


def train(
    task: Any,
    settings: Settings,
    workdir: Path,
    publish: Callable[[int, Any, dict[str, Any]], None] | None = None,
) -> Result:
    """Trains until the budget is used up or a signal comes; goes on where `workdir` stopped.

    Args:
        task: what to train: see above.
        settings: how.
        workdir: of metrics.jsonl and checkpoints/.
        publish: called after each evaluation with step, module and record, to show them.

    Raises:
        CheckpointError: `workdir` holds another run's checkpoints, or only damaged ones.
        DivergedError: the loss became NaN or infinite before the first evaluation.
    """
    # Devices and functions
    mesh = data_mesh(task.batch_size)
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), task.batch_specs)
    replicated = NamedSharding(mesh, PartitionSpec())
    optimizer = adam_with_l2(settings.weight_decay, settings.clip_norm)
    averaged = settings.average_decay > 0
    definition, params = split(task.init())
    take_step = make_step(
        lambda params, batch, axis: task.loss(definition(params), batch, axis),
        optimizer,
        mesh,
        task.batch_specs,
        settings.average_decay,
    )
    update_best = make_update_best(task.best_metrics)

    resident = jax.device_put(task.resident, _of(shardings, task.resident))

    # The state: new, or the last one saved
    state: TrainState = jax.jit(
        lambda params: create_state(
            params, optimizer, task.best_metrics, task.models, averaged=averaged
        ),
        out_shardings=replicated,
    )(params)
    with Checkpoints(workdir / "checkpoints") as checkpoints, StopOnSignal() as signal:
        restored = checkpoints.restore(state)
        step, minutes = 0, 0.0
        if restored is not None:
            step, state, notes = restored
            minutes = notes["minutes"]
        total = settings.steps or settings.epochs * task.steps_per_epoch
        budget = Budget(total, settings.minutes, minutes)
        history = MetricsFile(workdir / "metrics.jsonl", step)
        show = _Lines(task, budget, settings)
        if step:
            show.say(f"continuing at step {step} of {workdir}")
        saved_at = time.monotonic()

        # Step by step
        metrics, diverged, where = None, None, ""
        finished = budget.progress(step) >= 1
        while not finished:
            rate = learning_rate(settings, step, task.steps_per_epoch, budget.progress(step))
            arrays = task.batch(step)
            batch = jax.device_put(arrays, _of(shardings, arrays))
            previous = metrics
            state, metrics = take_step(state, {**resident, **batch}, jnp.float32(rate))
            # Waits for the step before, so that the host is at most one step ahead.
            if not _finite(previous):
                diverged, where = step - 1, task.describe(step - 1)
                break
            step += 1
            finished = budget.progress(step) >= 1 or signal.received is not None
            if finished or step % task.evaluate_every == 0:
                evaluation = task.evaluate(definition(state.judged))
                if not _finite({**metrics, **evaluation}):
                    diverged = step - 1
                    where = "held-out audio" if _finite(metrics) else task.describe(step - 1)
                    break
                due = step % task.evaluate_every == 0 or signal.received is None
                if due or not history.records:  # a stopped run then continues as if unbroken
                    judged = {k: evaluation[k] for k in task.best_metrics.values()}
                    state = update_best(state, judged)
                record = _record(task, step, budget, rate, {**metrics, **evaluation})
                history.append(record)
                if publish:
                    publish(step, definition(state.judged), record)
            waited = time.monotonic() - saved_at
            evaluated = bool(history.records) and history.records[-1]["step"] == step
            if finished or waited > CHECKPOINT_SECONDS * (1 if evaluated else 10):
                if _finite(metrics):  # or the next turn of the loop says so
                    checkpoints.save(step, state, {"minutes": budget.minutes})
                saved_at = time.monotonic()
            show.step(step, history.records)
        show.close()

    best = jax.device_get(state.best)
    stopped = "the budget is used up"
    if signal.received:
        stopped = f"stopped by {signal.received}"
    if diverged is not None:
        stopped = (
            f"the training diverged at step {diverged} ({where}): lower train.learning_rate (it "
            f"was {rate:.2g}); the last good checkpoint is kept in {workdir / 'checkpoints'}, and "
            "the same --workdir continues from it"
        )
        if not all(np.isfinite(value).all() for value in best.metrics.values()):
            raise DivergedError(stopped)
    return Result(
        models=definition(best.params),
        metrics=best.metrics,
        best_epochs={k: v / task.steps_per_epoch for k, v in best.steps.items()},
        history=history.records,
        steps=step,
        minutes=budget.minutes,
        stopped=stopped,
        diverged=diverged is not None,
    )


def _finite(metrics: dict[str, jax.Array] | None) -> bool:
    values = jax.device_get(metrics or {}).values()
    return all(bool(np.isfinite(value).all()) for value in values)


def _of(shardings: dict[str, NamedSharding], arrays: dict[str, Any]) -> dict[str, NamedSharding]:
    return {name: shardings[name] for name in arrays}


def _record(
    task: Any, step: int, budget: Budget, rate: float, metrics: dict[str, jax.Array]
) -> dict[str, Any]:
    """One evaluation: every metric as its mean over the leading axis."""
    means = {name: float(np.mean(value)) for name, value in jax.device_get(metrics).items()}
    return {
        "epoch": step / task.steps_per_epoch,
        "step": step,
        "minutes": budget.minutes,
        "learning_rate": rate,
        **means,
    }


class _Lines:
    """The lines that a run shows: where it is, how fast, how good, and when it will end."""

    def __init__(self, task: Any, budget: Budget, settings: Settings):
        self._progress = Progress()
        self._task, self._budget, self._settings = task, budget, settings
        self._timed_from: tuple[int, float] | None = None  # after the first step: it compiles

    def say(self, line: str) -> None:
        self._progress.keep(line)

    def close(self) -> None:
        self._progress.close()

    def step(self, step: int, records: list[dict[str, Any]]) -> None:
        minutes = self._budget.minutes
        if self._timed_from is None:
            self._timed_from = (step, minutes)
        steps, spent = step - self._timed_from[0], minutes - self._timed_from[1]
        per_step = spent / steps if steps else 0.0
        parts = [f"step {step}", f"epoch {step / self._task.steps_per_epoch:.1f}"]
        if per_step:
            left = self._budget.left_minutes(step, per_step)
            parts += [f"{1 / (60 * per_step):.1f} steps/s", f"ETA {duration(left)}"]
        if records:
            parts += [f"{k.replace('/', ' ')} {v:.4f}" for k, v in records[-1].items() if "/" in k]
        self._progress.update("  ".join(part for part in parts if not part.startswith("loss")))
