"""Pulling audio to a mel, against librosa-like loops and on noise."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.quick_jit import quick_jit
from wf_jax.audio.clips import clip_mel
from wf_jax.audio.mel import MelSettings, mel_of_clips, mel_spectrogram
from wf_jax.audio.mel_matching import bands_to_bins, match_mel, pulled_noise
from wf_jax.audio.stft import frames_from, overlap_add

SETTINGS = MelSettings()
matched = quick_jit(match_mel, static_argnums=(3, 4))
HOP = SETTINGS.hop_length


@pytest.mark.parametrize("size", [12, 10])
def test_overlap_add_is_the_transpose_of_frames(rng, size):
    x, framed = rng.standard_normal(28), rng.standard_normal((5, size))
    added = np.asarray(overlap_add(jnp.asarray(framed), 4))
    assert added.shape == (28,)
    cut = np.asarray(frames_from(jnp.asarray(x), 5, 4, size))
    assert np.sum(added * x) == pytest.approx(np.sum(framed * cut), rel=1e-5)


def test_noise_gets_the_mel_of_speech(rng):
    """Takes the mel of a gliding tone: the error falls, and what is right stays as it is."""
    t = np.arange(60 * HOP) / SETTINGS.sample_rate
    tone = np.sin(2 * np.pi * (300 * t + 200 * t**2)) * (0.2 + 0.1 * np.sin(20 * t))
    wanted = 0.3 * tone + 0.01 * rng.standard_normal(len(t))
    noise = 0.05 * rng.standard_normal(len(t))
    x = np.stack([wanted, noise]).astype(np.float32)
    mel = jnp.broadcast_to(mel_spectrogram(x[:1], SETTINGS), (2, 80, 60))
    lengths = jnp.full(2, len(t), jnp.int32)
    errors = []
    for times in (0, 1, 16):
        found = np.asarray(matched(jnp.asarray(x), mel, lengths, SETTINGS, times))
        np.testing.assert_allclose(found[0], x[0], atol=2e-4)
        errors.append(float(jnp.mean(jnp.abs(mel_spectrogram(found[1], SETTINGS) - mel[1]))))
    assert errors[0] > 0.5
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[0] / 5


def test_a_clip_does_not_depend_on_its_batch(rng):
    x = 0.1 * rng.standard_normal((2, 20 * HOP)).astype(np.float32)
    lengths = jnp.array([20 * HOP, 11 * HOP - 7], jnp.int32)
    x[1, 11 * HOP - 7 :] = 0
    mel = mel_of_clips(x, lengths, SETTINGS) + 0.5
    both = np.asarray(matched(jnp.asarray(x), mel, lengths, SETTINGS, 3))
    alone = matched(jnp.asarray(x[1:, : 11 * HOP]), mel[1:, :, :11], lengths[1:], SETTINGS, 3)
    np.testing.assert_allclose(both[1, : 11 * HOP], alone[0], atol=1e-5)
    assert not both[1, 11 * HOP - 7 :].any()


@pytest.mark.parametrize("factor", [0.02, 1.0, 20.0])
def test_what_no_band_hears_is_never_raised(rng, factor):
    """Takes mels of the same noise, quieter and louder, of which bands hear up to 8 kHz."""
    x = (0.1 * rng.standard_normal((1, 40 * HOP))).astype(np.float32)
    lengths = jnp.array([40 * HOP], jnp.int32)
    mel = mel_of_clips(factor * x, lengths, SETTINGS)
    found = np.asarray(matched(jnp.asarray(x), mel, lengths, SETTINGS, 60))
    high = np.fft.rfftfreq(x.shape[1], 1 / SETTINGS.sample_rate) > 8_200
    before, after = (np.linalg.norm(np.fft.rfft(y[0])[high]) for y in (x, found))
    assert after == pytest.approx(min(factor, 1) * before, rel=0.1)


def test_a_burst_that_no_band_hears_is_lowered(rng):
    """Adds 10 kHz to a part of noise: as small flows draw it now and then, 30 dB above the rest."""
    x = (0.05 * rng.standard_normal(200 * HOP)).astype(np.float32)
    part = slice(100 * HOP, 103 * HOP)
    burst = np.sin(2 * np.pi * 10_000 / SETTINGS.sample_rate * np.arange(3 * HOP))
    spoiled = x.copy()
    spoiled[part] += burst
    mel = mel_of_clips(x[None], jnp.array([len(x)]), SETTINGS)
    lengths = jnp.array([len(x)], jnp.int32)
    found = np.asarray(matched(jnp.asarray(spoiled[None]), mel, lengths, SETTINGS, 60))[0]
    high = np.fft.rfftfreq(3 * HOP, 1 / SETTINGS.sample_rate) > 8_200
    levels = [np.linalg.norm(np.fft.rfft(y[part])[high]) for y in (x, spoiled, found)]
    assert levels[1] > 8 * levels[0]
    assert levels[2] < 4 * levels[0]


@pytest.mark.parametrize("sizes", [(1024, 1024, 256), (1024, 400, 300), (512, 512, 512)])
def test_noise_is_pulled_without_a_model(rng, sizes):
    settings = MelSettings(**dict(zip(("n_fft", "win_length", "hop_length"), sizes, strict=True)))
    x = np.cumsum(0.02 * rng.standard_normal(9_001)).astype(np.float32)
    x -= x.mean()
    mel = clip_mel(x, settings)
    pulled = pulled_noise(mel, settings, len(x))
    assert pulled.shape == x.shape
    assert pulled.dtype == np.float32
    assert np.abs(clip_mel(pulled, settings) - mel).mean() < 0.1
    np.testing.assert_array_equal(pulled, pulled_noise(mel, settings, len(x)))


def test_bins_between_bands_are_interpolated():
    spread = bands_to_bins(SETTINGS)
    np.testing.assert_allclose(spread.sum(axis=0), 1)
    assert ((spread > 0).sum(axis=0) <= 2).all()
    assert spread[0, 0] == 1
    assert spread[-1, -1] == 1
