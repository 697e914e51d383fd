"""Short filters."""

import jax


def pre_emphasis(x: jax.Array, coefficient: float) -> jax.Array:
    """Computes x[t] - coefficient * x[t - 1]: [..., T] -> [..., T - 1]."""
    return x[..., 1:] - coefficient * x[..., :-1]
