"""Compiles the next block of any model, once per shape."""

import jax


@jax.jit
def block(model, state, x, count=None):
    return model.block(state, x, count)
