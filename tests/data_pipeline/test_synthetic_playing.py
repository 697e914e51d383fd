import numpy as np
import pytest

from data_pipeline import synthetic_playing
from data_pipeline.synthetic_playing import PEAK, built_in_di, varied_playing

RATE = 48000


@pytest.fixture(scope="module")
def played():
    return varied_playing(40.0, seed=3)


def levels(x, seconds=0.05):
    """Returns the RMS of every 50 ms in dB."""
    frame = round(seconds * RATE)
    blocks = x[: len(x) // frame * frame].astype(np.float64).reshape(-1, frame)
    return 10 * np.log10(np.mean(blocks**2, axis=1) + 1e-12)


@pytest.mark.slow
def test_same_seed_same_playing_other_seed_other_playing(played):
    assert played.dtype == np.float32
    again = varied_playing(10.0, seed=3)
    np.testing.assert_array_equal(again, varied_playing(10.0, seed=3))
    assert np.abs(again - varied_playing(10.0, seed=4)).max() > 0.1


def test_it_is_below_full_scale_and_varied_over_60_db(played):
    assert np.abs(played).max() == pytest.approx(PEAK)
    found = levels(played)
    assert found.max() - np.percentile(found, 2) > 60
    assert np.percentile(found, 75) > -35  # and yet most of it is as loud as playing


def test_it_reaches_every_octave_of_hearing(played):
    power = np.abs(np.fft.rfft(played.astype(np.float64))) ** 2
    frequency = np.fft.rfftfreq(len(played), 1 / RATE)
    for low in 40 * 2.0 ** np.arange(9):
        share = power[(frequency >= low) & (frequency < 2 * low)].sum() / power.sum()
        assert 0.003 < share < 0.5, low


@pytest.mark.parametrize("kind", list(synthetic_playing._PHRASES))
def test_every_kind_of_phrase(kind):
    phrase = synthetic_playing._PHRASES[kind][0](np.random.default_rng(0), RATE)
    assert np.isfinite(phrase).all()
    assert (np.abs(phrase).max() > 0) == (kind != "silence")


def test_a_ramp_falls_or_rises_by_60_db():
    ramp = levels(synthetic_playing._ramp(np.random.default_rng(0), RATE), 0.1)
    assert abs(ramp[-1] - ramp[0]) == pytest.approx(54, abs=4)  # 100 ms of it is 6 dB


def test_a_sweep_has_one_pitch_at_a_time():
    sweep = synthetic_playing._sweep(np.random.default_rng(5), RATE)
    part = np.abs(np.fft.rfft(sweep[20_000:22_000] * np.hanning(2000))) ** 2
    assert np.sort(part)[-40:].sum() > 0.99 * part.sum()


def test_another_rate_is_the_same_playing():
    there = varied_playing(2.0, seed=1, sample_rate=24000)
    here = varied_playing(2.0, seed=1)
    assert len(there) == 48000
    low = np.fft.rfft(here)[:10_000]  # below 5 kHz
    same = 2 * np.fft.rfft(there)[:10_000] * (low @ low.conj()).real / abs(low @ low.conj())
    similarity = abs(np.vdot(low, same)) / np.linalg.norm(low) / np.linalg.norm(same)
    assert similarity > 0.9999


def test_the_end_of_the_built_in_di_is_strings_alone(monkeypatch):
    monkeypatch.setattr(synthetic_playing, "SECONDS", 3.0)
    di = built_in_di(2.0, RATE)
    assert len(di) == 5 * RATE
    strings = ("notes", "chords", "mutes", "tremolo", "slides")
    np.testing.assert_array_equal(di[3 * RATE :], varied_playing(2.0, 1, RATE, strings))
