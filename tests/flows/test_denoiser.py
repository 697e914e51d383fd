"""The denoiser's subtraction, against loops and tones of known level."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.flows import small
from tests.flows.test_synthesis import FAMILIES
from tests.flows.test_synthesis import audio as audio_of
from wf_jax.errors import UserError
from wf_jax.flows import denoiser
from wf_jax.flows.denoiser import FRAMES, Denoiser
from wf_jax.flows.waveflow_config import WaveFlowConfig

SIZE, HOP = small.MEL.n_fft, small.MEL.hop_length  # 64, 16: a quarter, as in the denoiser


def tone(bins, samples, phase=0.0):
    """Makes a tone of `bins` turns per frame."""
    return np.float32(np.cos(2 * np.pi * bins * np.arange(samples) / SIZE + phase))


@dataclasses.dataclass(frozen=True)
class Hum:
    """Hums at an eighth of the sample rate for any input, loudly at its edges."""

    config: WaveFlowConfig
    level: float

    def generate(self, noise, seeds, mel, lengths, temperature):
        number = jnp.arange(noise.shape[1])
        edge = (number < 300) | (number >= lengths[:, None] - 300)
        hum = jnp.where(edge, 5, 1) * self.level * jnp.asarray(tone(8, noise.shape[1]))
        return hum + temperature * noise


jax.tree_util.register_dataclass(Hum, data_fields=[], meta_fields=["config", "level"])


def windowed(samples):
    return samples * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SIZE) / SIZE))


def slow(audio, amount):
    """Subtracts `amount` [bins] from every frame's magnitudes; frames overlap and add."""
    x = np.concatenate([audio, np.zeros(max(0, SIZE - len(audio)))]).astype(np.float64)
    total, weight = np.zeros(len(x)), np.zeros(len(x))
    mirrored = [*range(len(x)), *range(len(x) - 2, 0, -1)]
    for center in range(-SIZE, len(x) + SIZE, HOP):
        places = np.arange(center - SIZE // 2, center + SIZE // 2)
        spectrum = np.fft.rfft(windowed(x[[mirrored[n % len(mirrored)] for n in places]]))
        magnitude = np.maximum(np.abs(spectrum) - amount, 0)
        frame = windowed(np.fft.irfft(magnitude * np.exp(1j * np.angle(spectrum))))
        for n, value, power in zip(places, frame, windowed(np.ones(SIZE)) ** 2, strict=True):
            if 0 <= n < len(x):
                total[n] += value
                weight[n] += power
    return (total / weight)[: len(audio)]


def level(audio, bins):
    """Returns the amplitude of a tone in dB, from the middle of the audio."""
    middle = audio[SIZE : -SIZE // 2 * 2]
    middle = middle[: len(middle) // SIZE * SIZE]
    return 20 * np.log10(
        2 * np.abs(np.mean(middle * np.exp(-2j * np.pi * bins * np.arange(len(middle)) / SIZE)))
    )


@pytest.mark.parametrize("samples", [1, 2, 33, 63, 64, 65, 333, 1000])
def test_against_loops(samples, rng, monkeypatch):
    """Covers frames, edges, overlap and phases, several blocks, and clips below a frame."""
    monkeypatch.setattr(denoiser, "BLOCK", 7)
    audio = rng.standard_normal(samples).astype(np.float32)
    bias = rng.uniform(0, 8, SIZE // 2 + 1)  # some bins become zero, some do not
    found = Denoiser(bias, SIZE)(audio, 0.5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow(audio, 0.5 * bias), atol=2e-6)
    assert np.abs(found - audio).max() > 0.1 * np.abs(audio).max()


@pytest.mark.parametrize("size", [2, 6, 66, 1024])
def test_nothing_to_subtract_gives_the_audio_back(size, rng):
    """Inverts any frame length that mel settings may have; silence stays silence."""
    audio = rng.standard_normal(3000).astype(np.float32)
    found = Denoiser(np.zeros(size // 2 + 1), size)(audio, 1.0)
    np.testing.assert_allclose(found, audio, atol=1e-6)
    silent = Denoiser(np.ones(size // 2 + 1), size)(np.zeros(3000, np.float32), 1.0)
    np.testing.assert_array_equal(silent, 0)


def test_strength(rng):
    """Strength 0 returns the same samples; NaN and other invalid values are refused."""
    subtract = Denoiser(np.ones(SIZE // 2 + 1), SIZE)
    audio = rng.standard_normal(500)  # float64, so that a rounding would be seen
    np.testing.assert_array_equal(subtract(audio, 0.0), audio)
    assert len(subtract(audio[:0], 0.1)) == 0
    for strength in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="is not 0 or more"):
            subtract(audio, strength)


def test_a_hum_is_taken_out_and_a_loud_tone_is_not(rng):
    """The model's line falls by its strength, in any phase; speech stays as it was."""
    subtract = Denoiser.of(Hum(small.config(), 0.1))
    said = 0.5 * tone(20, 4000) + 1e-4 * rng.standard_normal(4000).astype(np.float32)
    audio = said + 0.1 * tone(8, 4000, phase=1.0)
    assert level(audio, 8) == pytest.approx(-20, abs=0.1)
    assert level(subtract(audio, 0.5), 8) == pytest.approx(-26, abs=0.1)
    clean = subtract(audio, 1.0)
    assert level(clean, 8) < -70
    assert level(clean, 20) == pytest.approx(level(said, 20), abs=0.01)
    # A line louder than the bias loses no more than the bias.
    assert level(subtract(audio * 10, 1.0), 8) == pytest.approx(20 * np.log10(0.9), abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    [
        "WaveGlow",
        pytest.param("WaveFlow", marks=pytest.mark.exhaustive),
        pytest.param("WaveNet", marks=pytest.mark.exhaustive),
    ],
)
def test_the_bias_is_the_model_s_own(family):
    """Averages magnitudes for a mel of zeros and no noise, away from the edges."""
    model = small.random_model(FAMILIES[family])
    found = Denoiser.of(model)
    (audio,) = audio_of(model, [np.zeros((4, FRAMES), np.float32)], temperature=0.0, seed=7)
    middle = audio[len(audio) // 4 : -len(audio) // 4]
    frames = [middle[n : n + SIZE] for n in range(0, len(middle) - SIZE + 1, HOP)]
    expected = np.mean([np.abs(np.fft.rfft(windowed(frame))) for frame in frames], axis=0)
    assert expected.max() > 1e-2
    np.testing.assert_allclose(found.bias, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_a_model_that_makes_nothing_finite_is_told():
    """Otherwise a damaged model would silently turn every clip into NaN."""
    with pytest.raises(UserError, match="for a mel of zeros holds nan"):
        Denoiser.of(Hum(small.config(), float("nan")))
