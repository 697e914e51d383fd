import numpy as np
import pytest

from data_pipeline import synthetic_speech as speech
from wf_jax.audio import quality
from wf_jax.audio.pitch import pitch_track
from wf_jax.audio.quality import (
    mel_cepstral_distortion,
    multi_resolution_stft_distance,
    voicing_scores,
)
from wf_jax.audio.spectral_loss import multi_resolution_stft

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
    f0, periodicity, voiced = pitch_track(wave(frequency, rate), rate)
    assert voiced[INNER].all()
    np.testing.assert_allclose(f0[INNER], frequency, rtol=1e-3)  # 2 cents
    assert periodicity[INNER].min() > 0.99


def test_missing_fundamental_and_strong_second_harmonic():
    x = 0.1 * sine(120) + sine(240) + 0.6 * sine(360)
    np.testing.assert_allclose(pitch_track(x, RATE)[0][INNER], 120, rtol=2e-3)


def test_frame_count_and_timing():
    """Hops of 10 ms from sample 0; a tone from 0.3 s on is voiced from there on."""
    x = np.concatenate([np.zeros(6615), buzz(150, seconds=0.4)])
    f0, periodicity, voiced = pitch_track(x, RATE)
    assert f0.shape == periodicity.shape == voiced.shape == (1 + len(x) // 220,)
    assert abs(np.argmax(voiced) * 220 / RATE - 0.3) < 0.021


def test_a_rising_pitch_is_followed():
    t = np.arange(RATE) / RATE
    x = 0.3 * np.sin(2 * np.pi * (100 * t + 50 * t**2))  # 100 Hz + 100 Hz per second
    f0, _, voiced = pitch_track(x, RATE)
    true = 100 + 100 * np.arange(len(f0)) * 220 / RATE
    assert voiced[INNER].all()
    np.testing.assert_allclose(f0[INNER], true[INNER], rtol=0.01)


def test_noise_and_silence_are_unvoiced():
    assert not pitch_track(noise(), RATE)[2].any()
    assert pitch_track(noise(), RATE)[1].mean() < 0.3
    f0, periodicity, voiced = pitch_track(np.zeros(5000), RATE)
    assert not f0.any()
    assert not periodicity.any()
    assert not voiced.any()
    assert not pitch_track(1e-3 * sine(150), RATE)[2].any()  # -73 dB


def test_periodicity_is_the_share_of_the_periodic_power():
    """A tone of power P in white noise of power N correlates by P / (P + N) with itself later."""
    tone = buzz(150, seconds=4.0)
    x = tone + np.sqrt(np.mean(tone**2) / 4) * noise(4.0, 1.0)
    assert np.median(pitch_track(x, RATE)[1]) == pytest.approx(4 / 5, abs=0.02)


def test_pitch_of_speech_is_that_of_its_script():
    """Compares with the synthesizer's script: median 12 cents off, its jitter; 5% gross errors."""
    track, pitch = speech._script(np.random.default_rng(3), 6.0)
    f0, _, voiced = pitch_track(speech.synthetic_speech(6.0, RATE, seed=3), RATE)
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
    expected = {"periodicity_rmse": 0, "vuv_f1": 1, "f0_rmse_cents": 0}
    assert voicing_scores(clip, clip, RATE) == expected
    assert mel_cepstral_distortion(clip, clip, RATE) == 0
    assert multi_resolution_stft_distance(clip, clip) == 0


@pytest.mark.slow
@pytest.mark.parametrize("samples", [3, 300, 8000])
def test_silence_and_short_clips_have_no_nan(samples):
    silence = np.zeros(samples)
    short = sine(150)[:samples]
    for pair in ((silence, silence), (short, silence), (silence, short)):
        scores = voicing_scores(*pair, RATE)
        assert scores["f0_rmse_cents"] is None  # nothing is voiced in both
        values = [value for value in scores.values() if value is not None]
        values += [mel_cepstral_distortion(*pair, RATE), multi_resolution_stft_distance(*pair)]
        assert np.isfinite(values).all()


def test_clips_without_voice_are_not_perfect():
    silence = np.zeros(8000)
    assert set(voicing_scores(silence, silence, RATE).values()) == {None}


@pytest.mark.parametrize("cents", [-100, 30, 200])
def test_shifted_pitch_shows_in_cents(cents):
    shifted = buzz(150 * 2 ** (cents / 1200))
    scores = voicing_scores(buzz(150), shifted, RATE)
    assert scores["f0_rmse_cents"] == pytest.approx(abs(cents), abs=2)
    assert scores["vuv_f1"] > 0.97


def test_voicing_is_scored_by_f1():
    """Voicing twice as long as the truth gives precision 1/2, recall 1, so 2/3."""
    x, y = np.zeros((2, 2 * RATE))
    x[: RATE // 2] = buzz(150, seconds=0.5)
    y[:RATE] = buzz(150, seconds=1.0)
    scores = voicing_scores(x, y, RATE)
    assert scores["vuv_f1"] == pytest.approx(2 / 3, abs=0.02)
    # Half of the frames voiced in either go from 0 to 1.
    assert scores["periodicity_rmse"] == pytest.approx(np.sqrt(1 / 2), abs=0.03)
    assert voicing_scores(y, x, RATE)["vuv_f1"] == pytest.approx(scores["vuv_f1"])
    assert voicing_scores(x, noise(2.0), RATE)["vuv_f1"] == 0


def test_hoarser_audio_loses_periodicity(clip):
    hoarse = clip + 0.02 * np.random.default_rng(1).normal(size=len(clip))
    assert voicing_scores(clip, hoarse, RATE)["periodicity_rmse"] > 0.05


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


@pytest.mark.slow
def test_stft_distance_is_the_loss(clip):
    y = 0.9 * clip + 1e-3
    expected = multi_resolution_stft(np.float32(y)[None], np.float32(clip)[None])
    actual = multi_resolution_stft_distance(clip, y)
    assert actual == pytest.approx(float(expected), rel=1e-5)


def test_unequal_clips_and_bad_audio_are_refused():
    with pytest.raises(ValueError, match="cut both to the shorter one"):
        voicing_scores(np.zeros(10), np.zeros(11), RATE)
    with pytest.raises(ValueError, match="cut both to the shorter one"):
        mel_cepstral_distortion(np.zeros((1, 10)), np.zeros((1, 10)), RATE)
    with pytest.raises(ValueError, match="cut both"):
        multi_resolution_stft_distance(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="one channel"):
        pitch_track(np.zeros((2, 100)), RATE)
