"""The next block of any model, compiled once per shape."""

import jax


@jax.jit
def block(model, state, x, count=None):
    return model.block(state, x, count)
