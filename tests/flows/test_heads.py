"""A WaveNet's heads: their densities against scipy, and their draws against their densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit, log_expit, logsumexp

from tests.quick_jit import quick_jit
from wf_jax.flows.heads import (
    LEAST_LOG_DEVIATION,
    LEAST_LOG_SCALE,
    Gaussian,
    GaussianMixture,
    LogisticMixture,
    Softmax,
)

CLASSES = 65536
HALF = 1 / (CLASSES - 1)
HEADS = {
    "gaussian": Gaussian(affine=False),
    "affine": Gaussian(affine=True),
    "gaussian_mixture": GaussianMixture(3),
    "logistic_mixture": LogisticMixture(3, CLASSES),
    "softmax": Softmax(256),
}
# Logits, means and logs of the widths of three components, far from the limits of full scale.
MIXTURE = np.array([0.3, -0.8, 0.9, -0.2, 0.1, 0.15, -3.0, -4.0, -5.0])
WEIGHTS = np.exp(MIXTURE[:3]) / np.sum(np.exp(MIXTURE[:3]))
DRAWS = 20_000


def slow_log_mass(out, x):
    """Computes each component's mass as a plain difference, in float64."""
    logits, mean, log_scale = np.split(np.asarray(out, np.float64), 3)
    scale = np.exp(np.maximum(log_scale, -12))
    above, below = (x - mean + HALF) / scale, (x - mean - HALF) / scale
    if x < -1 + HALF:
        each = log_expit(above)
    elif x > 1 - HALF:
        each = log_expit(-below)
    else:  # on the side where both are small
        right = expit(-below) - expit(-above)
        each = np.log(np.where(x > mean, right, expit(above) - expit(below)))
    return logsumexp(each + logits) - logsumexp(logits)


def drawn(head, out, temperature=1.0, seed=0):
    """Returns draws from one set of outputs."""
    noise = np.random.default_rng(seed).standard_normal(DRAWS).astype(np.float32)
    keys = jax.random.split(jax.random.key(seed), DRAWS)
    outputs = jnp.broadcast_to(jnp.asarray(out, jnp.float32), (DRAWS, len(out)))
    return np.asarray(quick_jit(head.draw)(outputs, noise, keys, temperature), np.float64)


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-12), ("float32", 1e-6)])
def test_the_probabilities_of_all_classes_sum_to_one(dtype, error):
    """Catches mass lost or counted twice at edges, in narrow or in wide components."""
    with jax.enable_x64(dtype == "float64"):
        x = jnp.asarray(np.linspace(-1, 1, CLASSES), dtype)
        mass = quick_jit(lambda out: LogisticMixture(1, CLASSES).log_mass(out, x))
        for log_scale in (-20.0, -9.0, -5.0, -1.0, 4.0, 1000.0):
            for mean in (-1.3, -1.0, 0.3, 0.99999, 1.0):
                out = jnp.asarray([0.7, mean, log_scale], dtype)
                total = np.sum(np.exp(np.asarray(mass(out), np.float64)))
                # A float32 x is a thousandth of a class away from what it stands for.
                narrow = dtype == "float32" and log_scale < -6
                assert abs(total - 1) < (5e-5 if narrow else error), (mean, log_scale)


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-8), ("float32", 2e-5)])
def test_logistic_masses_are_those_of_the_slow_formula(dtype, error, rng):
    """Catches a wrong half class, floor, edge or component sum, and rounding in the tails."""
    out = rng.standard_normal((400, 9)) * np.repeat([2.0, 0.7, 4.0], 3) - np.repeat([0, 0, 6], 3)
    x = np.clip(rng.standard_normal(400), -1, 1)
    x[:100] = np.clip(out[:100, 3] + np.exp(out[:100, 6]) * rng.standard_normal(100), -1, 1)
    x[:4] = 1.00001, -1.00001, 1 - 1.5 * HALF, -1 + 1.5 * HALF
    out, x = out.astype(np.float32), x.astype(np.float32)
    with jax.enable_x64(dtype == "float64"):
        log_mass = quick_jit(HEADS["logistic_mixture"].log_mass)
        fast = log_mass(jnp.asarray(out, dtype), jnp.asarray(x, dtype))
    with np.errstate(divide="ignore"):  # float64 has no number for the smallest masses
        slow = np.array([slow_log_mass(o, v) for o, v in zip(out, np.float64(x), strict=True)])
    seen = np.isfinite(slow)
    assert seen.sum() > 300
    np.testing.assert_allclose(fast[seen], slow[seen], rtol=error, atol=error)
    assert np.all(np.isfinite(fast))


def test_the_usual_midpoint_rule_is_the_exact_mass_of_wide_components():
    """Public code takes density times width in the tails, which is exact for narrow classes.

    It is 1 + (class / scale)^2 / 24 too small otherwise: 2.4 times at the least log scale.
    """
    ratios, log_mass = {}, quick_jit(LogisticMixture(1, CLASSES).log_mass)
    for log_scale in (-7.0, LEAST_LOG_SCALE):
        x, scale = jnp.float32(14 * np.exp(log_scale)), np.exp(log_scale)
        out = jnp.array([0.0, 0.0, log_scale])
        middle = stats.logistic.logpdf(float(x), scale=scale) + np.log(2 * HALF)
        ratios[log_scale] = np.exp(log_mass(out, x) - middle)
    assert abs(ratios[-7.0] - 1) < 1e-4
    steps = HALF / np.exp(LEAST_LOG_SCALE)
    np.testing.assert_allclose(ratios[LEAST_LOG_SCALE], np.sinh(steps) / steps, rtol=1e-3)


@pytest.mark.parametrize("name", HEADS)
def test_gradients_are_finite_for_extreme_outputs(name, rng):
    """Catches NaN from an unused branch, log(0), or float32 overflow."""
    head = HEADS[name]
    extreme = rng.choice([-1e4, -50.0, -7.0, 0.0, 1.0, 30.0, 1e4], (2000, head.outputs))
    if name == "affine":  # as a flow it has no floor, and e^89 is no float32
        extreme[:, 0] = np.clip(extreme[:, 0], -30, 30)
    x = rng.choice([-1.0001, -1.0, -0.3, 0.0, 1.0, 1.0001], 2000)
    both = jax.vmap(jax.value_and_grad(head.log_prob, argnums=(0, 1)))
    value, grads = quick_jit(both)(jnp.float32(extreme), jnp.float32(x))
    assert np.all(np.isfinite(value))
    assert all(np.all(np.isfinite(grad)) for grad in grads)
    assert np.any(grads[0] != 0)


def test_densities_integrate_to_one(rng):
    """Catches a missing constant: every head's log_prob is a density at full scale 1."""
    x = np.linspace(-3, 3, 200_001)
    for name in ("gaussian", "affine", "gaussian_mixture"):
        out = np.array([1.5, -0.3]) if name == "affine" else np.array([0.1, -2.0])
        out = MIXTURE if name == "gaussian_mixture" else out
        density = np.exp(
            np.float64(quick_jit(HEADS[name].log_prob)(jnp.float32(out), jnp.float32(x)))
        )
        assert abs(integrate.trapezoid(density, x) - 1) < 1e-5, name
    classes = np.linspace(-1, 1, CLASSES)
    logs = quick_jit(HEADS["logistic_mixture"].log_prob)(jnp.float32(MIXTURE), jnp.float32(classes))
    assert abs(np.sum(np.exp(np.float64(logs))) * 2 * HALF - 1) < 1e-5
    softmax = HEADS["softmax"]
    edges, out = softmax.edges(), rng.standard_normal(256)
    for place in (0.01, 0.5, 0.99):
        inside = edges[:-1] + place * np.diff(edges)
        logs = softmax.log_prob(jnp.float32(np.tile(out, (256, 1))), jnp.float32(inside))
        assert abs(np.sum(np.exp(np.float64(logs)) * np.diff(edges)) - 1) < 1e-5


def cdf_of(name):
    """Returns a head, outputs, and the distribution that they stand for."""
    if name == "softmax":
        head, logits = Softmax(6), np.array([0.1, -1.0, 0.5, 0.3, 1.0, 0.0])
        below = np.cumsum([0, *np.exp(logits)]) / np.sum(np.exp(logits))
        return head, logits, lambda x: np.interp(x, head.edges(), below)
    family = stats.norm if name == "gaussian_mixture" else stats.logistic
    mean, scale = MIXTURE[3:6], np.exp(MIXTURE[6:])
    return (
        HEADS[name],
        MIXTURE,
        lambda x: sum(
            w * family.cdf(x, m, s) for w, m, s in zip(WEIGHTS, mean, scale, strict=True)
        ),
    )


@pytest.mark.parametrize("name", ["gaussian_mixture", "logistic_mixture", "softmax"])
def test_draws_have_the_distribution_of_the_density(name):
    """Catches a wrong component, a wrong noise family, or an uneven class interior."""
    head, out, cdf = cdf_of(name)
    values = drawn(head, out)
    assert stats.kstest(values, cdf).pvalue > 1e-3
    assert stats.kstest(values, lambda x: cdf(1.05 * x)).pvalue < 1e-3  # the test can tell


@pytest.mark.parametrize("name", ["gaussian_mixture", "logistic_mixture"])
def test_components_come_as_often_as_their_weights_say(name):
    """Catches Gumbel noise of wrong sign or scale, or keys shared with the component."""
    out = np.concatenate([MIXTURE[:3], [-0.5, 0.0, 0.5], np.full(3, -8.0)])
    values = drawn(HEADS[name], out)
    numbers = np.digitize(values, [-0.25, 0.25])
    counts = np.bincount(numbers, minlength=3)
    assert stats.chisquare(counts, DRAWS * WEIGHTS).pvalue > 1e-3
    assert stats.chisquare(counts, DRAWS * WEIGHTS[::-1]).pvalue < 1e-3
    above = [np.mean(values[numbers == k] > m) for k, m in enumerate((-0.5, 0.0, 0.5))]
    np.testing.assert_allclose(above, 0.5, atol=0.03)


def test_the_noise_is_the_place_within_a_component_or_class():
    """Equal quantiles of noise and draw, also in tails that random logistics miss."""
    noise = np.array([-5.3, -2.0, -0.1, 0.0, 1.0, 5.3])
    keys = jax.random.split(jax.random.key(0), 6)
    out = jnp.broadcast_to(jnp.array([0.0, 0.1, -5.0]), (6, 3))
    logistic = quick_jit(LogisticMixture(1, CLASSES).draw)(out, jnp.float32(noise), keys, 1.0)
    expected = stats.logistic.ppf(stats.norm.cdf(noise), 0.1, np.exp(-5))
    np.testing.assert_allclose(logistic, expected, rtol=1e-5)
    one = jnp.broadcast_to(jnp.where(jnp.arange(256) == 200, 100.0, 0.0), (6, 256))
    low, high = HEADS["softmax"].edges()[200:202]
    draw = quick_jit(HEADS["softmax"].draw)(one, jnp.float32(noise), keys, 1.0)
    np.testing.assert_allclose(draw, low + (high - low) * stats.norm.cdf(noise), rtol=1e-5)


def test_temperature_zero_takes_the_likeliest():
    """Leaves no noise at temperature 0, which may be a traced number."""
    middle = np.mean(HEADS["softmax"].edges()[90:92])
    peak = np.where(np.arange(256) == 90, 0.1, 0.0)
    likeliest = {
        "gaussian": ([0.2, -1.0], 0.2),
        "affine": ([1.0, -0.3], 0.3 / np.e),
        "gaussian_mixture": (MIXTURE, MIXTURE[5]),
        "logistic_mixture": (MIXTURE, MIXTURE[5]),
        "softmax": (peak, middle),
    }
    for name, (out, expected) in likeliest.items():
        np.testing.assert_allclose(drawn(HEADS[name], out, 0.0), expected, rtol=1e-6)


def test_classes_are_even_in_mu_law():
    """Catches a class off by one at its edges, or a curve other than G.711's."""
    softmax = HEADS["softmax"]
    edges = softmax.edges()
    for inside in (edges[:-1] + 1e-6, edges[1:] - 1e-6):
        np.testing.assert_array_equal(softmax.class_of(jnp.float32(inside)), np.arange(256))
    x = np.array([-1.2, -0.9, -0.01, 0.0, 1e-4, 0.5, 1.0, 1.2])
    expected = []
    for value in x:
        companded = np.sign(value) * np.log(1 + 255 * abs(value)) / np.log(256)
        expected.append(min(max(int((companded + 1) / 2 * 256), 0), 255))
    assert softmax.class_of(jnp.float32(x)).tolist() == expected
    np.testing.assert_allclose(edges[[0, 128, 256]], [-1, 0, 1], atol=1e-15)


def test_mean_and_deviation_say_the_same_as_log_scale_and_shift(rng):
    """Compares the two Gaussian heads, and the floor of the deviation."""
    log_scale, offset, x, noise = rng.standard_normal((4, 50)).astype(np.float32)
    affine = np.stack([log_scale, offset], axis=-1)
    plain = np.stack([-offset * np.exp(-log_scale), -log_scale], axis=-1)
    first, second = HEADS["affine"], HEADS["gaussian"]
    density = stats.norm.logpdf(x, plain[:, 0], np.exp(plain[:, 1]))
    np.testing.assert_allclose(first.log_prob(affine, x), density, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(second.log_prob(plain, x), density, rtol=1e-5, atol=1e-5)
    draws = [head.draw(out, noise, None, 0.7) for head, out in ((first, affine), (second, plain))]
    np.testing.assert_allclose(*draws, rtol=1e-5, atol=1e-5)
    for head, out, z in ((first, affine, draws[0]), (second, plain, draws[1])):
        np.testing.assert_allclose(head.latent(out, z)[0], 0.7 * noise, rtol=1e-4, atol=1e-5)
    sharp = second.log_prob(jnp.float32([0.8999, -30.0]), jnp.float32(0.9))
    expected = stats.norm.logpdf(np.float32(0.9), np.float32(0.8999), np.exp(LEAST_LOG_DEVIATION))
    np.testing.assert_allclose(sharp, expected, rtol=1e-6)
