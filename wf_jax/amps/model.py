"""The base class of every NAM model: a causal map from signal to signal, with a state.

One sequence is channel-major [channels, samples] inside; an architecture says how it plays the next
block of one, and the rest (batches, whole files, prewarming) follows here.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wf_jax.platforms import choices

State = Any  # a pytree of arrays, of one sequence or with a leading batch axis


class AmpModel(nnx.Module):
    """A model of an amp, pedal or cabinet: x [B, T] -> y [B, T].

    Signals of a model with several input or output channels are [B, channels, T] on that side.

    An architecture sets `sample_rate` (Hz; None where its file does not say), `input_channels`
    and `output_channels`, and defines `receptive_field`, `state_before_prewarm`, `block` and, to be
    written to a .nam file, `weight_arrays`.
    """

    sample_rate: float | None = None
    input_channels: int = 1
    output_channels: int = 1

    @property
    def receptive_field(self) -> int:
        """Input samples that one output sample depends on; 1 where a state carries the past."""
        raise NotImplementedError

    def state_before_prewarm(self) -> State:
        """The state of one sequence before prewarming."""
        raise NotImplementedError

    def block(
        self, state: State, x: jax.Array, count: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """Plays the next samples of one sequence.

        Args:
            state: of one sequence.
            x: [I, T], any T.
            count: how many columns of x are real, from the first on; all of them if None. The
                state moves on by `count` samples, and y beyond them is of no use.

        Returns:
            The state after them, and y [O, T].
        """
        raise NotImplementedError

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields all arrays in the order of a .nam file's weights."""
        raise NotImplementedError

    @property
    def chunk(self) -> int:
        """Samples that `scan` computes at once."""
        return choices().chunk

    @property
    def finite_memory(self) -> bool:
        """True if an output depends on no more than `receptive_field` samples."""
        return True

    @property
    def lookback(self) -> int:
        """Samples at the start of the input for which `valid` gives no output."""
        return self.receptive_field - 1

    @property
    def prewarm_samples(self) -> int:
        """Silence that the core plays before the first sample."""
        return self.receptive_field

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Sizes at which `at_size` changes to the next larger model; () where there is one."""
        return ()

    def at_size(self, size: float) -> "AmpModel":
        """The model for `size` in [0, 1], 0 the smallest; itself where it has one size only."""
        return self

    def scaled(self, gain: float) -> "AmpModel":
        """Returns the model whose output is `gain` times as large."""
        raise NotImplementedError

    def steady(self, x: jax.Array) -> tuple[State, jax.Array]:
        """Returns the state and output [O, 1] that endless constant input x [I, 1] leads to.

        Plays it for `prewarm_samples`; architectures with a closed form override this.
        """
        full, rest = divmod(self.prewarm_samples, self.chunk)
        state = self.state_before_prewarm()
        if full:
            constant = jnp.broadcast_to(x, (x.shape[0], self.chunk))
            state = lax.fori_loop(0, full, lambda _, state: self.block(state, constant)[0], state)
        if rest:
            state, _ = self.block(state, jnp.broadcast_to(x, (x.shape[0], rest)))
        return state, self.block(state, x)[1]

    def silence(self) -> State:
        """The state of one sequence after endless silence."""
        dtype = jax.tree.leaves(self)[0].dtype
        return self.steady(jnp.zeros((self.input_channels, 1), dtype))[0]

    def scan(
        self, state: State, x: jax.Array, chunks: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """Plays x in chunks of time that fit a cache.

        Args:
            state: of one sequence.
            x: [I, n * chunk].
            chunks: how many chunks of x are real, from the first on; all of them if None.

        Returns:
            The state after them, and y [O, n * chunk].
        """
        length = x.shape[1]
        parts = x.reshape(len(x), length // self.chunk, self.chunk).swapaxes(0, 1)
        if chunks is None:
            state, y = lax.scan(self.block, state, parts)
            return state, y.swapaxes(0, 1).reshape(-1, length)

        def step(index: jax.Array, carry: tuple[State, jax.Array]) -> tuple[State, jax.Array]:
            state, y = carry
            state, out = self.block(state, lax.dynamic_index_in_dim(parts, index, keepdims=False))
            return state, lax.dynamic_update_slice_in_dim(y, out, index * self.chunk, axis=1)

        y = jnp.zeros_like(x, shape=(self.output_channels, length))
        return lax.fori_loop(0, chunks, step, (state, y))

    def valid(self, x: jax.Array) -> jax.Array:
        """Plays x, [T] or [I, T], without a past: [T - lookback] or [O, T - lookback]."""
        _, y = self.block(self.state_before_prewarm(), self._rows(x))
        return self._signal(y[:, self.lookback :])

    def init_state(self, batch: int) -> State:
        """The state of `batch` sequences before their first sample: endless silence."""
        return _init_state(self, batch)

    def step(self, state: State, x: jax.Array) -> tuple[State, jax.Array]:
        """Plays the next block x [B, T] of each sequence: (state, y [B, T]).

        Compiled once per shape. The old state is given away: go on with the new one.

        Raises:
            ValueError: x is not [B, T], or [B, channels, T] of a model with several inputs.
        """
        self._check(x)
        return _step(self, state, x)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Plays x [B, T] with silence before it: y [B, T]; compiled once per shape.

        Raises:
            ValueError: as `step`.
        """
        self._check(x)
        return _play(self, x)

    def _check(self, x: jax.Array) -> None:
        inputs = self.input_channels
        shape = jnp.shape(x)
        if len(shape) != 2 + (inputs > 1) or (inputs > 1 and shape[1] != inputs):
            wanted = "[B, T]" if inputs == 1 else f"[B, {inputs}, T]"
            raise ValueError(f"audio of shape {list(shape)}; this model takes {wanted}")

    def _rows(self, x: jax.Array) -> jax.Array:
        """Returns a signal, [T] or [I, T], as [I, T]."""
        return x[None] if x.ndim == 1 else x

    def _signal(self, y: jax.Array) -> jax.Array:
        """Returns [O, T] as a signal: [T] where O is 1."""
        return y[0] if self.output_channels == 1 else y


@partial(jax.jit, static_argnums=1)
def _init_state(model: AmpModel, batch: int) -> State:
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), model.silence())


@partial(jax.jit, donate_argnums=1)
def _step(model: AmpModel, state: State, x: jax.Array) -> tuple[State, jax.Array]:
    def one(state: State, x: jax.Array) -> tuple[State, jax.Array]:
        state, y = model.block(state, model._rows(x))
        return state, model._signal(y)

    return jax.vmap(one)(state, x)


@jax.jit
def _play(model: AmpModel, x: jax.Array) -> jax.Array:
    silence = model.silence()

    def one(x: jax.Array) -> jax.Array:
        rows = model._rows(x)
        length = rows.shape[1]
        if length <= model.chunk:
            return model._signal(model.block(silence, rows)[1])
        padded = jnp.pad(rows, ((0, 0), (0, -length % model.chunk)))
        return model._signal(model.scan(silence, padded)[1][:, :length])

    return jax.vmap(one)(x)


def nearest_size(size: float) -> float:
    """Clips a size to 0 to 1, as `at_size` takes it.

    Raises:
        ValueError: it is not a number.
    """
    if math.isnan(size):
        raise ValueError("size nan is not a number from 0 to 1")
    return min(max(float(size), 0.0), 1.0)


def remember(seen: jax.Array, lookback: int, count: jax.Array | None) -> jax.Array:
    """Returns the history for the next block: [C, lookback + T] -> [C, lookback].

    Args:
        seen: the old history, then the block.
        lookback: columns to keep.
        count: columns of the block that are real; all of them if None.
    """
    if count is None:
        return seen[:, seen.shape[1] - lookback :]
    return lax.dynamic_slice_in_dim(seen, count, lookback, axis=1)
