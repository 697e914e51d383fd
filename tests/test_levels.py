"""Levels: bits of a known density; one rule of peak normalization from corpus to voice."""

import math
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.corpus import Corpus, Windows
from data_pipeline.corpus_preparation import prepare_corpus
from experiments.vocoder.job import held_out_clips
from experiments.vocoder.mel_inputs import find_inputs
from wf_jax import levels, likelihood
from wf_jax.audio import mel

RATE = 22050
SETTINGS = mel.MelSettings(peak_normalize=True)


def test_a_uniform_density_over_all_int16_values_takes_sixteen_bits():
    """Density 1/2 over [-1, 1) is 1/65536 per step."""
    assert likelihood.bits_per_sample(math.log(0.5)) == pytest.approx(16, rel=1e-12)


@given(st.floats(-50, 50))
def test_nats_and_bits_are_inverse(nats):
    assert likelihood.nats_per_sample(likelihood.bits_per_sample(nats)) == pytest.approx(
        nats, abs=1e-12
    )


@settings(deadline=None)  # the first call compiles
@given(st.floats(0, 2, width=32))
def test_one_peak_rule_for_numbers_and_for_arrays(peak):
    gain = float(mel.peak_gain(np.float32([[0, -peak]]), SETTINGS)[0, 0])
    assert gain == pytest.approx(levels.peak_gain(peak), rel=1e-6)


# Peak in int16 counts. 10 is silence; 34 is just above LEAST_NORMALIZED and, as clicks in silence,
# below -70 dBFS by its RMS.
@pytest.mark.parametrize(("peak", "silent"), [(10, True), (32, True), (34, False), (3000, False)])
def test_a_clip_is_trained_judged_and_spoken_at_one_gain(tmp_path, peak, silent):
    samples = np.zeros(RATE, "<i2")
    samples[::4000] = peak
    (tmp_path / "clips").mkdir()
    for name, length in (("a", RATE), ("b", RATE - 1)):  # a copy of a file would be left out
        with wave.open(str(tmp_path / "clips" / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, length, "NONE", ""))
            file.writeframes(samples[:length].tobytes())
    prepare_corpus(tmp_path / "clips", tmp_path / "corpus", sample_rate=RATE, validation=1)
    corpus = Corpus.open(tmp_path / "corpus")
    (trained,) = Windows(corpus, "train", 64, 0, 0, 1, 0, peak_normalize=True).batch(0)["gain"]
    (judged,) = held_out_clips(corpus, SETTINGS)
    (spoken,) = find_inputs(tmp_path / "clips" / "a.wav", SETTINGS)
    expected = 1.0 if silent else 0.999 * 32768 / peak
    assert [trained, judged.gain, spoken.gain] == pytest.approx([expected] * 3, rel=1e-6)
    released = mel.peak_gain(np.float32(samples / 32768)[None], SETTINGS)  # as a release does
    assert float(released[0, 0]) == pytest.approx(expected, rel=1e-6)
