"""Pitch of every mel frame: of tones and glides whose pitch and phase are known."""

import jax
import numpy as np
import pytest
from scipy.signal import lfilter

from tests.quick_jit import quick_jit
from wf_jax.audio.mel import MelSettings, mel_of_context
from wf_jax.audio.pitch_rows import pitch_of_context, pitch_range

SETTINGS = MelSettings()
pitch_rows = quick_jit(pitch_of_context, static_argnums=2)
RATE, HOP = SETTINGS.sample_rate, SETTINGS.hop_length


def voice(cycles, harmonics=12):
    """Sums falling harmonics of a phase in cycles; the first is a cosine."""
    numbers = np.arange(1, harmonics + 1)[:, None]
    return 0.1 * np.sum(np.cos(2 * np.pi * numbers * cycles) / numbers, axis=0)


def rows(x):
    x = np.asarray(x, np.float32)[None]
    frames = 1 + (x.shape[1] - SETTINGS.n_fft) // HOP
    return np.asarray(pitch_rows(x, np.zeros((1, frames, 1), np.float32), SETTINGS))[0]


def centers(x):
    """Returns the sample that each frame is centered on."""
    return SETTINGS.n_fft // 2 + HOP * np.arange(1 + (len(x) - SETTINGS.n_fft) // HOP)


@pytest.mark.parametrize("f0", [75.0, 110.0, 165.3, 221.7, 333.3, 480.0])
def test_a_tone(f0):
    cycles = f0 * np.arange(RATE // 2) / RATE + 0.1
    voicing, log_f0, phase = rows(voice(cycles))
    np.testing.assert_array_equal(voicing, 1)
    np.testing.assert_allclose(1200 / np.log(2) * (log_f0 - np.log(f0)), 0, atol=10)  # cents
    apart = phase - cycles[centers(cycles)]
    np.testing.assert_allclose(apart - np.round(apart), 0, atol=0.02)


def test_a_glide():
    f0 = np.linspace(150, 250, RATE)
    cycles = np.cumsum(f0) / RATE
    voicing, log_f0, phase = rows(voice(cycles, 6))
    places = centers(cycles)
    np.testing.assert_array_equal(voicing, 1)
    np.testing.assert_allclose(np.exp(log_f0), f0[places], rtol=0.01)
    apart = phase - cycles[places]
    np.testing.assert_allclose(apart - np.round(apart), 0, atol=0.05)


@pytest.mark.parametrize("level", [0.0, 1e-5, 0.1])
def test_silence_and_noise_are_not_voiced(level):
    noise = level * np.random.default_rng(0).standard_normal(RATE)
    voicing, log_f0, phase = rows(noise)
    assert np.mean(voicing) < 0.05
    assert np.isfinite(log_f0).all()
    assert np.isfinite(phase).all()
    lowest, highest = pitch_range(SETTINGS)
    assert np.exp(log_f0).min() > 0.9 * lowest
    assert np.exp(log_f0).max() < 1.1 * highest


def test_frames_are_those_of_the_mel():
    x = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    mel = jax.eval_shape(lambda x: mel_of_context(x, SETTINGS), x)
    taps = np.zeros((2, mel.shape[2], 1), np.float32)
    assert pitch_rows(x, taps, SETTINGS).shape == (2, 3, mel.shape[2])


def test_pulses_of_either_sign_are_found_behind_a_filter():
    """Filters pulses: with the inverse filter their places come back, as they do turned over."""
    places = np.arange(3000, 20000, 150)
    pulses = np.zeros(22050)
    pulses[places] = 1
    x = lfilter([1.0], [1, -1.6, 0.9], pulses).astype(np.float32)
    frames = 1 + (len(x) - SETTINGS.n_fft) // HOP
    taps = np.broadcast_to(np.float32([-1.6, 0.9]), (2, frames, 2))
    found = np.asarray(pitch_rows(np.stack([0.1 * x, -0.1 * x]), taps, SETTINGS))
    inner = slice(15, 70)
    np.testing.assert_array_equal(found[0, 0, inner], 1)
    expected = (centers(x) - 3000) / 150
    apart = (found[:, 2] - expected)[:, inner]
    np.testing.assert_allclose(apart - np.round(apart), 0, atol=0.02)
