"""Detection of the mel scale on speech-like audio; natural log never raises an alarm."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipeline.synthetic_speech import synthetic_speech
from wf_jax.audio.clips import clip_mel
from wf_jax.audio.mel import MelSettings, mel_spectrogram
from wf_jax.audio.mel_faults import describe_doubts, describe_scale

MEL = MelSettings()
CLIPS = Path(__file__).parents[3] / "shared" / "data" / "ljspeech_mini" / "wavs"


def speechlike(gain_db=0.0, noise=0.0):
    """Makes syllables of falling harmonic spectra with faint noise between, 3 s at 22.05 kHz."""
    rng = np.random.default_rng(0)
    t = np.arange(66150) / 22050
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(3 * t)) / 22050
    harmonics = sum(np.sin(k * phase) / k**1.5 for k in range(1, 50))
    x = 0.2 * harmonics * np.clip(np.sin(2 * np.pi * 2 * t), 0, 1) ** 0.5
    x += (3e-4 + noise) * rng.normal(size=len(t))
    return np.clip(10 ** (gain_db / 20) * x, -1, 1).astype(np.float32)


def natural(x):
    return np.asarray(mel_spectrogram(x, MEL))


@pytest.fixture(scope="module")
def mel():
    return natural(speechlike())


def smoothed(mel):
    kernel = np.ones(9) / 9
    return np.stack([np.convolve(band, kernel, "valid") for band in mel])


@pytest.mark.parametrize("gain_db", [-60, -40, -20, -10, 0, 10])
@pytest.mark.parametrize("noise", [0, 1e-3, 1e-2, 0.1])
def test_natural_log_mels_pass(gain_db, noise):
    mel = natural(speechlike(gain_db, noise))
    for case in (mel, smoothed(mel), mel[:, 40:44], np.float16(mel), mel - 0.3, mel + 0.3):
        assert describe_scale(case, MEL) is None


@pytest.mark.parametrize("samples", [np.zeros, lambda n: np.full(n, 1e-5)])
def test_silence_passes(samples):
    assert describe_scale(natural(samples(9000).astype(np.float32)), MEL) is None


def test_extremes_of_audio_pass(rng):
    n = np.arange(9000)
    for x in (np.sin(n / 10), np.sign(np.sin(n / 30)), rng.uniform(-1, 1, 9000)):
        assert describe_scale(natural(x.astype(np.float32)), MEL) is None


def convert(mel, scale):
    m = np.exp(mel.astype(np.float64))
    log10 = np.log10(m)
    unit = np.clip((20 * log10 + 80) / 100, 0, 1)
    return {
        "linear": m,
        "power": 20 * m**2,
        "log10": log10,
        "decibels": 20 * log10,
        "top_db": 20 * np.maximum(log10 - log10.max(), -4),
        "log_power": 2 * mel,
        "int16": np.where(mel < -11.5, mel, mel + np.log(32768)),
        "unit": unit,
        "signed": 2 * unit - 1,
        "four": 8 * unit - 4,
        "deviations": (mel - mel.mean()) / mel.std(),
        "other_floor": np.where(mel < -9, np.log(1e-10), mel),
    }[scale]


@pytest.mark.parametrize("level", [-10, 0, 10])
@pytest.mark.parametrize(
    ("scale", "looks"),
    [
        ("linear", "linear magnitudes"),
        ("power", "linear power"),
        ("log10", "look log10"),
        ("decibels", "decibels"),
        ("top_db", "decibels"),
        ("log_power", "natural log of power"),
        ("int16", "full scale 32768"),
        ("unit", "normalized"),
        ("signed", "normalized"),
        ("four", "normalized"),
        ("deviations", "normalized"),
        ("other_floor", "lower floor than 1e-05"),
    ],
)
def test_other_scales_are_named(scale, looks, level):
    # A quiet clip's power looks like magnitudes.
    x = speechlike(10 if scale == "power" else level, noise=1e-3)
    x[:3000] = 0
    line = describe_scale(convert(natural(x), scale), MEL)
    assert looks in line
    assert "; pass " in line
    assert "\n" not in line


def test_the_remedies_work(mel):
    quiet = np.maximum(mel, np.log(1e-5))
    names = {"mel": None, "np": np}
    for scale, tolerance in [("linear", 1e-5), ("log10", 1e-5), ("decibels", 1e-4)]:
        # Clipped to the floor in three places, as silence would be.
        clipped = quiet.copy()
        clipped[:3, 0] = np.log(1e-5)
        line = describe_scale(convert(clipped, scale), MEL)
        names["mel"] = convert(clipped, scale)
        converted = eval(line.split("; pass ")[1], names)
        np.testing.assert_allclose(converted, clipped, atol=tolerance)


def test_shapes_and_numbers(mel):
    assert "transpose it (mel.T)" in describe_scale(mel.T, MEL)
    assert "pass mel[0]" in describe_scale(mel[None], MEL)
    assert "has 79 bands, not 80" in describe_scale(mel[1:], MEL)
    assert "not [80, frames]" in describe_scale(mel[0], MEL)
    assert "no frames" in describe_scale(mel[:, :0], MEL)
    assert "complex64" in describe_scale(mel.astype(np.complex64), MEL)
    bad = mel.copy()
    bad[0, :2] = np.nan, -np.inf
    assert describe_scale(bad, MEL).startswith("2 of ")
    assert describe_scale(np.zeros((80, 5), np.int16), MEL) is not None


# log10 with other floors: ESPnet and ParallelWaveGAN clip at 1e-10, which nothing reaches

SETTINGS = {
    "22 kHz": MEL,
    "16 kHz": MelSettings(
        sample_rate=16000, hop_length=200, win_length=800, f_min=80.0, f_max=7600.0
    ),
    "8 kHz": MelSettings(
        sample_rate=8000, n_fft=512, hop_length=64, win_length=256, n_mels=40, f_max=4000.0
    ),
    "higher floor": MelSettings(floor=1e-3),
}


def is_told_apart(x, settings, floor):
    """Returns whether log10 of the mel of `x` is flagged, and its natural log is not."""
    made = clip_mel(np.float32(x), dataclasses.replace(settings, floor=floor))
    natural = np.maximum(made, np.log(settings.floor))
    line = describe_scale(made / np.float32(np.log(10)), settings)
    converted = eval(line.split("; pass ")[1], {"np": np, "mel": made / np.log(10)})
    np.testing.assert_allclose(converted, natural, atol=1e-3)
    return "look log10" in line and describe_scale(natural, settings) is None


@pytest.mark.parametrize("floor", [1e-10, 1e-12, 1e-5])
@pytest.mark.parametrize("name", SETTINGS)
def test_log10_of_any_floor_is_told_from_natural_logs(name, floor):
    settings = SETTINGS[name]
    for seed in range(3):
        x = synthetic_speech(3.0, settings.sample_rate, seed=seed)
        assert is_told_apart(x, settings, min(floor, settings.floor))
        padded = np.pad(
            x, (settings.hop_length * 20, settings.hop_length * 20)
        )  # silence reaches the floor
        assert is_told_apart(padded, settings, min(floor, settings.floor))


@pytest.mark.slow
@pytest.mark.skipif(not CLIPS.is_dir(), reason="LJSpeech is not here (../shared/data)")
def test_log10_of_recordings():
    for path in sorted(CLIPS.glob("*.wav")):
        x = soundfile.read(path)[0]
        for floor in (1e-10, 1e-5):
            assert is_told_apart(x, MEL, floor), path.name
        assert describe_doubts(clip_mel(np.float32(x), MEL)) is None


# Undecidable cases


def test_a_square_mel_is_doubted():
    mel = clip_mel(np.float32(synthetic_speech(80 * 256 / 22050)), MEL)
    assert mel.shape == (80, 80)
    for case in (mel, mel.T):
        assert describe_scale(case, MEL) is None
        assert "cannot be told: if it is [frames, bands], pass mel.T" in describe_doubts(case)


def test_bands_in_reverse_are_doubted():
    for seed in range(3):
        mel = clip_mel(np.float32(synthetic_speech(2.0, seed=seed)), MEL)
        assert describe_doubts(mel) is None
        assert "pass mel[::-1]" in describe_doubts(mel[::-1])
