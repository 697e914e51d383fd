import numpy as np
import pytest

from data_pipeline import synthetic_speech as speech
from wf_jax.audio import quality
from wf_jax.audio.quality import (
    log_spectral_distance,
    mel_cepstral_distortion,
    pitch_scores,
)
from wf_jax.audio.yin import pitch_track

RATE = 22050
INNER = slice(5, -5)  # frames that do not reach beyond the clip


def sine(frequency, rate=RATE, seconds=0.6):
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def buzz(frequency, rate=RATE, seconds=0.6):
    """Makes harmonics up to 5 kHz, as of a pulse train with a falling spectrum."""
    orders = range(1, int(5000 / frequency) + 1)
    return sum(sine(k * frequency, rate, seconds) / k for k in orders)


def noise(seconds=0.6, level=0.1):
    return level * np.random.default_rng(0).normal(size=round(seconds * RATE))


@pytest.fixture(scope="module")
def clip():
    return speech.synthetic_speech(4.0, RATE, seed=3)


@pytest.mark.parametrize("frequency", [62, 90, 151.3, 220, 395])
@pytest.mark.parametrize("rate", [16000, 22050, 44100])
@pytest.mark.parametrize("wave", [sine, buzz])
def test_pitch_of_steady_tones(frequency, rate, wave):
    f0 = pitch_track(wave(frequency, rate), rate)
    np.testing.assert_allclose(f0[INNER], frequency, rtol=1e-3)  # 2 cents


def test_missing_fundamental_and_strong_second_harmonic():
    x = 0.1 * sine(120) + sine(240) + 0.6 * sine(360)
    np.testing.assert_allclose(pitch_track(x, RATE)[INNER], 120, rtol=2e-3)


def test_frame_count_and_timing():
    """Hops of 10 ms from sample 0; a tone from 0.3 s on is voiced from there on."""
    x = np.concatenate([np.zeros(6615), buzz(150, seconds=0.4)])
    f0 = pitch_track(x, RATE)
    assert f0.shape == (1 + len(x) // 220,)
    assert abs(np.argmax(f0 > 0) * 220 / RATE - 0.3) < 0.021


def test_a_rising_pitch_is_followed():
    t = np.arange(RATE) / RATE
    x = 0.3 * np.sin(2 * np.pi * (100 * t + 50 * t**2))  # 100 Hz + 100 Hz per second
    f0 = pitch_track(x, RATE)
    true = 100 + 100 * np.arange(len(f0)) * 220 / RATE
    np.testing.assert_allclose(f0[INNER], true[INNER], rtol=0.01)


def test_noise_and_silence_are_unvoiced():
    for x in (noise(), np.zeros(5000), 1e-3 * sine(150)):  # the last of -73 dB
        assert not pitch_track(x, RATE).any()


def test_pitch_of_speech_is_that_of_its_script():
    """Compares with the synthesizer's script: median 12 cents off, its jitter; 5% gross errors."""
    track, pitch = speech._script(np.random.default_rng(3), 6.0)
    f0 = pitch_track(speech.synthetic_speech(6.0, RATE, seed=3), RATE)
    voiced = f0 > 0
    time = np.arange(len(f0)) * 220 / RATE
    voice, hiss = (np.interp(time, track[:, 0], track[:, i]) for i in (1, 2))
    vowel = (voice > 0.2) & (hiss < 0.02)
    assert voiced[vowel].mean() > 0.9
    assert voiced[voice < 0.01].mean() < 0.05
    true = np.interp(time, pitch[:, 0], pitch[:, 1])
    cents = np.abs(1200 * np.log2(f0[vowel & voiced] / true[vowel & voiced]))
    assert np.median(cents) < 20
    assert np.mean(cents > 300) < 0.06


def test_equal_audio_is_perfect(clip):
    track = pitch_track(clip, RATE)
    assert pitch_scores(track, track) == {"vuv_f1": 1, "f0_rmse_cents": 0}
    assert mel_cepstral_distortion(clip, clip, RATE) == 0
    assert log_spectral_distance(clip, clip, RATE) == 0


@pytest.mark.slow
@pytest.mark.parametrize("samples", [3, 300, 8000])
def test_silence_and_short_clips_have_no_nan(samples):
    silence = np.zeros(samples)
    short = sine(150)[:samples]
    for pair in ((silence, silence), (short, silence), (silence, short)):
        scores = pitch_scores(*(pitch_track(x, RATE) for x in pair))
        assert scores["f0_rmse_cents"] is None  # nothing is voiced in both
        values = [mel_cepstral_distortion(*pair, RATE), log_spectral_distance(*pair, RATE)]
        assert np.isfinite(values).all()


@pytest.mark.parametrize("factor", [1e7, 1e18, 1e30])
def test_a_synthesis_that_has_run_away_is_bad_in_numbers(clip, factor):
    """Its power is beyond float32."""
    pair = clip, np.float32(factor) * clip
    assert 40 < log_spectral_distance(*pair, RATE) < 400
    assert 0 < mel_cepstral_distortion(*pair, RATE) < 400


def test_clips_without_voice_are_not_perfect():
    assert set(pitch_scores(np.zeros(9), np.zeros(9)).values()) == {None}


@pytest.mark.parametrize("cents", [-100, 30, 200])
def test_shifted_pitch_shows_in_cents(cents):
    tracks = (pitch_track(buzz(f), RATE) for f in (150, 150 * 2 ** (cents / 1200)))
    scores = pitch_scores(*tracks)
    assert scores["f0_rmse_cents"] == pytest.approx(abs(cents), abs=2)
    assert scores["vuv_f1"] > 0.97


def test_voicing_is_scored_by_f1():
    """Voicing twice as long as the truth gives precision 1/2, recall 1, so 2/3."""
    track, longer, never = (150.0 * (np.arange(40) < n) for n in (10, 20, 0))
    assert pitch_scores(track, longer)["vuv_f1"] == pytest.approx(2 / 3)
    assert pitch_scores(longer, track)["vuv_f1"] == pytest.approx(2 / 3)
    assert pitch_scores(track, never)["vuv_f1"] == 0


@pytest.mark.parametrize("decibels", [-6, 3])
def test_a_gain_is_the_log_spectral_distance(decibels):
    x = noise()
    distance = log_spectral_distance(x, 10 ** (decibels / 20) * x, RATE)
    assert distance == pytest.approx(abs(decibels), rel=1e-4)


def test_log_spectral_distance_is_that_of_a_loop(clip):
    """Against float64 frames, reflected at the ends."""
    x, y = clip[:9000], clip[:9000] + 0.01 * np.random.default_rng(1).normal(size=9000)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    distances = []
    for start in range(0, 9001, 256):
        frames = (np.pad(np.float64(v), 512, "reflect")[start : start + 1024] for v in (x, y))
        power = [np.maximum(np.abs(np.fft.rfft(window * v)) ** 2, 1e-8) for v in frames]
        distances.append(np.sqrt(np.mean((10 * np.log10(power[0] / power[1])) ** 2)))
    assert log_spectral_distance(x, y, RATE) == pytest.approx(np.mean(distances), rel=1e-3)


@pytest.mark.parametrize("order", [1, 5, 13])
def test_cepstral_distance_is_the_rms_ripple(order):
    """A ripple of 3 dB amplitude over mel is 3 / sqrt(2) dB, whatever its order."""
    ripple = np.cos(np.pi * order * (np.arange(80) + 0.5) / 80) * 3 * np.log(10) / 20
    mel = np.random.default_rng(0).normal(size=(80, 7))
    distance = quality._cepstral_distance(mel, mel + ripple[:, None])
    assert distance == pytest.approx(3 / np.sqrt(2), rel=1e-9)


def test_level_and_fine_ripples_do_not_count():
    mel = np.random.default_rng(0).normal(size=(80, 7))
    fine = np.cos(np.pi * 14 * (np.arange(80) + 0.5) / 80)[:, None]
    assert quality._cepstral_distance(mel, mel + 2 + fine) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_cepstral_distortion_grows_with_distance_at_any_rate(rate):
    x = speech.synthetic_speech(1.0, rate, seed=2)
    rough = np.random.default_rng(1).normal(size=len(x))
    near = mel_cepstral_distortion(x, x + 1e-3 * rough, rate)
    far = mel_cepstral_distortion(x, x + 3e-2 * rough, rate)
    assert 0 < near < 0.7 * far
    assert 2 < far < 20


def test_unequal_clips_and_bad_audio_are_refused():
    with pytest.raises(ValueError, match="cut both to the shorter one"):
        log_spectral_distance(np.zeros(10), np.zeros(11), RATE)
    with pytest.raises(ValueError, match="cut both to the shorter one"):
        mel_cepstral_distortion(np.zeros((1, 10)), np.zeros((1, 10)), RATE)
    with pytest.raises(ValueError, match="cut both"):
        log_spectral_distance(np.zeros(0), np.zeros(0), RATE)
    with pytest.raises(ValueError, match="one channel"):
        pitch_track(np.zeros((2, 100)), RATE)
