"""Compares mels with librosa 1.0 (mel_reference.npz), which is not needed to run this.

Per settings and framing the file holds librosa.feature.melspectrogram(power=1, norm="slaney",
htk=False) of `signal` filled up to whole hops (center=False: reflected by (n_fft - hop) // 2
first), ln of max(mel, 1e-5), the first ceil(T / hop) frames; and librosa.filters.mel.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wf_jax.audio.mel import (
    MelSettings,
    mel_filterbank,
    mel_of_context,
    mel_spectrogram,
    peak_gain,
)

SETTINGS = {
    "22k": MelSettings(),
    "16k": MelSettings(16000, 1024, 200, 800, 80, 0.0, 8000.0),
    "24k": MelSettings(24000, 2048, 300, 1200, 80, 0.0, 12000.0),
    "44k": MelSettings(44100, 2048, 512, 2048, 128, 30.0, 16000.0),
}
CASES = [(name, center) for name in SETTINGS for center in (True, False)]


def signal(mel: MelSettings) -> np.ndarray:
    """Makes six begun hops: a rising tone, and noise from an integer recurrence, 16 dB below."""
    n = np.arange(5 * mel.hop_length + 77)
    noise, state = [], 1
    for _ in n:
        state = (1103515245 * state + 12345) % 2**31
        noise.append(state / 2**30 - 1)
    return 0.4 * np.sin(0.01 * n + 2e-5 * n**2) + 0.08 * np.array(noise)


@pytest.fixture(scope="module")
def reference():
    with np.load(Path(__file__).parent / "data" / "mel_reference.npz") as file:
        return dict(file)


@pytest.mark.parametrize(("name", "center"), CASES)
def test_equals_librosa(reference, name, center):
    mel = dataclasses.replace(SETTINGS[name], center=center)
    x, expected = signal(mel), reference[f"{name}_{center}"]
    single = mel_spectrogram(np.float32(x), mel)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, expected, atol=1e-5)
    with jax.enable_x64(True):
        np.testing.assert_allclose(mel_spectrogram(x, mel), expected, atol=1e-11)


@pytest.mark.parametrize("name", SETTINGS)
def test_filters_equal_librosas(reference, name):
    filters = mel_filterbank(SETTINGS[name])
    assert filters.dtype == np.float64
    np.testing.assert_allclose(filters[:, ::7], reference[f"filters_{name}"], atol=1e-12)


def test_filters_have_unit_area():
    area = mel_filterbank(MelSettings(n_fft=1 << 16)).sum(axis=1) * 22050 / (1 << 16)
    np.testing.assert_allclose(area, 1, rtol=1e-3)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("first", [3, 4, 17])
def test_excerpt_with_context_is_the_whole_clips(rng, center, first):
    mel = MelSettings(center=center)
    x = rng.normal(size=(2, 40 * 256)).astype(np.float32)
    start = first * mel.hop_length - mel.padding
    excerpt = x[:, start : start + 4 * mel.hop_length + mel.n_fft]
    whole = mel_spectrogram(x, mel)[..., first : first + 5]
    np.testing.assert_allclose(mel_of_context(excerpt, mel), whole, atol=1e-5)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1500), st.sampled_from([50, 200, 255, 400]), st.booleans())
def test_any_length_gives_its_begun_hops(samples, hop, center):
    mel = MelSettings(16000, 512, hop, 400, 40, center=center)
    out = mel_spectrogram(np.linspace(-1, 1, samples, dtype=np.float32), mel)
    assert out.shape == (40, -(-samples // hop)) == (40, mel.frames(samples))
    assert np.isfinite(out).all()


def test_block_centered_frames_are_in_time():
    """A burst in the middle of block 10 shows in frame 10 most, and alike in 9 and 11."""
    x = np.zeros(20 * 256, np.float32)
    middle = 10 * 256 + 128
    x[middle - 8 : middle + 8] = 0.5 * np.hanning(16)
    level = np.asarray(mel_spectrogram(x, MelSettings(center=False)))[30]
    assert level.argmax() == 10
    assert level[9] == pytest.approx(level[11], abs=0.05)


def test_silence_is_the_floor_with_no_gradient():
    mel = MelSettings(floor=1e-4)
    x = jnp.zeros(3000)
    np.testing.assert_allclose(mel_spectrogram(x, mel), np.log(1e-4), rtol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: mel_spectrogram(x, mel).sum()))(x)
    np.testing.assert_array_equal(gradient, 0)


def test_gradient_equals_differences(rng):
    x, d = rng.normal(size=(2, 1500))
    with jax.enable_x64(True):
        total = jax.jit(lambda x: jnp.sum(jnp.sin(mel_spectrogram(x, MelSettings()))))
        slope = jnp.vdot(jax.grad(total)(jnp.asarray(x)), d)
        difference = (total(x + 1e-6 * d) - total(x - 1e-6 * d)) / 2e-6
    assert float(slope) == pytest.approx(float(difference), rel=1e-6)


def test_low_precision_input_is_computed_in_float32():
    x = jnp.sin(jnp.arange(2048.0) / 10).astype(jnp.bfloat16)
    assert mel_spectrogram(x, MelSettings()).dtype == jnp.float32


def test_integer_audio_and_short_excerpts_are_refused():
    with pytest.raises(ValueError, match="int16; convert"):
        mel_spectrogram(np.zeros(3000, np.int16), MelSettings())
    with pytest.raises(ValueError, match="less than one frame of 1024"):
        mel_of_context(np.zeros(1023, np.float32), MelSettings())


def test_peak_gain():
    x = np.float32([[0.1, -0.5], [0, 0], [2, 1]])
    gain = peak_gain(x, MelSettings(peak_normalize=True))
    np.testing.assert_allclose(gain, [[0.999 / 0.5], [1], [0.999 / 2]], rtol=1e-6)
    np.testing.assert_array_equal(peak_gain(x, MelSettings()), np.ones((3, 1)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"f_max": 12000.0}, r"f_max 12000.0 is above .* choose 11025 or less"),
        ({"f_min": 9000.0}, "is no range"),
        ({"f_min": -1.0}, "is no range"),
        ({"win_length": 1200}, "more than n_fft 1024; choose n_fft 2048"),
        ({"win_length": 801}, "is odd; choose 800 or 802"),
        ({"n_fft": 1025}, "is odd; choose 1024 or 1026"),
        ({"hop_length": 1100}, "samples between the frames are lost"),
        ({"hop_length": 0}, "hop_length is 0; choose a whole number"),
        ({"n_mels": 80.0}, "n_mels is 80.0; choose a whole number"),
        ({"floor": 0.0}, "floor 0.0 is not"),
        ({"floor": float("nan")}, "floor nan is not"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message) as info:
        MelSettings(**changes)
    assert "\n" not in str(info.value)


def test_most_bands_without_an_empty_one():
    few = {"n_fft": 256, "win_length": 256, "hop_length": 64}
    with pytest.raises(ValueError, match="no FFT bin falls into band") as info:
        MelSettings(**few)
    most = int(str(info.value).split("choose n_mels ")[1].split()[0])
    assert (mel_filterbank(MelSettings(n_mels=most, **few)).max(axis=1) > 0).all()
    with pytest.raises(ValueError, match="too many"):
        MelSettings(n_mels=most + 1, **few)
