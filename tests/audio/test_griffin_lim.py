import numpy as np
import pytest
from scipy.optimize import nnls

from data_pipeline.synthetic_speech import synthetic_speech
from wf_jax.audio.clips import clip_mel
from wf_jax.audio.griffin_lim import griffin_lim, linear_magnitudes
from wf_jax.audio.mel_settings import MelSettings, mel_filterbank

RATE = 22050


@pytest.fixture(scope="module")
def clip():
    return synthetic_speech(1.0, RATE, seed=3)


def test_magnitudes_are_the_least_squares_of_the_mel(clip):
    """Against an active-set solver: its bands, to 1 % of the level of each frame."""
    mel, filters = clip_mel(clip, MelSettings()), mel_filterbank(MelSettings())
    found = linear_magnitudes(mel, MelSettings())
    assert found.shape == (513, mel.shape[1])
    assert found.min() >= 0
    assert not found[filters.sum(0) == 0].any()  # above 8 kHz
    for frame in (10, 40, 70):
        wanted = np.exp(mel[:, frame].astype(np.float64))
        best = filters @ nnls(filters, wanted)[0]
        np.testing.assert_allclose(filters @ found[:, frame], best, atol=0.01 * wanted.max())


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("samples", [RATE, 20000])
def test_speech_has_nearly_its_mel(clip, center, samples):
    """And phases found in sixty rounds are much better than those of the first."""
    settings = MelSettings(center=center)
    mel = clip_mel(clip[:samples], settings)
    errors = []
    for iterations in (0, 60):
        made = griffin_lim(mel, settings, samples, iterations)
        assert made.shape == (samples,)
        assert made.dtype == np.float32
        errors.append(np.abs(clip_mel(made, settings) - mel).mean())
    assert errors[1] < 0.25
    assert errors[1] < 0.35 * errors[0]


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("hop", "window"), [(256, 800), (200, 1024), (1024, 1024)])
def test_any_hop_and_window(clip, hop, window, center):
    settings = MelSettings(hop_length=hop, win_length=window, center=center)
    mel = clip_mel(clip, settings)
    made = griffin_lim(mel, settings, len(clip), 3)
    assert made.shape == clip.shape  # also where windows that do not overlap end before the clip
    assert np.abs(made).max() < 2
    assert np.abs(clip_mel(made, settings) - mel).mean() < 0.25


def test_a_clip_of_one_frame():
    mel = clip_mel(np.full(3, 0.1, np.float32), MelSettings())
    assert griffin_lim(mel, MelSettings(), 3).shape == (3,)


def test_audio_comes_in_the_place_of_the_original():
    """A click half-way: the window of most energy is that of the original."""
    x = np.zeros(RATE, np.float32)
    x[11000:11400] = 0.3 * np.random.default_rng(0).normal(size=400)
    made = griffin_lim(clip_mel(x, MelSettings()), MelSettings(), len(x))
    middle = np.sum(np.arange(len(x)) * made**2) / np.sum(made**2)
    assert middle == pytest.approx(11200, abs=100)
