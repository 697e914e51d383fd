"""Dispatches steps of a task to all devices of all processes, and holds their results."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Self

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from wf_jax.errors import UserError
from wf_jax.mesh import data_mesh, state_sharding
from wf_jax.modules import Params, split
from wf_jax.training.batches import Batches
from wf_jax.training.clock import StepClock
from wf_jax.training.control import Control
from wf_jax.training.flops import matrix_rate
from wf_jax.training.optimizers import make_optimizer
from wf_jax.training.programs import program_key, shared
from wf_jax.training.settings import Session, Settings
from wf_jax.training.state import TrainState, create_state, make_update_best, sound_models
from wf_jax.training.step import Program, compile_program, make_step
from wf_jax.training.task import Task


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["metrics", "agreed"],
    meta_fields=["first", "rates"],
)
@dataclasses.dataclass(frozen=True)
class Sent:
    """Steps that were sent to the devices, and their results (`jax.device_get` waits for them).

    Attributes:
        first: step.
        rates: of its steps.
        metrics: by name [substeps, ...]; those beyond the steps are zero.
        agreed: see Control.
    """

    first: int
    rates: Sequence[float]
    metrics: dict[str, Any]
    agreed: dict[str, Any]

    @property
    def diverged_at(self) -> int | None:
        """Returns the first step at which no model has finite metrics any more."""
        steps = len(self.rates)
        fine = sound_models(value[:steps] for value in self.metrics.values())
        fine = fine.reshape(steps, -1).any(axis=1)
        return None if fine.all() else self.first + int(np.argmin(fine))

    @property
    def last(self) -> dict[str, np.ndarray]:
        """Returns the metrics of the last step."""
        return {name: value[len(self.rates) - 1] for name, value in self.metrics.items()}


class Dispatcher:
    """Takes steps of a task; use as a context manager, in all processes alike.

    Attributes:
        clock: counts their time.
        flops: of one step over all devices; 0 before the first.
        memory: bytes that the program needs on each device, its arguments included; 0 before the
            first step and where the compiler does not say.
        update_best: see wf_jax.training.state.make_update_best.
    """

    def __init__(
        self,
        task: Task,
        settings: Settings,
        plan: Callable[[int], int],
        session: Session | None = None,
    ):
        """Distributes the work over the devices; compiles nothing yet.

        Args:
            task: what to train.
            settings: how to train it.
            plan: step -> how many steps the dispatch that begins there takes.
            session: what this start asks for.

        Raises:
            UserError: the batch does not split as the settings have it.
        """
        parts = settings.accumulate
        if task.batch_size % parts:
            raise UserError(f"a batch of {task.batch_size} has no {parts} equal parts")
        self._mesh = data_mesh(task.batch_size // parts, settings.shards)
        self._task, self._settings, self._session = task, settings, session or Session()
        self._definition, self.params = split(task.init())
        self._optimizer = make_optimizer(
            settings.optimizer,
            task.axes_of,
            settings.weight_decay,
            settings.clip_norm,
            len(task.models),
        )
        self._create = partial(
            create_state,
            optimizer=self._optimizer,
            best_metrics=task.best_metrics,
            models=task.models,
            averaged=settings.average_decay > 0,
        )
        self._shardings = jax.tree.map(
            partial(state_sharding, mesh=self._mesh), jax.eval_shape(self._create, self.params)
        )
        self.update_best = make_update_best(task.best_metrics, self._shardings)
        everywhere = NamedSharding(self._mesh, PartitionSpec())
        self._gather = jax.jit(lambda tree: tree, out_shardings=everywhere)
        self._batches = Batches(
            task, self._mesh, plan, substeps=settings.substeps, accumulate=settings.accumulate
        )
        self._control = Control(self._mesh, settings.substeps)
        self._resident: dict[str, jax.Array] | None = None
        self._program: Program | None = None
        self.clock, self.flops, self.memory = StepClock(), 0.0, 0

    def __enter__(self) -> Self:
        """Returns self."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the thread that makes batches."""
        self._batches.close()

    @property
    def devices(self) -> int:
        """Number of devices that take part."""
        return int(self._mesh.size)

    def create(self, params: Params) -> TrainState:
        """Creates the state before the first step, on the devices."""
        return jax.jit(self._create, out_shardings=self._shardings)(jax.device_get(params))

    def module(self, params: Params) -> Any:
        """Returns the module with these parameters, on the host."""
        return self._definition(jax.device_get(self._gather(params)))

    def send(
        self,
        state: TrainState,
        step: int,
        rates: Sequence[float],
        minutes: float = 0.0,
        signal: str | None = None,
    ) -> tuple[TrainState, Sent]:
        """Begins the steps from `step`, one per rate; `state` is given away.

        Args:
            state: before them.
            step: the first.
            rates: the learning rates.
            minutes: of this process's clock, to be agreed on.
            signal: that this process has received.
        """
        control = self._control.pack(rates, minutes, signal)
        with self.clock.waiting("data"):
            if self._resident is None:
                self._resident = self._batches.resident()
            arrays = {**self._resident, **self._batches.take(step)}
        if self._program is None:
            self._program = self._compile(state, arrays, control)
        # Looking for a NaN runs the step again, operation by operation, constants and all.
        looking = self._session.debug_nans
        with jax.debug_nans(looking), jax.transfer_guard("allow" if looking else "disallow"):
            state, metrics, agreed = self._program(state, arrays, control)
        self.clock.count(len(rates))
        return state, Sent(step, rates, metrics, agreed)

    def _compile(self, state: TrainState, arrays: Any, control: jax.Array) -> Program:
        task, arguments = self._task, (state, arrays, control)
        make = partial(self._make, arguments)
        if task.program is None or self._session.debug_nans:
            program, self.flops = make()
        else:
            key = program_key(task, self._definition, self._settings, arguments)
            program, self.flops = shared(key, make)
        self.memory = _memory(program)
        peak = _rate() * self._mesh.size
        self.clock = StepClock(task.batch_seconds, self.flops, peak)
        return program

    def _make(self, arguments: tuple[TrainState, Any, jax.Array]) -> tuple[Program, float]:
        """Compiles the program and counts the FLOP of one step."""
        task, settings, definition = self._task, self._settings, self._definition
        step = make_step(
            lambda params, batch, axes: task.loss(definition(params), batch, axes),
            self._optimizer,
            self._mesh,
            task.batch_axes,
            accumulate=settings.accumulate,
            average_decay=settings.average_decay,
            models=len(task.models),
        )
        return compile_program(step, task.batch_axes, settings.substeps, arguments, self._session)


@cache
def _rate() -> float:
    """Measures the FLOP/s of one device in a large product, once per process."""
    return matrix_rate()


def _memory(program: Program) -> int:
    """Returns the bytes of arguments, results and temporaries on a device; 0 where unknown."""
    sizes = program.memory_analysis() if hasattr(program, "memory_analysis") else None
    if sizes is None:
        return 0
    shared = sizes.alias_size_in_bytes  # given back in the place of arguments
    arguments = sizes.argument_size_in_bytes + sizes.output_size_in_bytes - shared
    return arguments + sizes.temp_size_in_bytes
