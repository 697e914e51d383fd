import numpy as np
import pytest

from wf_jax.audio.loudness_probe import loudness_probe


def test_length_level_and_crest_are_nams():
    x = loudness_probe()
    assert x.shape == (48000,)
    assert x.dtype == np.float32
    assert np.abs(x).max() == pytest.approx(0.71181, abs=1e-6)
    rms = np.sqrt(np.mean(x.astype(np.float64) ** 2))
    assert 20 * np.log10(rms) == pytest.approx(-14.968025, abs=1e-4)


def test_same_samples_everywhere():
    """Guards the samples that loudness and gain of all exported files depend on."""
    x = loudness_probe.__wrapped__().astype(np.float64)
    np.testing.assert_array_equal(x, loudness_probe())
    pinned = [0.13737467, 0.10777110, -0.13564415, -0.05149938]
    np.testing.assert_allclose(x[[100, 12_345, 30_000, 47_999]], pinned, atol=1e-7)
    assert x @ np.cos(np.arange(48000)) == pytest.approx(0.040058, abs=1e-4)


def test_sounds_like_a_guitar():
    """Most energy is from 80 Hz to 2 kHz, little above 8 kHz, and no DC."""
    x = loudness_probe().astype(np.float64)
    power = np.abs(np.fft.rfft(x)) ** 2
    frequency = np.fft.rfftfreq(len(x), 1 / 48000)
    share = power[(frequency > 80) & (frequency < 2000)].sum() / power.sum()
    assert share > 0.9
    assert power[frequency > 8000].sum() / power.sum() < 1e-2
    assert abs(x.mean()) < 0.01


def test_nobody_can_change_it():
    with pytest.raises(ValueError, match="read-only"):
        loudness_probe()[0] = 1.0
