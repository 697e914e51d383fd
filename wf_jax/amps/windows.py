"""Models of several captures played on windows and on whole recordings.

By machine code where the engine says so and a model's shape allows it (`native/training`), else by
JAX. Every array of a model's parameters has a leading axis of captures.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from wf_jax.amps.engines import trained_natively
from wf_jax.amps.model import AmpModel

STEP = 1 << 13  # samples; machine code plays recordings in windows of so many


def play_windows(models: AmpModel, x: jax.Array, engine: str, at_once: int) -> jax.Array:
    """Plays windows; differentiable with respect to the parameters, for which nothing is kept.

    Args:
        models: of N captures.
        x: [N, B, lookback + T].
        engine: see `engines.trained_natively`.
        at_once: windows per pass of JAX's, those of several captures counted together.

    Returns:
        [N, B, T].

    Raises:
        UserError: the native engine is insisted on, and cannot.
    """
    if trained_natively(engine, models):
        from wf_jax.amps.native.training.valid import valid_windows

        return valid_windows(models, x)

    def capture(model: AmpModel, x: jax.Array) -> jax.Array:
        sequence = jax.checkpoint(model.valid, prevent_cse=False)
        return map_some(sequence, x, at_once)

    if len(x) == 1:  # spares XLA a loop of one
        first = jax.tree.map(lambda leaf: leaf[0], models)
        return capture(first, x[0])[None]
    return map_some(lambda args: capture(*args), (models, x), at_once // len(x[0]))


def play_recordings(
    models: AmpModel, x: jax.Array, skipped: int, engine: str, at_once: int
) -> jax.Array:
    """Plays whole recordings from silence, and leaves out their beginning.

    Args:
        models: of N captures.
        x: [N, skipped + T].
        skipped: samples that are played and not returned, the models' lookback at least.
        engine: see `engines.trained_natively`.
        at_once: recordings per pass of JAX's.

    Returns:
        [N, T].

    Raises:
        UserError: the native engine is insisted on, and cannot.
    """
    if not trained_natively(engine, models):
        return map_some(lambda args: args[0](args[1][None])[0, skipped:], (models, x), at_once)
    lookback, samples = models.lookback, x.shape[1] - skipped
    count = -(-samples // STEP)
    x = jnp.pad(x[:, skipped - lookback :], ((0, 0), (0, count * STEP - samples)))
    starts = jnp.broadcast_to(STEP * jnp.arange(count), (len(x), count))
    y = play_windows(models, cut(x, starts, lookback + STEP), engine, at_once)
    return y.reshape(len(x), -1)[:, :samples]


def cut(audio: jax.Array, starts: jax.Array, length: int) -> jax.Array:
    """Cuts windows from audio [N, T] at starts [N, B]: [N, B, length]."""

    def one(row: jax.Array, start: jax.Array) -> jax.Array:
        return lax.dynamic_slice(row, (start,), (length,))

    return jax.vmap(jax.vmap(one, in_axes=(None, 0)))(audio, starts)


def map_some(function: Callable[[Any], jax.Array], xs: Any, at_once: int) -> jax.Array:
    """Maps `function` over the leading axis, `at_once` items together, at least one."""
    if at_once >= len(jax.tree.leaves(xs)[0]):
        return jax.vmap(function)(xs)
    return lax.map(function, xs, batch_size=at_once if at_once > 1 else None)
