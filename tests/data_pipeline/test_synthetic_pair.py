import numpy as np
import pytest
import soundfile

from data_pipeline import synthetic_pair
from data_pipeline.synthetic_pair import (
    HISS,
    LATENCY,
    demo_pair,
    plucked_di,
    tube_amp,
    write_demo_pair,
)

RATE = 48000


def tone(amplitude, frequency, seconds=1.5):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


def spectrum(y):
    """Computes the power of the last second in bins of 1 Hz."""
    return np.abs(np.fft.rfft(y[-RATE:] * np.hanning(RATE))) ** 2


@pytest.fixture(scope="module")
def pair():
    return demo_pair(6.0, seed=1)


def test_same_seed_same_bits_other_seed_other_playing(pair):
    di, amp = demo_pair(6.0, seed=1)
    np.testing.assert_array_equal(di, pair[0])
    np.testing.assert_array_equal(amp, pair[1])
    assert np.abs(plucked_di(6.0, seed=2) - di).max() > 0.1


def test_di_is_played_over_a_wide_range():
    di = plucked_di(20.0)
    assert np.abs(di).max() == pytest.approx(0.85)
    levels = [np.sqrt(np.mean(part**2)) for part in di.reshape(-1, RATE // 4)]
    assert np.percentile(levels, 90) > 10 * np.percentile(levels, 10)
    power = np.abs(np.fft.rfft(di)) ** 2
    frequency = np.fft.rfftfreq(len(di), 1 / RATE)
    assert power[(frequency > 70) & (frequency < 3000)].sum() > 0.95 * power.sum()


def test_ring_is_a_sum_of_decaying_sines():
    amplitude, rate = np.array([1.0, 0.3]), np.array([2.0, 60.0])
    frequency, t = np.array([110.0, 330.5]), np.arange(1300) / RATE
    sines = np.sin(2 * np.pi * frequency[:, None] * t) * np.exp(-rate[:, None] * t)
    ring = synthetic_pair.ring(amplitude, frequency, rate, len(t))
    np.testing.assert_allclose(ring, amplitude @ sines, atol=1e-12)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.1])
def test_too_short_to_play_anything_is_said(seconds):
    with pytest.raises(ValueError, match="only rests"):
        demo_pair(seconds)


def test_amp_does_not_clip_and_has_no_dc(pair):
    assert 0.2 < np.abs(pair[1]).max() < 0.99
    assert abs(pair[1].mean()) < 1e-3


def test_amp_is_causal_and_in_time():
    """Nothing changes before the cause but the resampler's ringing at 24 kHz (1e-3)."""
    di = tone(0.5, 300)
    cut = di.copy()
    cut[40_040:] = 0
    difference = np.abs(tube_amp(di) - tube_amp(cut))
    assert difference[:39_000].max() < 1e-6
    assert difference[:40_040].max() < 1e-3
    assert difference[40_040:40_050].max() > 1e-2


def test_more_playing_changes_nothing_before_it(pair):
    """Later playing shows by 1e-3 at the change, 1e-9 from 200 samples (4 ms) before it on."""
    n = 100_000
    changed = pair[0].copy()
    changed[n:] += 0.3 * np.random.default_rng(0).normal(size=len(changed) - n)
    difference = np.abs(tube_amp(changed) - tube_amp(pair[0]))
    assert difference[: n - 200].max() < 1e-9
    assert difference[:n].max() < 1e-3
    assert difference[n:].max() > 0.05


def test_amp_answers_within_a_millisecond():
    click = np.zeros(4800)
    click[2400] = 0.01
    assert 2400 <= np.argmax(np.abs(tube_amp(click))) < 2448


def test_pair_comes_back_late(pair):
    np.testing.assert_allclose(pair[1][LATENCY:], tube_amp(pair[0])[:-LATENCY], atol=6 * HISS)


@pytest.mark.parametrize("amplitude", [0.1, 0.85])
def test_no_aliasing(amplitude):
    """Everything between the harmonics of a 5 kHz tone is 70 dB below them."""
    power = spectrum(tube_amp(tone(amplitude, 5001)))
    harmonic = np.zeros(len(power), bool)
    for k in range(5):
        harmonic[max(0, 5001 * k - 8) : 5001 * k + 9] = True
    assert power[~harmonic].sum() < 1e-7 * power[harmonic].sum()


def test_distortion_is_asymmetric_and_compresses():
    quiet, loud = spectrum(tube_amp(tone(0.05, 220))), spectrum(tube_amp(tone(0.5, 220)))
    assert loud[440] > 1e-3 * loud[220]  # second harmonic within 30 dB of the first
    assert loud[660] > quiet[660] / quiet[220] * loud[220]  # more of the third when driven
    assert loud.sum() < 0.3 * 100 * quiet.sum()  # 20 dB more in is much less than 20 dB out


def test_files_are_24_bit_and_complete(tmp_path):
    di, amp = write_demo_pair(tmp_path, seconds=1.0)
    for path in (di, amp):
        info = soundfile.info(path)
        assert (info.samplerate, info.subtype, info.frames) == (RATE, "PCM_24", RATE)
    assert sorted(tmp_path.iterdir()) == [amp, di]
