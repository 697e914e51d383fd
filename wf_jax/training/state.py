"""What a run carries from step to step, and the step itself."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import PartitionSpec

from wf_jax.mesh import DATA_AXIS
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
    """Everything that a run needs to go on: checkpointed whole.

    Attributes:
        step: how many have been taken.
        params: what the steps change.
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
        """What is evaluated and kept: the average where there is one."""
        return self.average or self.params


def adam_with_l2(weight_decay: float, clip_norm: float = 0.0) -> optax.GradientTransformation:
    """Adam as torch has it: the decay is added to the gradient, before the moments.

    Gives a direction; the step multiplies it by the learning rate, which it takes as an
    argument so that a schedule may depend on the clock.

    Args:
        weight_decay: factor on the parameters, added to their gradient.
        clip_norm: the gradient is scaled down to this norm over all arrays; 0 leaves it.
    """
    clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
    return optax.chain(clip, optax.add_decayed_weights(weight_decay), optax.scale_by_adam())


def create_state(
    params: Params,
    optimizer: optax.GradientTransformation,
    best_metrics: dict[str, str],
    models: tuple[int, ...],
    *,
    averaged: bool = False,
) -> TrainState:
    """The state before the first step.

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


def make_step(
    loss: Callable[[Params, Any, str], tuple[jax.Array, dict[str, jax.Array]]],
    optimizer: optax.GradientTransformation,
    mesh: jax.sharding.Mesh,
    batch_specs: Any,
    average_decay: float = 0.0,
) -> Callable[[TrainState, Any, jax.Array], tuple[TrainState, dict[str, jax.Array]]]:
    """The jitted, donating training step (state, batch, learning_rate) -> (state, metrics).

    The batch is split over the mesh axis "data"; each device runs `loss` on its share. To the
    metrics comes "gradient_norm": where it is finite, the new parameters are.

    Args:
        loss: (params, batch share, axis name) -> (scalar, metrics), both already summed over
            the axis.
        optimizer: gives the direction of the step.
        mesh: one axis, "data".
        batch_specs: a PartitionSpec for every array of the batch.
        average_decay: of the moving average per step, where the state keeps one.
    """

    def device_gradient(params: Params, batch: Any) -> tuple[Params, dict[str, jax.Array]]:
        def total(params: Params) -> tuple[jax.Array, dict[str, jax.Array]]:
            # Marked as varying per device, so that hand-written backward passes see one kind
            # of array; the transpose of this mark is the sum over devices.
            varying = lax.pcast(params, DATA_AXIS, to="varying")
            return loss(varying, batch, DATA_AXIS)

        return jax.grad(total, has_aux=True)(params)

    gradient = jax.shard_map(
        device_gradient,
        mesh=mesh,
        in_specs=(PartitionSpec(), batch_specs),
        out_specs=PartitionSpec(),
    )

    @partial(jax.jit, donate_argnums=0)
    def step(
        state: TrainState, batch: Any, learning_rate: jax.Array
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        gradients, metrics = gradient(state.params, batch)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        direction, optimizer_state = optimizer.update(
            gradients, state.optimizer_state, state.params
        )
        params = jax.tree.map(lambda p, d: p - learning_rate * d, state.params, direction)
        # Early averages forget the start sooner: Adam's bias correction by another name.
        decay = jnp.minimum(average_decay, (1 + state.step) / (10 + state.step))
        average = {k: decay * v + (1 - decay) * params[k] for k, v in state.average.items()}
        state = TrainState(state.step + 1, params, average, optimizer_state, state.best)
        return state, metrics

    return step


def make_update_best(
    best_metrics: dict[str, str],
) -> Callable[[TrainState, dict[str, jax.Array]], TrainState]:
    """The jitted update of `state.best` from an evaluation of `state.judged`."""

    @partial(jax.jit, donate_argnums=0)
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
