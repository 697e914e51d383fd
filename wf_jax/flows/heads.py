"""The output distributions of a WaveNet: the density of the next sample, and draws from it.

Densities are in nats per sample at full scale 1; the density of a head over classes is taken as
constant over each class, so that all heads compare.
"""

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, ndtr

from wf_jax.flows.flow import LOG_2PI
from wf_jax.flows.wavenet_config import WaveNetConfig

LEAST_LOG_DEVIATION = -9.0  # ClariNet's, four steps of 16 bits
# Of a logistic: 0.4 of half a step of 16 bits, whose own class then has 0.85 of all mass. The usual
# -7 is 60 half steps: no density could be above 5.6 nats per sample, about what speech has.
LEAST_LOG_SCALE = -12.0


class Head(Protocol):
    """A family of distributions over [-1, 1] or all numbers."""

    outputs: int

    def log_prob(self, out: jax.Array, x: jax.Array) -> jax.Array:
        """Computes the log density [...] of samples [...] from outputs [..., O]."""

    def draw(
        self, out: jax.Array, noise: jax.Array, key: jax.Array, temperature: jax.Array | float
    ) -> jax.Array:
        """Draws samples [N] from outputs [N, O].

        Keys [N] choose the component or class, standard normal noise [N] the value within it.
        """


class Gaussian:
    """Mean and log deviation (ClariNet), or the log scale and shift of a flow.

    z = exp(log_scale) x + shift is standard normal, so mean = -shift exp(-log_scale) and deviation
    = exp(-log_scale).
    """

    outputs = 2

    def __init__(self, *, affine: bool):
        """Takes mean and log deviation as outputs, or log scale and shift if `affine`."""
        self.affine = affine

    def latent(self, out: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps outputs [..., 2], samples [...] to z and its log scale: dz = exp(log_scale) dx."""
        first, second = out[..., 0], out[..., 1]
        if self.affine:
            return x * jnp.exp(first) + second, first
        # The difference first: x and mean are close, and 8,000 deviations large.
        log_scale = -jnp.maximum(second, LEAST_LOG_DEVIATION)
        return (x - first) * jnp.exp(log_scale), log_scale

    def log_prob(self, out: jax.Array, x: jax.Array) -> jax.Array:
        """See Head."""
        z, log_scale = self.latent(out, x)
        return log_scale - 0.5 * jnp.square(z) - 0.5 * LOG_2PI

    def draw(
        self, out: jax.Array, noise: jax.Array, key: jax.Array, temperature: jax.Array | float
    ) -> jax.Array:
        """See Head; not limited, so that it is the inverse of the density's map."""
        del key
        first, second = out[..., 0], out[..., 1]
        if self.affine:
            return (temperature * noise - second) * jnp.exp(-first)
        return first + temperature * noise * jnp.exp(jnp.maximum(second, LEAST_LOG_DEVIATION))


class GaussianMixture:
    """Logits, means and log deviations of several Gaussians."""

    def __init__(self, mixtures: int):
        """Makes a mixture of so many Gaussians."""
        self.mixtures, self.outputs = mixtures, 3 * mixtures

    def log_prob(self, out: jax.Array, x: jax.Array) -> jax.Array:
        """See Head."""
        logits, mean, log_deviation = self._parts(out)
        z = (x[..., None] - mean) * jnp.exp(-log_deviation)
        each = -0.5 * jnp.square(z) - log_deviation - 0.5 * LOG_2PI
        return jax.nn.logsumexp(each + jax.nn.log_softmax(logits), axis=-1)

    def draw(
        self, out: jax.Array, noise: jax.Array, key: jax.Array, temperature: jax.Array | float
    ) -> jax.Array:
        """See Head; limited to full scale."""
        logits, mean, log_deviation = self._parts(out)
        mean, log_deviation = _choose(logits, (mean, log_deviation), key, temperature)
        return jnp.clip(mean + temperature * jnp.exp(log_deviation) * noise, -1, 1)

    def _parts(self, out: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        logits, mean, log_deviation = jnp.split(out, 3, axis=-1)
        return logits, mean, jnp.maximum(log_deviation, LEAST_LOG_DEVIATION)


class LogisticMixture:
    """Logits, means and log scales of several logistics, their mass taken over classes.

    Q classes stand at even distances from -1 to 1; each takes the mass around it, the first and the
    last all that is beyond (Salimans et al., "PixelCNN++", 2017).
    """

    def __init__(self, mixtures: int, classes: int):
        """Makes a mixture of so many logistics over Q classes."""
        self.mixtures, self.outputs, self.classes = mixtures, 3 * mixtures, classes

    def log_prob(self, out: jax.Array, x: jax.Array) -> jax.Array:
        """See Head: log of the class's probability over its width."""
        return self.log_mass(out, x) + np.log((self.classes - 1) / 2)

    def log_mass(self, out: jax.Array, x: jax.Array) -> jax.Array:
        """Computes the log of the probability of the class at x [...]."""
        logits, mean, log_scale = self._parts(out)
        half = 1 / (self.classes - 1)
        centered, inverse = x[..., None] - mean, jnp.exp(-log_scale)
        above, below = inverse * (centered + half), inverse * (centered - half)
        inside = _log_difference(above, below, np.log(2 * half) - log_scale)
        lowest, highest = jax.nn.log_sigmoid(above), jax.nn.log_sigmoid(-below)
        edge = 1 - half  # x may be a rounding away from the class it means
        each = jnp.where(
            x[..., None] < -edge, lowest, jnp.where(x[..., None] > edge, highest, inside)
        )
        return jax.nn.logsumexp(each + jax.nn.log_softmax(logits), axis=-1)

    def draw(
        self, out: jax.Array, noise: jax.Array, key: jax.Array, temperature: jax.Array | float
    ) -> jax.Array:
        """See Head; limited to full scale.

        The noise becomes logistic through the logit of its distribution function, whose float32
        tails are right; `jax.random.logistic` gives -87 for one draw in 8 million: a click.
        """
        logits, mean, log_scale = self._parts(out)
        mean, log_scale = _choose(logits, (mean, log_scale), key, temperature)
        value = log_ndtr(noise) - log_ndtr(-noise)
        return jnp.clip(mean + temperature * jnp.exp(log_scale) * value, -1, 1)

    def _parts(self, out: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        logits, mean, log_scale = jnp.split(out, 3, axis=-1)
        return logits, mean, jnp.maximum(log_scale, LEAST_LOG_SCALE)


class Softmax:
    """Logits of classes that are even in mu-law (G.711's curve, mu = classes - 1).

    Within a class the density is constant and draws are even.
    """

    def __init__(self, classes: int):
        """Makes a softmax over so many classes."""
        self.outputs, self.mu = classes, classes - 1

    def log_prob(self, out: jax.Array, x: jax.Array) -> jax.Array:
        """See Head: log of the class's probability over its width."""
        chosen = self.class_of(x)
        logs = jnp.take_along_axis(jax.nn.log_softmax(out), chosen[..., None], axis=-1)[..., 0]
        edges = self.edges()
        widths = jnp.asarray(np.log(np.diff(edges)), out.dtype)
        return logs - widths[chosen]

    def draw(
        self, out: jax.Array, noise: jax.Array, key: jax.Array, temperature: jax.Array | float
    ) -> jax.Array:
        """See Head."""
        edges = jnp.asarray(self.edges(), out.dtype)
        chosen = _component(out, key, temperature)
        low, high = edges[chosen], edges[chosen + 1]
        return low + (high - low) * (0.5 + temperature * (ndtr(noise) - 0.5))

    def class_of(self, x: jax.Array) -> jax.Array:
        """Returns the class numbers of samples [...], int32 [...]."""
        companded = jnp.sign(x) * jnp.log1p(self.mu * jnp.abs(x)) / np.log1p(self.mu)
        number = jnp.floor((companded + 1) / 2 * self.outputs).astype(jnp.int32)
        return jnp.clip(number, 0, self.outputs - 1)

    def edges(self) -> np.ndarray:
        """Edges of the classes in [-1, 1], float64 [classes + 1]."""
        companded = np.linspace(-1, 1, self.outputs + 1)
        return np.sign(companded) * np.expm1(np.abs(companded) * np.log1p(self.mu)) / self.mu


def head_of(config: WaveNetConfig) -> Head:
    """Makes the head that a config names."""
    if config.head in ("gaussian", "affine"):
        return Gaussian(affine=config.head == "affine")
    if config.head == "gaussian_mixture":
        return GaussianMixture(config.mixtures)
    if config.head == "logistic_mixture":
        return LogisticMixture(config.mixtures, config.classes)
    return Softmax(config.companded_classes)


def _log_difference(above: jax.Array, below: jax.Array, log_width: jax.Array) -> jax.Array:
    """Computes log(sigmoid(above) - sigmoid(below)), above - below = exp(log_width), however small.

    sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)).
    """
    narrow = log_width < -8
    series = jnp.exp(jnp.where(narrow, log_width, -8.0))  # finite, too, where it is not taken
    width = jnp.exp(jnp.where(narrow, -8.0, log_width))
    log_rest = jnp.where(
        narrow,
        log_width - series / 2 + jnp.square(series) / 24,
        jnp.log(-jnp.expm1(-width)),
    )
    return jax.nn.log_sigmoid(above) + jax.nn.log_sigmoid(-below) + log_rest


def _component(logits: jax.Array, keys: jax.Array, temperature: jax.Array | float) -> jax.Array:
    """Draws a component [N] from logits [N, K] by the Gumbel-max trick; at 0 the likeliest."""
    gumbel = jax.vmap(lambda k: jax.random.gumbel(k, logits.shape[-1:], logits.dtype))(keys)
    return jnp.argmax(logits + temperature * gumbel, axis=-1)


def _choose(
    logits: jax.Array,
    values: tuple[jax.Array, ...],
    keys: jax.Array,
    temperature: jax.Array | float,
) -> tuple[jax.Array, ...]:
    """Picks from values [N, K] those [N] of the component that each row's logits draw."""
    chosen = _component(logits, keys, temperature)[..., None]
    return tuple(jnp.take_along_axis(value, chosen, axis=-1)[..., 0] for value in values)
