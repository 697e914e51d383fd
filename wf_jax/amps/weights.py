"""Sources of a model's weights: drawn afresh, read from a .nam file, or only counted.

A model asks for its arrays in the order in which its .nam file holds them, so that one constructor
serves all three.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np


class Weights(Protocol):
    """Answers requests for arrays, one after the other."""

    def __call__(self, shape: tuple[int, ...], fan_in: int) -> Any:
        """Returns a float32 array of `shape`, flattened row-major in files.

        Args:
            shape: its shape.
            fan_in: inputs that one output sums over, by which fresh weights are scaled.
        """

    def constant(self, shape: tuple[int, ...], value: float) -> np.ndarray:
        """Returns a numpy array of `shape` that is `value` everywhere in a fresh model."""


class Uniform:
    """Fresh weights, uniform in +-1 / sqrt(fan_in): the rule that NAM models are trained from."""

    def __init__(self, rng: np.random.Generator):
        """Draws from `rng`."""
        self._rng = rng

    def __call__(self, shape: tuple[int, ...], fan_in: int) -> jax.Array:
        """See Weights."""
        # numpy on the host: at once, and the same bits everywhere. XLA takes 30 s to compile the
        # 236 draws of both A2 sizes, and 6 s to run them one by one.
        bound = fan_in**-0.5
        return jnp.asarray(self._rng.uniform(-bound, bound, shape), jnp.float32)

    def constant(self, shape: tuple[int, ...], value: float) -> np.ndarray:
        """See Weights."""
        return np.full(shape, value, np.float32)


class FileWeights:
    """The weights of a .nam file, front to back."""

    def __init__(self, values: np.ndarray):
        """Reads `values`, float32 [N]."""
        self._values, self._position = values, 0

    def __call__(self, shape: tuple[int, ...], fan_in: int) -> jax.Array:
        """See Weights."""
        return jnp.asarray(self._next(shape))

    def constant(self, shape: tuple[int, ...], value: float) -> np.ndarray:
        """See Weights."""
        return self._next(shape)

    def _next(self, shape: tuple[int, ...]) -> np.ndarray:
        start = self._position
        self._position = start + int(np.prod(shape, dtype=np.int64))
        return self._values[start : self._position].reshape(shape)


class Shapes:
    """Gives shapes in place of arrays, so that a model is described at little cost."""

    def __init__(self, asked: Callable[[], object] = lambda: None) -> None:
        """Starts with no weights; calls `asked` for each array, which may refuse it."""
        self.count, self._asked = 0, asked

    def __call__(self, shape: tuple[int, ...], fan_in: int) -> jax.ShapeDtypeStruct:
        """See Weights."""
        self._asked()
        self.count += math.prod(shape)  # in Python's integers: hostile files overflow others
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    def constant(self, shape: tuple[int, ...], value: float) -> np.ndarray:
        """See Weights."""
        self(shape, 1)
        return np.full(shape, value, np.float32)
