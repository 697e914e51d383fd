"""The training loop, top to bottom. What it trains is a Task.

With several processes each runs this loop, with the same task. Clocks and signals differ between
them, so each step also exchanges these values, and all processes act on what the step before gave.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from wf_jax.errors import UserError
from wf_jax.modules import Params, split
from wf_jax.training.budget import Budget
from wf_jax.training.checkpoints import Checkpoints
from wf_jax.training.control import Control
from wf_jax.training.dispatch import Dispatcher, Sent
from wf_jax.training.distributed import from_main, is_main
from wf_jax.training.lines import RunLines
from wf_jax.training.metrics import MetricsFile, finite
from wf_jax.training.profile import Profile
from wf_jax.training.settings import Session, Settings
from wf_jax.training.signals import StopOnSignal
from wf_jax.training.state import model_norm, sound_models
from wf_jax.training.task import Task
from wf_jax.training.warm_start import warm_start

EACH = "each"  # of a record: the metrics of each of several models, by name


class DivergedError(UserError):
    """The loss became NaN or infinite before there was anything to keep."""


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes:
        models: the module with the best parameters of every group.
        metrics: by name [models], what they were chosen by.
        best_epochs: by metric name [models], when.
        history: a record per evaluation; empty but in process 0.
        steps: taken in total.
        minutes: used in total.
        stopped: why the run ended, in words.
        finished: whether it came to its end.
        sound: which models [*models] have finite parameters at the end; of several, those that
            diverge do not stop the others.
        diverged: whether it ended because the loss became NaN or infinite.
        again: whether it was interrupted and wants to be started again.
    """

    models: Any
    metrics: dict[str, np.ndarray]
    best_epochs: dict[str, np.ndarray]
    history: list[dict[str, Any]]
    steps: int
    minutes: float
    stopped: str
    finished: bool
    sound: np.ndarray = dataclasses.field(default_factory=lambda: np.ones((), bool))
    diverged: bool = False
    again: bool = False

    def of(self, index: int) -> "Result":
        """Returns the result of one model of several, as if it had been trained alone."""
        one = slice(index, index + 1)
        return dataclasses.replace(
            self,
            models=jax.tree.map(lambda leaf: leaf[one], self.models),
            metrics={name: value[one] for name, value in self.metrics.items()},
            best_epochs={name: value[one] for name, value in self.best_epochs.items()},
            history=[record_of(record, index) for record in self.history],
            sound=self.sound[one],
        )


def train(
    task: Task,
    settings: Settings,
    workdir: Path,
    publish: Callable[[int, Any, dict[str, Any]], None] | None = None,
    *,
    session: Session | None = None,
    config: dict[str, Any] | None = None,
) -> Result:
    """Trains until the budget is used up or a signal comes; goes on where `workdir` stopped.

    Args:
        task: what to train.
        settings: the optimizer, the budget, and when to save.
        workdir: the run's folder, which all processes see: metrics.jsonl, checkpoints/, profile/.
        publish: called in process 0 after each evaluation with step, module and record. A run that
            goes on calls it first for the last evaluation before its checkpoint.
        session: what this start asks for.
        config: of the run, kept in its checkpoints.

    Raises:
        UserError: `workdir` holds another run's checkpoints, or only damaged ones; the disk is
            full; the batch does not split as the settings have it; or the loss became NaN or
            infinite before the first evaluation, or its score is.
    """
    # What to do, and when
    session, when, every = session or Session(), settings.checkpoints, task.evaluate_every
    total = settings.steps or settings.epochs * task.steps_per_epoch

    def plan(step: int) -> int:
        """Returns the number of steps of the dispatch that begins at `step`."""
        ends = [every - step % every] + ([total - step] if not settings.minutes else [])
        ends += [when.steps - step % when.steps] if when.steps else []
        return max(min(settings.substeps, *ends), 0)

    with (
        StopOnSignal(quiet=not is_main()) as signal,
        Dispatcher(task, settings, plan, session) as dispatcher,
        Checkpoints(
            workdir / "checkpoints", keep=when.keep, keep_best=when.keep_best, config=config
        ) as checkpoints,
        Profile(workdir / "profile", session.profile) as profile,
        RunLines(quiet=not is_main()) as lines,
    ):
        # The state: new, or the last one saved
        state = dispatcher.create(dispatcher.params)
        restored = checkpoints.restore(state)
        step, minutes = 0, 0.0
        if restored is not None:
            step, state, minutes = restored.step, restored.state, restored.notes["minutes"]
            lines.say(f"continuing at step {step} of {workdir}")
        elif session.initial is not None:
            state = dispatcher.create(_warm_start(task, dispatcher.params, session, lines))
        if dispatcher.devices < jax.device_count():
            lines.say(
                f"a batch of {task.batch_size} is split over {dispatcher.devices} of "
                f"{jax.device_count()} devices; a multiple of {jax.device_count()} would use all"
            )
        budget = Budget(total, settings.minutes, minutes)
        history = MetricsFile(workdir / "metrics.jsonl", step) if is_main() else None
        records = history.records if history else []
        lines.begin(task, budget)
        began, saved_at = step, minutes
        if restored is not None:
            module = dispatcher.module(state.judged)
            if publish and records and records[-1]["step"] == step:
                publish(step, module, records[-1])  # an interrupted session may not have come to it

        # Dispatch by dispatch, the host one ahead of the devices
        sent: Sent | None = None
        trouble: tuple[int, str] | None = None  # the step that diverged, and on what
        signaled, finished = "", budget.progress(step, minutes) >= 1
        while not (finished or signaled):
            rates = [
                settings.rate(budget.progress(s, minutes), s)
                for s in range(step, step + plan(step))
            ]
            profile.before(step - began, len(rates), sent)
            previous = sent
            with lines.compiling() if previous is None else contextlib.nullcontext():
                state, sent = dispatcher.send(state, step, rates, budget.minutes, signal.received)
            step += len(rates)
            clock = dispatcher.clock
            if previous is None:
                jax.block_until_ready(sent)
                budget.begin()
                clock.start()  # the first dispatch is slower than the others
                agreed = {"minutes": minutes, "signal": 0}
            else:
                with clock.waiting("device"):
                    previous = jax.device_get(previous)
                trouble = _trouble(task, previous)
                if trouble:
                    break
                agreed = previous.agreed
            minutes, signaled = Control.decided(agreed, budget.minutes, signal.received)
            finished = budget.progress(step, minutes) >= 1

            metric, record, scores = None, None, None
            passed = minutes - saved_at
            if finished or signaled == "SIGINT" or step % every == 0:
                with clock.waiting("device"):
                    last = jax.device_get(sent)
                timing = clock.report()
                module = dispatcher.module(state.judged)
                evaluation = from_main(_numbers(task.evaluate(module)))
                trouble = _trouble(task, last)
                if not (trouble or sound_models(evaluation.values()).any()):
                    judged_before = sound_models(jax.device_get(state.best.metrics).values()).any()
                    if not judged_before and _finite(split(module)[1]):
                        raise UserError(_not_judged(evaluation, step))
                    trouble = (step - 1, "held-out audio")
                if trouble:
                    break
                names = list(task.best_metrics.values())
                scores = {name: evaluation[name] for name in names}
                if step % every == 0 or not signaled:
                    state, scores = dispatcher.update_best(state, scores), None
                    metric = float(np.mean([_mean(evaluation[n]) for n in names]))
                    passed *= 2  # a checkpoint with a metric is worth more than one without
                record = _record(task, step, budget, last, evaluation) | timing
                if history:
                    history.append(record)
                clock.start()

            due = when.minutes and passed >= when.minutes
            due = due or (when.steps and step % when.steps == 0)
            if due or finished or signaled:
                if jax.device_get(sent).diverged_at is None:  # or the next turn says so
                    checkpoints.save(step, state, {"minutes": minutes}, metric)
                saved_at = minutes
            if scores:  # of a run stopped by hand: for the result, not for its continuation
                state = dispatcher.update_best(state, scores)
            if publish and record and signaled != "SIGTERM":
                publish(step, module, record)
                clock.start()
            lines.step(step, records)
        best = jax.device_get((state.best.metrics, state.best.steps))
        models = dispatcher.module(state.best.params)
        last_module = split(dispatcher.module(state.params))[1]
        sound = np.isfinite(jax.device_get(model_norm(last_module, len(task.models))))

    # How it ended
    stopped = budget.end(step) if finished else f"stopped by {signaled}"
    if trouble:
        stopped = (
            f"the training diverged at step {trouble[0]} ({trouble[1]}): lower "
            f"train.learning_rate (it was {rates[-1]:.2g}); the last good checkpoint is kept in "
            f"{workdir / 'checkpoints'}, and the same --workdir continues from it"
        )
        if not sound_models(best[0].values()).any():
            raise DivergedError(stopped)
    return Result(
        models=models,
        metrics=best[0],
        best_epochs={k: v / task.steps_per_epoch for k, v in best[1].items()},
        history=records,
        steps=trouble[0] if trouble else step,
        minutes=budget.minutes,
        stopped=stopped,
        finished=finished and not trouble,
        sound=sound,
        diverged=trouble is not None,
        again=signaled == "SIGTERM" and not trouble,
    )


def _warm_start(task: Task, params: Params, session: Session, lines: RunLines) -> Params:
    initial = session.initial()
    try:
        taken, said = warm_start(params, initial, task.measured)
    except ValueError as error:
        raise UserError(f"--init_from={session.initial_name}: {error}") from None
    for line in said:
        lines.say(line)
    return taken


def _trouble(task: Task, sent: Sent) -> tuple[int, str] | None:
    """Describes the first step whose loss is NaN or infinite, and its batch."""
    step = sent.diverged_at
    return None if step is None else (step, task.describe(step))


def _numbers(metrics: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float32) for name, value in metrics.items()}


def _finite(metrics: dict[str, np.ndarray]) -> bool:
    return all(bool(np.isfinite(value).all()) for value in metrics.values())


def _not_judged(evaluation: dict[str, np.ndarray], step: int) -> str:
    names = ", ".join(name for name, value in evaluation.items() if not np.isfinite(value).all())
    return (
        f"the held-out audio cannot be judged: {names} is no number after {step} steps, although "
        "loss and parameters are; check that it is longer than the model's context and not silent"
    )


def _record(
    task: Task, step: int, budget: Budget, last: Sent, evaluation: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Makes the record of an evaluation: every metric as its mean over all models, and of each."""
    metrics = {**last.last, **evaluation}
    record = {
        "epoch": step / task.steps_per_epoch,
        "step": step,
        "minutes": budget.minutes,
        "learning_rate": last.rates[-1],
        **{name: _mean(value) for name, value in metrics.items()},
    }
    if np.prod(task.models) > 1:
        each = {name: np.ravel(value).tolist() for name, value in metrics.items()}
        record[EACH] = {k: [finite(v) for v in values] for k, values in each.items()}
    return record


def record_of(record: dict[str, Any], index: int) -> dict[str, Any]:
    """Returns the record of one model of several; one that diverged has no number (NaN)."""
    each = record.get(EACH, {})
    values = {name: values[index] for name, values in each.items()}
    known = {name: np.nan if value is None else value for name, value in values.items()}
    return {**{k: v for k, v in record.items() if k != EACH}, **known}


def _mean(values: np.ndarray) -> float:
    """Returns the mean over the models that have a number; NaN if none has."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
