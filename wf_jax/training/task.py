"""The contract between the training loop and what it trains."""

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import jax
import numpy as np
from flax import nnx

from wf_jax.mesh import AxisNames
from wf_jax.training.matrices import Axes


class Task(Protocol):
    """A training task. The loop knows nothing of audio; a task nothing of steps and devices.

    A task may subclass this; it must then define every attribute without a value and every method
    without a body.

    Attributes:
        batch_size: rows of a batch, over all devices.
        steps_per_epoch: steps that count as one epoch.
        evaluate_every: steps between evaluations.
        batch_axes: for each array of a batch, and each resident one, the axis of its rows; None
            for an array that all rows share.
        best_metrics: for each group of parameters, by the beginning of their names, the metric by
            which the best of them are kept: lower is better.
        models: leading axes of parameters and metrics that number independent models.
        resident: arrays that every batch shares; they stay on the devices.
        batch_seconds: audio in a batch, for the speed in times real time; 0 to leave that out.
        measured: beginnings of the names of parameters that `init` measures of the data, so that a
            run that begins from another one keeps its own.
        program: everything that `loss` and `axes_of` depend on beside their arguments, hashable:
            runs of one process whose tasks are of one class and have it in common share a compiled
            step. None shares nothing.
    """

    batch_size: int
    steps_per_epoch: int
    evaluate_every: int
    batch_axes: Mapping[str, int | None]
    best_metrics: Mapping[str, str]
    models: tuple[int, ...] = ()
    resident: Mapping[str, np.ndarray] = MappingProxyType({})
    batch_seconds: float = 0.0
    measured: tuple[str, ...] = ()
    program: Hashable = None

    def init(self) -> nnx.Module:
        """Makes the module that training begins with."""

    def batch(self, step: int, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Makes the given rows of a step's batch (all if None): a pure function of the step."""

    def loss(
        self, module: Any, batch: dict[str, jax.Array], axis_name: AxisNames = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Gives the loss of a batch, a scalar, and metrics by name [*models].

        The batch holds the resident arrays too. Inside the step it is this device's share, and
        `axis_name` names the mesh axes to sum over; outside it is None.
        """

    def evaluate(self, module: Any) -> Mapping[str, Any]:
        """Judges the module on held-out data: metrics by name [*models]."""

    def describe(self, step: int) -> str:
        """Says what a step's batch holds, for the message about a loss that is no number."""
        return f"the batch of step {step}"

    def axes_of(self, name: str, shape: tuple[int, ...]) -> Axes:
        """Returns the axes by which an optimizer sees an array: the last by all others."""
        del name
        axes = tuple(range(len(shape)))
        return Axes((), axes, ()) if len(axes) < 2 else Axes((), axes[:-1], axes[-1:])
