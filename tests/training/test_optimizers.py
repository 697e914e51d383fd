"""Clipping by norm: of all arrays as optax does it, or of each model by itself."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wf_jax.training.matrices import Axes
from wf_jax.training.optimizers import make_optimizer


def axes_of(name, shape):
    return Axes((), tuple(range(len(shape))), ())


def steps(optimizer, gradients, count=3):
    state = optimizer.init(gradients)
    for _ in range(count):
        direction, state = optimizer.update(gradients, state, gradients)
    return direction


@pytest.mark.parametrize("size", [0.01, 100.0])
def test_one_model_is_clipped_as_optax_does(rng, size):
    gradients = {n: jnp.asarray(size * rng.normal(size=(2, 3)), jnp.float32) for n in "ab"}
    ours = steps(make_optimizer("adam", axes_of, 0.1, clip_norm=1.0), gradients)
    chain = optax.chain(
        optax.clip_by_global_norm(1.0), optax.add_decayed_weights(0.1), optax.scale_by_adam()
    )
    theirs = steps(chain, gradients)
    for name in gradients:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6)


def test_a_model_is_clipped_by_its_own_norm(rng):
    gradients = {n: jnp.asarray(rng.normal(size=(2, 3)), jnp.float32) for n in "ab"}
    gradients = {n: g.at[0].multiply(100.0) for n, g in gradients.items()}
    optimizer = make_optimizer("adam", axes_of, clip_norm=1.0, models=1)
    both = optimizer.update(gradients, optimizer.init(gradients), gradients)[1]
    for i in range(2):
        one = {n: g[i : i + 1] for n, g in gradients.items()}
        alone = optimizer.update(one, optimizer.init(one), one)[1]
        for name in one:
            moment, single = (optax.tree.get(s, "mu")[name] for s in (both, alone))
            np.testing.assert_allclose(moment[i], single[0], rtol=1e-6)
