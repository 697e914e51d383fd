"""Latency by blips and by cross-correlation: imposed delays must be found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.cross_correlation import linear_predictor
from data_pipeline.latency import latency_from_blips, latency_from_playing, manual_latency
from data_pipeline.standard_files import STANDARD_FILES, VERSION_2, VERSION_3, VERSION_4
from wf_jax.errors import UserError

RATE = 48_000
REAL_PAIR = Path(__file__).resolve().parents[3] / "shared" / "data" / "amp"


def blip_response(standard, delay, level=0.5, noise=0.0, last_delay=None):
    """Makes an output with a single-sample response per blip, and noise in its interval."""
    stop = standard.first_blips_start + standard.t_blips
    y = np.zeros(stop + 1_000)
    for blip in standard.blips:
        y[blip + delay] = level
    if last_delay is not None:
        y[standard.blips[-1] + delay] = 0.0
        y[standard.blips[-1] + last_delay] = level
    y[standard.noise_interval[0]] = noise
    return y


@pytest.mark.parametrize("standard", STANDARD_FILES, ids=lambda s: s.version)
@pytest.mark.parametrize("delay", [-10, 0, 5, 100, 9_999])
def test_blips_of_every_version(standard, delay):
    latency = latency_from_blips(blip_response(standard, delay), standard)
    assert latency.samples == latency.recommended == delay - 1
    assert (latency.measured, latency.method, latency.warnings) == (delay, "blips", ())
    at_delay = latency.lags == delay
    assert latency.curves[0][at_delay] == 0.5


@pytest.mark.parametrize(
    ("level", "noise", "found"),
    [(0.00031, 0.0, True), (0.00029, 0.0, False), (0.1004, 0.1, True), (0.1002, 0.1, False)],
)
def test_blip_threshold(level, noise, found):
    y = blip_response(VERSION_3, 37, level, noise)
    if found:
        assert latency_from_blips(y, VERSION_3).samples == 36
    else:
        with pytest.raises(UserError, match=r"no response.*;.*by hand") as caught:
            latency_from_blips(y, VERSION_3)
        assert "\n" not in str(caught.value)


def test_high_noise_threshold_is_relative():
    assert latency_from_blips(blip_response(VERSION_3, 3, 0.9, 0.8), VERSION_3).threshold == (
        pytest.approx(0.8008)
    )


def test_scans_are_averaged():
    """One blip alone exceeds the threshold, their average does not."""
    y = blip_response(VERSION_3, 5, 0.0005)
    y[VERSION_3.blips[1] + 5] = -0.0005
    with pytest.raises(UserError, match="no response"):
        latency_from_blips(y, VERSION_3)


def test_noise_before_the_blips_is_reported():
    y = np.full(VERSION_3.first_blips_start + VERSION_3.t_blips, 0.2)
    y[slice(*VERSION_3.noise_interval)] = 0.0
    latency = latency_from_blips(y, VERSION_3)
    assert latency.measured == -1000
    assert latency.matches_lookahead
    assert "by hand" in latency.warnings[0]


def test_blips_that_disagree_are_reported():
    steady = latency_from_blips(blip_response(VERSION_2, 30, last_delay=49), VERSION_2)
    assert (steady.disagreement, steady.warnings) == (19, ())
    drifting = latency_from_blips(blip_response(VERSION_2, 30, last_delay=50), VERSION_2)
    assert drifting.measured == 30
    assert "disagree by 20 samples" in drifting.warnings[0]


def test_an_output_that_ends_before_the_blips():
    with pytest.raises(UserError, match=r"ends at .* before the blips"):
        latency_from_blips(np.zeros(20_000), VERSION_4)


def test_a_manual_latency_keeps_the_measurement():
    assert manual_latency(12).measured is None
    measured = latency_from_blips(blip_response(VERSION_2, 30), VERSION_2)
    manual = manual_latency(12, measured)
    assert (manual.samples, manual.method, manual.recommended) == (12, "manual", 29)


@settings(max_examples=12, deadline=None)
@given(delay=st.integers(-5_000, 20_000), inverted=st.booleans())
def test_playing_at_any_delay(playing, amp, delayed, delay, inverted):
    x = playing(5.0)
    y = delayed(amp(x), delay) * (-1 if inverted else 1)
    latency = latency_from_playing(x, y, RATE)
    assert latency.samples == delay - 1
    assert latency.measured == delay
    assert latency.confidence > 0.7
    assert latency.polarity == (-1 if inverted else 1)


@pytest.mark.parametrize("rate", [44_100, 96_000])
def test_playing_at_other_rates(playing, amp, rate):
    x = playing(3.0, rate)
    assert latency_from_playing(x, amp(x, 700), rate).samples == 699


@pytest.mark.parametrize(
    ("name", "distort"),
    [
        ("clean", lambda x: 0.5 * x),
        ("fuzz", lambda x: np.tanh(200.0 * x)),
        ("square", np.sign),
        ("rectifier", lambda x: np.maximum(x, 0.0)),
        ("octave fuzz", lambda x: np.abs(x) - np.abs(x).mean()),
    ],
)
def test_playing_through_distortion(playing, delayed, name, distort):
    x = playing(5.0)
    latency = latency_from_playing(x, delayed(distort(x), 480), RATE)
    assert latency.samples == 479, name


def test_a_dull_amp_does_not_shift_the_onset(playing, delayed):
    """Tests a low-pass whose response peaks 10 samples after it begins."""
    x = playing(5.0)
    n = np.arange(200)
    y = np.convolve(np.tanh(5 * x), n * np.exp(-n / 10.0) + 0.02 * (n == 0))[: len(x)]
    latency = latency_from_playing(x, delayed(y, 50), RATE)
    assert latency.samples in (48, 49, 50)


@pytest.mark.parametrize("decibels", [-60, -40, -20])
def test_playing_with_noise(playing, amp, decibels):
    x = playing(5.0)
    y = amp(x, 37)
    noise = np.random.default_rng(5).standard_normal(len(y)) * y.std() * 10 ** (decibels / 20)
    assert latency_from_playing(x, y + noise, RATE).samples == 36


def test_playing_with_an_offset(playing, amp):
    x = playing(3.0)
    assert latency_from_playing(x + 0.01, amp(x, 37) + 0.2, RATE).samples == 36


def test_half_a_sample(playing, amp):
    """A fractional delay rings before it: never later than the truth, at most 12 samples early."""
    x = playing(5.0)
    size = 1 << 19
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * 37.5)
    y = np.fft.irfft(np.fft.rfft(amp(x), size) * turn, size)[: len(x)]
    latency = latency_from_playing(x, y, RATE)
    assert 25 <= latency.samples <= 37


def test_the_peak_has_a_fraction(playing):
    x = playing(5.0)
    y = np.convolve(x, np.r_[np.zeros(40), 0.75, 0.25])[: len(x)]
    latency = latency_from_playing(x, y, RATE)
    assert latency.measured == 40
    assert 40.0 < latency.peak < 40.5


@pytest.mark.parametrize("kind", ["unrelated", "silent output", "silent input", "sine"])
def test_files_that_do_not_fit(playing, kind):
    x, y = playing(3.0, seed=1), playing(3.0, seed=2)[::-1]
    tone = np.sin(2 * np.pi * 440 / RATE * np.arange(len(x)))
    x, y = {
        "unrelated": (x, y),
        "silent output": (x, 0 * y),
        "silent input": (0 * x, y),
        "sine": (tone, np.tanh(tone)),
    }[kind]
    with pytest.raises(UserError, match=r"confidence.*;.*by hand") as caught:
        latency_from_playing(x, y, RATE)
    assert "\n" not in str(caught.value)


def test_a_delay_out_of_reach(playing, amp):
    x = playing(4.0)
    y = amp(x, 30_000)
    with pytest.raises(UserError, match=r"up to 0\.50 s"):
        latency_from_playing(x, y, RATE)
    assert latency_from_playing(x, y, RATE, search_seconds=0.8).samples == 29_999


def test_linear_predictor_against_the_normal_equations():
    r = np.correlate(*[np.random.default_rng(3).standard_normal(400)] * 2, "full")[399:410]
    matrix = r[np.abs(np.subtract.outer(np.arange(10), np.arange(10)))]
    expected = np.linalg.solve(matrix, -r[1:11])
    np.testing.assert_allclose(linear_predictor(r)[1:], expected, rtol=1e-9)


def test_in_words():
    said = replace(manual_latency(48), confidence=None).describe(RATE)
    assert said == "output late by 48 samples (1.00 ms), given by hand"
    assert manual_latency(-24).describe(RATE).startswith("output early by 24 samples (0.50 ms)")
    assert "in time" in manual_latency(0).describe(RATE)


@pytest.mark.skipif(not REAL_PAIR.is_dir(), reason=f"needs the real pair in {REAL_PAIR}")
@pytest.mark.parametrize(
    ("delay", "gain", "noise"),
    [(0, 1, 0), (1, 1, 0), (37, -1, 0), (-20, 1, 0), (480, 1, 0.1), (5000, 1, 0)],
)
def test_real_pair(delayed, delay, gain, noise):
    x, _ = soundfile.read(REAL_PAIR / "di_60s.wav")
    y, _ = soundfile.read(REAL_PAIR / "a1_amp_60s.wav")
    hiss = noise * y.std() * np.random.default_rng(0).standard_normal(len(y))
    latency = latency_from_playing(x, gain * delayed(y, delay) + hiss, RATE)
    assert latency.samples == delay
    assert latency.confidence > 0.85
