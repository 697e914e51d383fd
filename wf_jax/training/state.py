"""The state of a run, carried from step to step."""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from wf_jax.modules import Params


@partial(
    jax.tree_util.register_dataclass, data_fields=["params", "metrics", "steps"], meta_fields=[]
)
@dataclasses.dataclass(frozen=True)
class Best:
    """The best parameters so far, chosen per group of parameters and per leading index.

    Attributes:
        params: by name, as in the model.
        metrics: by metric name [models], the value that each was chosen by (lower is better).
        steps: by metric name [models], the step it was measured at.
    """

    params: Params
    metrics: dict[str, jax.Array]
    steps: dict[str, jax.Array]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["step", "params", "average", "optimizer_state", "best"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class TrainState:
    """The whole state that a run needs to resume, as checkpointed.

    Attributes:
        step: how many have been taken.
        params: the trained parameters.
        average: their exponential moving average; empty where there is none.
        optimizer_state: the optimizer's.
        best: see Best.
    """

    step: jax.Array
    params: Params
    average: Params
    optimizer_state: Any
    best: Best

    @property
    def judged(self) -> Params:
        """Parameters that are evaluated and kept: the average where there is one."""
        return self.average or self.params

    def of(self, index: int, alone: jax.tree_util.PyTreeDef) -> "TrainState":
        """Returns the state of one of several models along the first axis; counters are common.

        Args:
            index: of the model.
            alone: structure of the state of one; SOAP's groups are named after how many there are.
        """
        leaves = jax.tree.leaves(self)
        own = [leaf[index : index + 1] if leaf.ndim else leaf for leaf in leaves]
        return jax.tree.unflatten(alone, own)


def create_state(
    params: Params,
    optimizer: optax.GradientTransformation,
    best_metrics: dict[str, str],
    models: tuple[int, ...],
    *,
    averaged: bool = False,
) -> TrainState:
    """Creates the state before the first step.

    Args:
        params: the model's, each beginning with the axes `models`.
        optimizer: gives the direction of a step.
        best_metrics: prefix of parameter names -> name of the metric that judges them.
        models: axes of independent models, which are judged each by itself; () for one model.
        averaged: whether to keep a moving average of the parameters.
    """
    names = best_metrics.values()
    best = Best(
        params=jax.tree.map(jnp.copy, params),
        metrics={name: jnp.full(models, jnp.inf, jnp.float32) for name in names},
        steps={name: jnp.zeros(models, jnp.int32) for name in names},
    )
    average = jax.tree.map(jnp.copy, params) if averaged else {}
    return TrainState(jnp.zeros((), jnp.int32), params, average, optimizer.init(params), best)


def make_update_best(
    best_metrics: dict[str, str], shardings: TrainState | None = None
) -> Callable[[TrainState, dict[str, jax.Array]], TrainState]:
    """Makes the jitted update of `state.best` from an evaluation of `state.judged`.

    Args:
        best_metrics: see `create_state`.
        shardings: of the state, kept.
    """

    @partial(jax.jit, donate_argnums=0, out_shardings=shardings)
    def update_best(state: TrainState, metrics: dict[str, jax.Array]) -> TrainState:
        params, values, steps = {}, {}, {}
        for prefix, name in best_metrics.items():
            better = metrics[name] < state.best.metrics[name]  # [models]; false for NaN
            values[name] = jnp.where(better, metrics[name], state.best.metrics[name])
            steps[name] = jnp.where(better, state.step, state.best.steps[name])
            for key, value in state.judged.items():
                if key.startswith(prefix):
                    chosen = better.reshape(*better.shape, *[1] * (value.ndim - better.ndim))
                    params[key] = jnp.where(chosen, value, state.best.params[key])
        return dataclasses.replace(state, best=Best(params, values, steps))

    return update_best


def model_norm(params: Params, models: int) -> jax.Array:
    """Returns the norm over all arrays: of each model [*models], where `models` axes number them.

    It is finite for the models all of whose numbers are (below 1e19, whose squares are finite).
    """
    squares = [
        jnp.sum(jnp.square(value), axis=tuple(range(models, value.ndim)))
        for value in params.values()
    ]
    return jnp.sqrt(sum(squares))


def sound_models(metrics: Iterable[np.ndarray]) -> np.ndarray:
    """Returns which models have finite values of all metrics [*models]."""
    return np.logical_and.reduce([np.isfinite(value) for value in metrics])
