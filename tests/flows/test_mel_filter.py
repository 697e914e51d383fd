"""The filter from the mel: against slow loops in float64, and what it does to noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_toeplitz

from tests.flows import small
from tests.quick_jit import quick_jit
from wf_jax.audio.mel import MelSettings, mel_spectrogram
from wf_jax.flows.mel_filter import (
    Filter,
    _autocorrelation,
    _emphasized,
    _levinson,
    _predictor,
    color,
    mel_filters,
    whiten,
)

filters_of = quick_jit(mel_filters, static_argnums=(1, 2))
whitened, colored = quick_jit(whiten), quick_jit(color)


def filters(rng, batch, blocks, order):
    """Draws stable predictors and scales."""
    reflection = 0.8 * rng.uniform(-1, 1, (batch, blocks, order))
    with jax.enable_x64(True):
        scales = jnp.asarray(0.3 * rng.standard_normal((batch, blocks)))
        return Filter(_predictor(jnp.asarray(reflection)), scales)


def test_whiten_and_color_are_loops(rng):
    by, x = filters(rng, 2, 5, 4), rng.standard_normal((2, 20))
    e, taps, log_scale = np.zeros_like(x), np.asarray(by.taps), np.asarray(by.log_scale)
    for b in range(2):
        for t in range(20):
            past = [x[b, t - k] if t >= k else 0.0 for k in range(1, 5)]
            e[b, t] = (x[b, t] + taps[b, t // 4] @ past) * np.exp(-log_scale[b, t // 4])
    with jax.enable_x64(True):
        np.testing.assert_allclose(whiten(jnp.asarray(x), by), e, atol=1e-12)
        np.testing.assert_allclose(color(jnp.asarray(e), by), x, atol=1e-10)


def test_the_recursion_solves_the_normal_equations(rng):
    x = np.convolve(rng.standard_normal(500), rng.standard_normal(8))
    r = np.correlate(x, x, "full")[len(x) - 1 : len(x) + 6]
    with jax.enable_x64(True):
        reflection, error = _levinson(jnp.asarray(r))
        taps = np.asarray(_predictor(reflection))
    expected = solve_toeplitz(r[:-1], -r[1:])
    np.testing.assert_allclose(taps, expected, rtol=1e-9)
    np.testing.assert_allclose(error, r[0] + expected @ r[1:], rtol=1e-9)


def test_emphasis_is_that_of_the_spectrum(rng):
    """Compares with the autocorrelation of a filtered impulse response, from its spectrum."""
    h = rng.standard_normal(6)
    power = np.abs(np.fft.rfft(h, 256)) ** 2
    filtered = np.convolve(h, [1, -0.95])
    expected = np.correlate(filtered, filtered, "full")[len(filtered) - 1 :][:4]
    with jax.enable_x64(True):
        found = _autocorrelation(jnp.asarray(power[None, None]), 3)[0, 0]
        taps = np.asarray(_emphasized(np.array([0.5, -0.25, 0.0])))
    np.testing.assert_allclose(found, expected, rtol=1e-4)  # white noise is added
    np.testing.assert_allclose(taps, np.convolve([1, 0.5, -0.25], [1, -0.95])[1:], rtol=1e-12)


def test_it_whitens_noise_of_any_color(rng):
    """Takes the spectrum from the mel alone: what is left has variance 1 and no color."""
    settings = MelSettings()
    x = rng.standard_normal(22050 + 256 * 2)
    for pole in (0.9, 0.5 + 0.6j, 0.5 - 0.6j):
        for t in range(1, len(x)):
            x = x.astype(complex) if isinstance(pole, complex) else x
            x[t] += pole * x[t - 1]
    x = (0.01 * x.real)[None, : 86 * 256].astype(np.float32)
    mel = mel_spectrogram(x, settings)
    emphasis, predictor = filters_of(mel.swapaxes(1, 2), settings, 32)
    e = np.asarray(whitened(whitened(x, emphasis), predictor))[0, 512:-512]
    assert np.var(e) == pytest.approx(1, abs=0.2)
    r = np.correlate(e, e, "full")[len(e) - 1 :][1:20] / np.sum(e**2)
    assert np.abs(r).max() < 0.1
    assert np.abs(np.correlate(x[0], x[0], "full")[x.shape[1]] / np.sum(x**2)) > 0.8


def test_any_mel_gives_a_filter_that_can_be_used(rng):
    """Holds for mels that no audio has, too: numbers everywhere, and a stable way back."""
    settings = small.MEL
    for scale, middle in ((0, -11.5), (8, -5), (30, 0), (0, 8)):
        mel = (middle + scale * rng.standard_normal((2, 6, 4))).astype(np.float32)
        emphasis, predictor = filters_of(mel, settings, 4)
        e = rng.standard_normal((2, 96)).astype(np.float32)
        assert np.isfinite(predictor.taps).all()
        x = np.asarray(colored(colored(jnp.asarray(e), predictor), emphasis))
        assert np.isfinite(x).all()


def test_rounding_is_magnified_little(rng):
    """Colors noise steeply in float32, by filters that are exact: close to float64."""
    settings = MelSettings()
    slope = np.linspace(2, -9, 80)[:, None] + 0.3 * rng.standard_normal((80, 40))
    e = rng.standard_normal((1, 40 * 256))
    with jax.enable_x64(True):
        emphasis, predictor = filters_of(jnp.asarray(slope.T[None]), settings, 32)
        expected = np.asarray(colored(colored(jnp.asarray(e), predictor), emphasis))
    emphasis, predictor = (
        Filter(*(jnp.asarray(np.float32(v)) for v in by)) for by in (emphasis, predictor)
    )
    found = colored(colored(jnp.asarray(np.float32(e)), predictor), emphasis)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
