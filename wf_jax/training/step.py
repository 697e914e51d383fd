"""The training step: gradients over all devices, and one or several updates per dispatch."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from wf_jax.modules import Params
from wf_jax.platforms import choices
from wf_jax.training.control import Control
from wf_jax.training.flops import jaxpr_flops
from wf_jax.training.settings import Session
from wf_jax.training.state import TrainState, model_norm

Metrics = dict[str, jax.Array]
Loss = Callable[[Params, Any, Any], tuple[jax.Array, Metrics]]
Program = Callable[[TrainState, Any, jax.Array], tuple[TrainState, Metrics, Metrics]]


def make_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    batch_axes: dict[str, int | None],
    *,
    accumulate: int = 1,
    average_decay: float = 0.0,
    models: int = 0,
) -> Callable[[TrainState, Any, jax.Array], tuple[TrainState, Metrics]]:
    """Makes the training step (state, batch, learning_rate) -> (state, metrics), to be jitted.

    The batch is split over the mesh; each device runs `loss` on its share. The metrics get
    "gradient_norm" of each model too: if it is finite, so are its new parameters.

    Args:
        loss: (params, batch share, axis names) -> (scalar, metrics), both already summed over
            the axes.
        optimizer: gives the direction of the step.
        mesh: of `wf_jax.mesh.data_mesh`.
        batch_axes: of every array, the axis that holds the rows of a batch, or None for an array
            that all rows share. Arrays with rows have one leading axis more, of `accumulate` parts.
        accumulate: parts of a batch that are computed one after the other, for their memory's
            sake; gradients and metrics are their mean.
        average_decay: of the moving average per step, where the state keeps one.
        models: leading axes of parameters and metrics that number independent models.
    """
    axes = mesh.axis_names

    def device_gradient(params: Params, shared: Any, parts: Any) -> tuple[Params, Metrics]:
        # Marked as varying per device, so that hand-written backward passes see one kind of array.
        varying = jax.tree.map(lambda v: lax.pcast(v, axes, to="varying"), params)

        def part_gradient(part: Any) -> tuple[Params, Metrics]:
            return jax.grad(lambda p: loss(p, {**shared, **part}, axes), has_aux=True)(varying)

        if accumulate == 1:  # spares XLA a loop of one
            gradients, metrics = part_gradient(jax.tree.map(lambda v: v[0], parts))
            return lax.psum(gradients, axes), metrics

        def add(total: Any, part: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, part_gradient(part)), None

        first, rest = (jax.tree.map(lambda v, s=s: v[s], parts) for s in (0, slice(1, None)))
        total, _ = lax.scan(add, part_gradient(first), rest)
        gradients, metrics = jax.tree.map(lambda v: v / accumulate, total)
        return lax.psum(gradients, axes), metrics

    def spec(axis: int) -> PartitionSpec:
        return PartitionSpec(None, *[None] * axis, axes)

    def step(state: TrainState, batch: Any, learning_rate: jax.Array) -> tuple[TrainState, Metrics]:
        shared = {k: v for k, v in batch.items() if batch_axes[k] is None}
        parts = {k: v for k, v in batch.items() if k not in shared}
        specs = {k: spec(batch_axes[k]) for k in parts}
        gradient = jax.shard_map(
            device_gradient,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec(), specs),
            out_specs=PartitionSpec(),
        )
        gradients, metrics = gradient(state.params, shared, parts)
        metrics["gradient_norm"] = model_norm(gradients, models)
        direction, optimizer_state = optimizer.update(
            gradients, state.optimizer_state, state.params
        )
        params = jax.tree.map(lambda p, d: p - learning_rate * d, state.params, direction)
        # Early averages forget the start sooner: Adam's bias correction by another name.
        decay = jnp.minimum(average_decay, (1 + state.step) / (10 + state.step))
        average = {k: decay * v + (1 - decay) * params[k] for k, v in state.average.items()}
        return dataclasses.replace(
            state,
            step=state.step + 1,
            params=params,
            average=average,
            optimizer_state=optimizer_state,
        ), metrics

    return step


def compile_program(
    step: Callable[[TrainState, Any, jax.Array], tuple[TrainState, Metrics]],
    batch_axes: dict[str, int | None],
    substeps: int,
    arguments: tuple[TrainState, Any, jax.Array],
    session: Session,
) -> tuple[Program, float]:
    """Compiles (state, batches, control) -> (state, metrics, agreed values), and counts a step.

    The state is donated. The program takes arrays of just these shapes and shardings and refuses
    others, so that nothing is ever compiled again in the middle of a run.

    Args:
        step: of `make_step`.
        batch_axes: see there.
        substeps: see `several_steps`.
        arguments: of the first call.
        session: whether NaNs are to be found where they are made.

    Returns:
        The program, and the FLOP of one step over all devices.
    """
    steps = several_steps(step, batch_axes, substeps)

    def program(
        state: TrainState, batches: Any, control: jax.Array
    ) -> tuple[TrainState, Metrics, dict[str, jax.Array]]:
        rates, count, agreed = Control.unpack(control)
        return *steps(state, batches, rates, count), agreed

    state, _, control = arguments
    shardings = jax.tree.map(lambda v: v.sharding, state)
    everywhere = NamedSharding(control.sharding.mesh, PartitionSpec())
    # A step that made a NaN is run once more to find out where: its arguments must still be there.
    donated = () if session.debug_nans else (0,)
    jitted = jax.jit(
        program, donate_argnums=donated, out_shardings=(shardings, everywhere, everywhere)
    )
    traced = jitted.trace(*arguments)
    flops = jaxpr_flops(traced.jaxpr.jaxpr)
    if session.debug_nans:
        return jitted, flops
    return traced.lower().compile(compiler_options=choices().compiler_options), flops


def several_steps(
    step: Callable[[TrainState, Any, jax.Array], tuple[TrainState, Metrics]],
    batch_axes: dict[str, int | None],
    substeps: int,
) -> Callable[[TrainState, Any, jax.Array, jax.Array], tuple[TrainState, Metrics]]:
    """Makes a program of several steps: (state, batches, rates, count) -> (state, metrics).

    Arrays with rows have one leading axis more, of `substeps`, as have rates and metrics. The
    first `count` steps are taken, so that one program serves any number of them; the metrics of the
    others are zero.
    """

    def one(
        state: TrainState, batches: Any, rates: jax.Array, i: Any
    ) -> tuple[TrainState, Metrics]:
        batch = {k: v if batch_axes[k] is None else v[i] for k, v in batches.items()}
        return step(state, batch, rates[i])

    def steps(
        state: TrainState, batches: Any, rates: jax.Array, count: jax.Array
    ) -> tuple[TrainState, Metrics]:
        if substeps == 1:
            state, metrics = one(state, batches, rates, 0)
            return state, jax.tree.map(lambda v: v[None], metrics)

        def body(i: jax.Array, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
            state, metrics = one(carry[0], batches, rates, i)
            return state, jax.tree.map(lambda all_, v: all_.at[i].set(v), carry[1], metrics)

        _, shapes = jax.eval_shape(partial(one, i=0), state, batches, rates)
        empty = jax.tree.map(lambda s: jnp.zeros((substeps, *s.shape), s.dtype), shapes)
        return lax.fori_loop(0, count, body, (state, empty))

    return steps
