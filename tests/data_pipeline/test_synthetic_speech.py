import numpy as np
import pytest
import soundfile

from data_pipeline import synthetic_speech as speech
from data_pipeline.synthetic_speech import synthetic_speech, write_demo_corpus

RATE = 22050
BANDS = ((450, 950), (950, 1700), (2000, 3000))  # Hz, around three formants


@pytest.fixture(scope="module")
def clip():
    return synthetic_speech(12.0, seed=1)


def levels(x, samples=220):
    """Computes dB of full scale of successive 10 ms."""
    parts = x[: len(x) // samples * samples].reshape(-1, samples)
    return 10 * np.log10(np.mean(parts**2, axis=1))


def flat_track(formants=(500.0, 1500.0, 2500.0), band=(5000.0, 1000.0)):
    """Makes one sound held for 10 s."""
    return np.array([(time, 1.0, 1.0, *band, *formants) for time in (0.0, 10.0)])


def test_same_seed_same_bits_other_seed_other_speech(clip):
    np.testing.assert_array_equal(synthetic_speech(12.0, seed=1), clip)
    assert np.abs(synthetic_speech(12.0, seed=2) - clip).max() > 0.1
    assert clip.dtype == np.float64
    assert clip.shape == (12 * RATE,)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rate", [16000, 22050, 48000])
def test_level_and_peak(seed, rate):
    x = synthetic_speech(4.0, rate, seed)
    level = levels(x, rate // 100)
    active = level > -45
    assert 0.6 < active.mean() < 0.95
    assert 10 * np.log10(np.mean(10 ** (level[active] / 10))) == pytest.approx(-21, abs=1.5)
    assert np.abs(x).max() < 0.8
    assert np.percentile(level, 2) == pytest.approx(-65, abs=1.5)  # pauses


def normalized_autocorrelation(frames, lags):
    """Returns the largest correlation of each frame with itself `lags` later, [F]."""
    width = frames.shape[1] - max(lags)
    head = frames[:, :width]
    best = np.full(len(frames), -1.0)
    for lag in lags:
        tail = frames[:, lag : lag + width]
        energy = np.sum(head**2, axis=1) * np.sum(tail**2, axis=1)
        best = np.maximum(best, np.sum(head * tail, axis=1) / np.sqrt(energy))
    return best


def test_has_periodic_and_noisy_parts(clip):
    frames = np.lib.stride_tricks.sliding_window_view(clip, 800)[::220]
    loud = frames[10 * np.log10(np.mean(frames**2, axis=1)) > -40]
    periodicity = normalized_autocorrelation(loud, range(RATE // 230, RATE // 85))
    assert np.mean(periodicity > 0.9) > 0.35
    assert np.mean(periodicity < 0.6) > 0.04
    # The noisy ones are hiss: most of them have their weight far higher.
    power = np.abs(np.fft.rfft(loud * np.hanning(800))) ** 2
    centroid = power @ np.fft.rfftfreq(800, 1 / RATE) / power.sum(axis=1)
    assert np.median(centroid[periodicity < 0.5]) > 3 * np.median(centroid[periodicity > 0.9])


def test_pitch_moves_within_its_range():
    _, pitch = speech._script(np.random.default_rng(3), 30.0)
    assert (np.diff(pitch[:, 0]) > 0).all()
    assert pitch[:, 1].min() >= 90
    assert pitch[:, 1].max() <= 220
    assert np.ptp(pitch[:, 1]) > 60


def test_voice_has_its_formants(rng):
    """White noise through the tract peaks at F1, F2 and F3 of the smoothed spectrum."""
    track = flat_track(formants=(700.0, 1200.0, 2500.0))
    y = speech._shaped(rng.normal(size=8 * RATE), track, speech._tract_response, RATE)
    frames = y[: len(y) // 1024 * 1024].reshape(-1, 1024) * np.hanning(1024)
    power = np.mean(np.abs(np.fft.rfft(frames)) ** 2, axis=0)
    frequency = np.fft.rfftfreq(1024, 1 / RATE)
    for formant, (low, high) in zip((700, 1200, 2500), BANDS, strict=True):
        band = (frequency > low) & (frequency < high)
        assert frequency[band][power[band].argmax()] == pytest.approx(formant, abs=60)
    assert np.mean(y**2) == pytest.approx(1, rel=0.1)


def test_resonance_equals_its_recursion():
    """Compares with y[n] = (1 - b - c) x[n] + b y[n-1] + c y[n-2], Klatt's equations."""
    size, rate = 4096, 16000
    radius = np.exp(-np.pi * 90 / rate)
    b, c = 2 * radius * np.cos(2 * np.pi * 700 / rate), -(radius**2)
    y = [1 - b - c, b * (1 - b - c)]
    for _ in range(size - 2):
        y.append(b * y[-1] + c * y[-2])
    delay = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = speech._resonance(700.0, 90.0, delay, rate)
    np.testing.assert_allclose(np.fft.irfft(response), y, atol=1e-9)


def test_pulses_do_not_alias():
    """Between harmonics of pulses 75.5 samples apart all is 60 dB down, and the top is empty."""
    period = 75.5
    times = np.arange(100, 30_000, period)
    x = speech._pulses(times, np.ones(len(times)), 30_200)[2000 : 2000 + 302 * 80]
    power = np.abs(np.fft.rfft(x * np.blackman(len(x)))) ** 2
    bins = np.arange(len(power))
    spacing = len(x) / period
    distance = np.abs(bins - np.round(bins / spacing) * spacing)
    assert power[distance > 4].max() < 1e-6 * power.max()
    assert power[bins > 0.98 * len(power)].max() < 1e-5 * power.max()


def test_frames_add_up_to_a_still_filter(rng):
    x = rng.normal(size=5000)
    unchanged = speech._shaped(x, flat_track(), lambda rows, delay, rate: 1.0, RATE)
    np.testing.assert_allclose(unchanged, x, atol=1e-12)
    later = speech._shaped(x, flat_track(), lambda rows, delay, rate: delay**7, RATE)
    np.testing.assert_allclose(later[7:], x[:-7], atol=1e-12)


@pytest.mark.parametrize("seconds", [1e-4, 0.05, 0.3])
def test_short_clips_are_made(seconds):
    x = synthetic_speech(seconds)
    assert len(x) == round(seconds * RATE)
    assert np.isfinite(x).all()


@pytest.mark.parametrize(("seconds", "rate"), [(0.0, RATE), (-1.0, RATE), (1.0, 4000)])
def test_impossible_lengths_and_rates_are_said(seconds, rate):
    with pytest.raises(ValueError, match="choose a length above 0 and a sample rate of 8000"):
        synthetic_speech(seconds, rate)


def test_corpus_is_16_bit_and_complete(tmp_path):
    write_demo_corpus(tmp_path / "new", clips=3, seconds=0.5)
    files = sorted((tmp_path / "new").iterdir())
    assert [file.name for file in files] == ["clip-00.wav", "clip-01.wav", "clip-02.wav"]
    for seed, file in enumerate(files):
        samples, rate = soundfile.read(file)
        assert (soundfile.info(file).subtype, rate) == ("PCM_16", RATE)
        np.testing.assert_allclose(samples, synthetic_speech(0.5, seed=seed), atol=1 / 32768)
