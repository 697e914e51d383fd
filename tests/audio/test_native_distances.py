"""Spectral distances in machine code: values and gradients of the general form in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from tests.amps.native_models import Guarded, forgetting
from tests.quick_jit import quick_jit
from wf_jax.audio.native import distances as code
from wf_jax.audio.native.distances import spectral_distances
from wf_jax.audio.native.spectra import log_polynomial
from wf_jax.audio.spectral_loss import POWER_FLOOR, RESOLUTIONS, multi_resolution_stft
from wf_jax.audio.stft import stft_magnitude
from wf_jax.native import calls

SMALL = ((64, 10, 40), (32, 8, 32), (8, 3, 6))


@pytest.fixture
def fresh(monkeypatch):
    """No compiled code in memory."""
    return forgetting(monkeypatch, code, "_loaded")


def pair(captures=1, rows=3, samples=900, seed=0):
    """Colored noise, and what is like it."""
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.normal(size=(captures, rows, samples)), -1) * 0.01
    p = 0.8 * t + 0.02 * rng.normal(size=t.shape)
    return np.float32(p), np.float32(t)


def again(value):
    return pytest.param(value, marks=pytest.mark.slow)


def general(p, t, resolutions, errors, logarithms):
    """The distances in float64, and the gradient of a weighted sum of them."""

    def distances(p):
        spectra = [[stft_magnitude(x, *r, POWER_FLOOR) for x in (p, t)] for r in resolutions]
        error = jnp.stack([jnp.square(a - b).sum((-2, -1)) for a, b in spectra], -1)
        energy = jnp.stack([jnp.square(b).sum((-2, -1)) for _, b in spectra], -1)
        distance = [jnp.abs(jnp.log(a / b)).mean((-2, -1)) for a, b in spectra]
        return error, energy, sum(distance) / len(distance)

    def scalar(p):
        error, _, distance = found = distances(p)
        return (errors * error).sum() + (logarithms * distance).sum(), found

    with jax.enable_x64(True):
        t = jnp.float64(t)
        differentiated = quick_jit(jax.value_and_grad(scalar, has_aux=True))
        (_, found), gradient = differentiated(jnp.float64(p))
        return jax.device_get((found, gradient))


def native(p, t, resolutions, errors, logarithms):
    def scalar(p):
        error, _, distance = found = spectral_distances(p, t, resolutions, POWER_FLOOR)
        return (errors * error).sum() + (logarithms * distance).sum(), found

    (_, found), gradient = jax.jit(jax.value_and_grad(scalar, has_aux=True))(p)
    return jax.device_get((found, gradient))


def weights(p, resolutions, seed=1):
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=(*p.shape[:2], len(resolutions))) / p.shape[-1]
    return np.float32(errors), np.float32(rng.normal(size=p.shape[:2]))


def assert_alike(p, t, resolutions, tolerance=1e-3):
    w = weights(p, resolutions)
    found, gradient = native(p, t, resolutions, *w)
    expected, expected_gradient = general(p, t, resolutions, *w)
    for value, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, right, rtol=2e-5)
    # Of bins near silence the gradient is a rounding over a rounding, in any form in float32.
    distance = np.linalg.norm(gradient - expected_gradient)
    assert distance < tolerance * np.linalg.norm(expected_gradient)


@pytest.mark.parametrize("samples", [again(601), again(900), 2047])
def test_distances_and_gradients_are_those_of_the_general_form(samples):
    assert_alike(*pair(samples=samples), RESOLUTIONS)


@pytest.mark.parametrize("samples", [25, again(26), again(159), 160, 161, again(500)])
def test_any_length_and_number_of_frames(samples):
    assert_alike(*pair(captures=2, samples=samples), SMALL)


@pytest.mark.parametrize("size", [2, again(4), again(8), 16, again(128), 256])
def test_any_power_of_two(size):
    assert_alike(*pair(samples=300), ((size, 7, size),))


def test_edges_that_are_reflected_more_than_once():
    assert_alike(*pair(samples=100), ((512, 50, 240),))


def test_a_published_value():
    """Of auraloss, see `test_losses.py`."""
    t = np.arange(8192) / 48000
    p = np.float32(0.5 * np.sin(2 * np.pi * 220 * t) + 0.01 * np.cos(2 * np.pi * 3001 * t))
    t = np.float32(0.4 * np.sin(2 * np.pi * 220 * t + 0.1))
    (loss,) = multi_resolution_stft(p[None, None], t[None, None], native=True)
    assert float(loss) == pytest.approx(0.498560429, rel=8e-6)


def test_logarithms_are_exact_to_float32():
    """The coefficients, over the whole range of a mantissa."""
    f = np.linspace(np.sqrt(0.5), np.sqrt(2), 10001) - 1
    found = f - f * f / 2 + f**3 * np.polynomial.polynomial.polyval(f, log_polynomial())
    np.testing.assert_allclose(found, np.log1p(f), rtol=6e-8, atol=0)


def test_silence_has_no_gradient():
    p, t = pair()
    (error, energy, distance), gradient = native(0 * p, t, SMALL, *weights(p, SMALL))
    assert np.isfinite([error.sum(), energy.sum(), distance.sum()]).all()
    np.testing.assert_array_equal(gradient, 0)
    (error, energy, distance), _ = native(0 * p, 0 * t, SMALL, *weights(p, SMALL))
    np.testing.assert_array_equal(error, 0)
    np.testing.assert_array_equal(distance, 0)
    bins = sum((1 + 900 // hop) * (size // 2 + 1) for size, hop, _ in SMALL)
    np.testing.assert_allclose(energy.sum(-1), bins * POWER_FLOOR, rtol=1e-5)


def test_equal_signals_are_no_distance_apart():
    _, t = pair()
    (error, _, distance), gradient = native(t, t, SMALL, *weights(t, SMALL))
    assert error.max() < 1e-9
    assert distance.max() < 1e-4
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_stay_in_their_row(value):
    p, t = pair()
    clean = native(p, t, SMALL, *weights(p, SMALL))
    spoiled = p.copy()
    spoiled[0, 1, 70] = value
    (error, _, _), gradient = native(spoiled, t, SMALL, *weights(p, SMALL))
    assert not np.isfinite(error[0, 1]).any()
    assert not np.isfinite(gradient[0, 1]).all()
    for row in (0, 2):
        np.testing.assert_array_equal(error[0, row], clean[0][0][0, row])
        np.testing.assert_array_equal(gradient[0, row], clean[1][0, row])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_bits_do_not_depend_on_threads_and_what_was_computed_before(threads, fresh, monkeypatch):
    p, t = pair(rows=8)
    expected = native(p, t, SMALL, *weights(p, SMALL))
    fresh()
    monkeypatch.setattr(code, "available_cores", lambda: threads)
    native(1e3 * p, t, SMALL, *weights(p, SMALL))  # leaves its traces in the arenas
    found = native(p, t, SMALL, *weights(p, SMALL))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("at_end", [True, False])
def test_nothing_is_touched_but_the_arena(at_end, fresh, monkeypatch):
    kept = []

    def guarded(size):
        kept.append(Guarded(size, at_end))
        return kept[-1].array

    monkeypatch.setattr(calls, "empty", guarded)
    monkeypatch.setattr(code, "available_cores", lambda: 1)
    assert_alike(*pair(), RESOLUTIONS)
    assert len(kept) == 1


@pytest.mark.parametrize("lanes", [again(4), 8, again(16)])
def test_vectors_of_other_processors_compute_alike(lanes, fresh, monkeypatch):
    """LLVM makes vectors of what this processor has, so they can be run here."""
    target = dataclasses.replace(code.host(), lanes=lanes)
    monkeypatch.setattr(code, "host", lambda: target)
    assert_alike(*pair(), SMALL)


def test_the_loss_of_several_devices_is_that_of_one():
    p, t = pair(rows=4)
    t = t * np.float32([[1], [0.1], [2], [0.5]])
    mesh = Mesh(np.array(jax.devices()[:2]), ("device",))
    share = PartitionSpec(None, "device")

    def loss(p, t, native, axis):
        return multi_resolution_stft(p, t, axis, native=native)

    def found(p, t):
        value, gradient = jax.value_and_grad(lambda p: loss(p, t, True, "device").sum())(p)
        return value[None], gradient

    shared = jax.jit(
        jax.shard_map(
            found, mesh=mesh, in_specs=(share, share), out_specs=(PartitionSpec("device"), share)
        )
    )
    values, gradient = shared(p, t)
    expected = jax.jit(jax.value_and_grad(lambda p: loss(p, t, False, None).sum()))(p)
    np.testing.assert_allclose(values, expected[0], rtol=1e-5)
    distance = np.linalg.norm(gradient - expected[1])
    assert distance < 1e-3 * np.linalg.norm(gradient)


@pytest.mark.parametrize(
    "resolution", [(48, 4, 8), (1, 1, 2), (16, 0, 8), (16, 4, 7), (16, 4, 18), (16, 4, 0)]
)
def test_refuses_resolutions_that_are_none(resolution):
    p, t = pair()
    with pytest.raises(ValueError, match="give an FFT size that is a power of two"):
        spectral_distances(p, t, (resolution,), POWER_FLOOR)


@pytest.mark.parametrize(
    ("p", "t"),
    [
        ((3, 900), (3, 900)),
        ((1, 1, 3, 900), (1, 1, 3, 900)),
        ((2, 3, 900), (1, 3, 900)),
        ((1, 3, 900), (1, 3, 901)),
    ],
)
def test_refuses_arrays_that_do_not_fit(p, t):
    with pytest.raises(ValueError, match=r"are not \[N, B, T\] alike"):
        multi_resolution_stft(np.zeros(p, np.float32), np.zeros(t, np.float32), native=True)


@pytest.mark.parametrize("shape", [(0, 3, 900), (2, 0, 900)])
def test_nothing_to_compare(shape):
    nothing = np.zeros(shape, np.float32)
    found = spectral_distances(nothing, nothing, SMALL, POWER_FLOOR)
    assert [x.shape for x in found] == [(*shape[:2], 3), (*shape[:2], 3), shape[:2]]


def test_refuses_what_it_cannot_do():
    p, t = pair()
    with pytest.raises(TypeError, match="of float32, here is int32"):
        spectral_distances(p.astype(np.int32), t, SMALL, POWER_FLOOR)
    with pytest.raises(TypeError, match="no derivative with respect to t"):
        jax.grad(lambda t: spectral_distances(p, t, SMALL, POWER_FLOOR)[0].sum())(t)
