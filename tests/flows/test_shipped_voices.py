"""The voices that come with the package: small, whole, and they speak."""

from pathlib import Path

import numpy as np
import pytest

from data_pipeline.synthetic_speech import SAMPLE_RATE
from experiments.run.vocoder_folder import model_folder
from tests.flows import small
from wf_jax.audio.clips import clip_mel
from wf_jax.flows.model_folder import load_model, save_model
from wf_jax.flows.shipped_voices import DEFAULT, find_voice
from wf_jax.flows.synthesis import synthesize
from wf_jax.modules import split

FOLDER = find_voice(DEFAULT)


def test_it_is_small_and_has_a_card():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_000_000
    card = (FOLDER / "README.md").read_text()
    for word in ("CC0", "minutes", "nats"):
        assert word in card


def test_a_folder_of_that_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert model_folder(Path(DEFAULT)) == FOLDER
    assert find_voice(f"a/{DEFAULT}") == Path("a", DEFAULT)
    assert find_voice("nobody") == Path("nobody")
    (tmp_path / DEFAULT).mkdir()  # a corpus, say
    assert find_voice(DEFAULT) == FOLDER
    (tmp_path / DEFAULT / "config.json").touch()
    assert find_voice(DEFAULT) == Path(DEFAULT)


def test_half_of_the_bytes_make_the_same_model(tmp_path):
    """Reads float16 as float32, to its precision."""
    model = small.random_model(small.source_filter_config())
    save_model(tmp_path, model.config, split(model)[1], half=True)
    found, expected = split(load_model(tmp_path))[1], split(model)[1]
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_it_speaks_a_tone_at_its_pitch_and_level():
    """Gives a mel of a hummed tone back: as loud, and with its harmonics."""
    model = load_model(FOLDER)
    assert model.config.mel.sample_rate == SAMPLE_RATE
    cycles = 180 * np.arange(SAMPLE_RATE) / SAMPLE_RATE
    numbers = np.arange(1, 30)[:, None]
    x = np.sum(np.cos(2 * np.pi * numbers * cycles) / numbers**1.5, axis=0).astype(np.float32) / 20
    (_, spoken), *_ = synthesize(model, [clip_mel(x, model.config.mel)], temperature=0.6)
    inner = slice(4000, 18000)
    assert np.std(spoken[inner]) == pytest.approx(np.std(x[inner]), rel=0.3)
    spectrum = np.abs(np.fft.rfft(spoken[inner] * np.hanning(14000)))
    peak = np.argmax(spectrum[: 14000 * 250 // SAMPLE_RATE]) * SAMPLE_RATE / 14000
    assert peak == pytest.approx(180, abs=4)
