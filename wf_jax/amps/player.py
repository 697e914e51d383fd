"""Playing block by block, as a plug-in host asks for it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.amps.fast import Playable, compiler_options

FEW = 4  # arrays: handing over one more costs a call about as much as computing a layer
STEP = 8  # between the sizes that programs are compiled for
SMALLEST = 16


class Player:
    """Plays a model on one stream of audio, in blocks of any size up to `block`.

    Everything is compiled when the player is made. A call copies the block in, runs one program
    whose state stays where it is, and gives the output back; nothing else is allocated or moved,
    and no size of block leads to another compilation. What is not a number stays in the memory of
    a model as long as the model remembers, in an LSTM until `reset`.
    """

    def __init__(self, model: Playable, block: int = 64):
        """Compiles, and plays silence.

        Args:
            model: what to play; `wf_jax.amps.fast.fastest` gives the quickest form of it.
            block: the largest block in samples. Smaller ones run in the program of the next size
                among block, block / 8, block / 64, ... 16; each takes seconds to compile. For whole
                files there is `wf_jax.amps.render.render`.

        Raises:
            ValueError: block is not a positive integer.
        """
        if not isinstance(block, int | np.integer) or block < 1:
            raise ValueError(f"block {block!r} is not a positive number of samples")
        self.block = block
        self.model = model
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
        """Goes back to before the first sample: endless silence."""
        self._state = jax.tree.map(jnp.copy, self._silence)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The next block.

        Args:
            x: floats, full scale 1, [n] (or [channels, n] where the model has several inputs), n up
                to `block`.

        Returns:
            float32 of the same length; [channels, n] where the model has several outputs.

        Raises:
            ValueError: the block is longer than the player was made for, or no such array.
        """
        x = np.asarray(x)
        inputs = self.model.input_channels
        if x.dtype.kind != "f" or x.ndim != min(inputs, 2) or (inputs > 1 and len(x) != inputs):
            shape = "[n]" if inputs == 1 else f"[{inputs}, n]"
            raise ValueError(f"{x.dtype} {list(x.shape)} is not a block of floats {shape}")
        count = x.shape[-1]
        buffer, program = self._program(count)
        buffer[:, :count] = x
        buffer[:, count:] = 0.0  # an FFT would mix what is left there into the rest
        if count not in self._counts:
            self._counts[count] = jax.device_put(np.int32(count))
        self._state, y = program(self._weights, self._state, buffer, self._counts[count])
        y = np.array(y)[:, :count]
        return y[0] if len(y) == 1 else y

    def _program(self, count: int) -> tuple[np.ndarray, Callable]:
        for buffer, program in self._programs:
            if count <= buffer.shape[1]:
                return buffer, program
        raise ValueError(f"a block of {count} samples; this player was made for {self.block}")


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
