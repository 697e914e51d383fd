import jax.numpy as jnp
import numpy as np
import pytest

from tests.amps.slow_activations import activate
from wf_jax.amps.activations import ACTIVATION_NAMES, Activation

LIMITS = {"min_val": -0.4, "max_val": 0.9, "min_slope": 0.2, "max_slope": -0.3}


@pytest.mark.parametrize(
    "activation",
    [
        *(Activation(name) for name in ACTIVATION_NAMES),
        Activation("LeakyReLU", 0.3),
        Activation("LeakyReLU", -0.5),
        Activation("PReLU", 0.2),
        Activation("PReLU", negative_slopes=(0.1, 0.0, -0.2)),
        Activation("LeakyHardtanh", **LIMITS),
        Activation("LeakyHardTanh", **LIMITS),
    ],
    ids=str,
)
def test_equals_the_slow_form(activation):
    z = np.linspace(-5, 5, 303).reshape(3, 101)
    expected = activate(activation.to_json(), z)
    np.testing.assert_allclose(activation(jnp.asarray(z, jnp.float32)), expected, atol=1e-6)


def test_hardtanh_has_no_limits_of_its_own():
    z = np.linspace(-2, 2, 9)[None]
    limited = activate({"type": "Hardtanh", "min_val": -0.5, "max_val": 0.5}, z)
    np.testing.assert_array_equal(Activation("Hardtanh")(jnp.asarray(z, jnp.float32)), limited)
