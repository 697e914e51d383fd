"""Blocks of a live stream through programs that JAX compiles."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.amps.jax_form import Playable, compiler_options

FEW = 4  # arrays: handing over one more costs a call about as much as computing a layer
STEP = 8  # between the sizes that programs are compiled for
SMALLEST = 16


class JaxBlocks:
    """One stream in blocks, of which smaller ones run in programs of their own.

    These have sizes block, block / 8, block / 64, ... 16; each takes seconds to compile.
    """

    def __init__(self, model: Playable, block: int):
        """Compiles, and plays silence; `block` is the largest block in samples."""
        weights, unpack_weights = _packed(model)
        self._silence, unpack_state = _packed(jax.jit(lambda model: model.silence())(model))
        inputs = model.input_channels

        def play(weights: Any, state: Any, x: jax.Array, count: jax.Array) -> tuple[Any, jax.Array]:
            model = unpack_weights(weights)
            state, y = model.block(unpack_state(state), x, count)
            return _pack(state), y

        self._weights = weights
        self._programs, size = [], block
        while True:
            x = np.zeros((inputs, size), np.float32)
            count = np.int32(size)
            jitted = jax.jit(play, donate_argnums=1, compiler_options=compiler_options(model))
            program = jitted.lower(weights, self._silence, x, count).compile()
            self._programs.append((x, program))
            if size // STEP < SMALLEST:
                break
            size //= STEP
        self._programs.reverse()
        self._counts: dict[int, jax.Array] = {}  # on the device, of the sizes met so far
        self.reset()

    def reset(self) -> None:
        """Goes back to before the first sample."""
        self.state = jax.tree.map(jnp.copy, self._silence)

    def play(self, x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """The next samples.

        Args:
            x: floats [n], or [inputs, n] of several.
            out: float32 [n], or [outputs, n] of several; where to write, or None.

        Returns:
            out, or an array of the caller's.
        """
        count = x.shape[-1]
        buffer, program = self._program(count)
        buffer[:, :count] = x
        buffer[:, count:] = 0.0  # an FFT would mix what is left there into the rest
        if count not in self._counts:
            self._counts[count] = jax.device_put(np.int32(count))
        self.state, y = program(self._weights, self.state, buffer, self._counts[count])
        y = np.asarray(y)[:, :count]
        y = y[0] if len(y) == 1 else y
        if out is None:
            return y.copy()
        out[...] = y
        return out

    def _program(self, count: int) -> tuple[np.ndarray, Callable]:
        return next(each for each in self._programs if count <= each[0].shape[1])


def _pack(tree: Any) -> Any:
    """The arrays of a pytree as one flat array, where they are many."""
    leaves = jax.tree.leaves(tree)
    if len(leaves) <= FEW:
        return tree
    return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])


def _packed(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """`_pack`, and what takes it apart again."""
    leaves, treedef = jax.tree.flatten(tree)
    if len(leaves) <= FEW:
        return tree, lambda packed: packed
    shapes = [leaf.shape for leaf in leaves]
    ends = np.cumsum([leaf.size for leaf in leaves])

    def unpack(flat: jax.Array) -> Any:
        starts = [0, *ends[:-1]]
        parts = [flat[a:b].reshape(s) for a, b, s in zip(starts, ends, shapes, strict=True)]
        return treedef.unflatten(parts)

    return jax.jit(_pack)(tree), unpack
