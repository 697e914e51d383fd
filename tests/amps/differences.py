"""Compares gradients with central differences; call it with jax.enable_x64."""

import jax
import jax.numpy as jnp
import numpy as np


def assert_gradient(loss, params, rng, rtol):
    """Checks every array of `params` along its own direction; returns the gradients."""
    value_and_gradient = jax.jit(jax.value_and_grad(loss))
    _, gradients = value_and_gradient(params)
    for name, value in params.items():
        direction = rng.normal(size=value.shape)
        ahead, behind = (
            value_and_gradient({**params, name: value + step * direction})[0]
            for step in (1e-6, -1e-6)
        )
        slope = jnp.vdot(gradients[name], direction)
        assert abs(slope) > 1e-4
        np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, rtol=rtol, err_msg=name)
    return gradients
