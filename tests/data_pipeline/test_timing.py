"""The delay over time: imposed faults are found, and none in pairs without faults."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from scipy.signal import butter, lfilter

from data_pipeline import timing_checks
from data_pipeline.audio_files import Audio
from data_pipeline.local_correlation import best_path
from data_pipeline.synthetic_pair import demo_pair
from data_pipeline.timing import Jump, Timing, best_esr, longest_part, measure_timing

RATE = 48_000
REAL_PAIR = Path(__file__).resolve().parents[3] / "shared" / "data" / "amp"


def lose(y, samples, second):
    """Removes `samples` at a second, or inserts zeros where negative."""
    at = round(second * RATE)
    if samples < 0:
        return np.r_[y[:at], np.zeros(-samples), y[at:samples]]
    return np.r_[y[:at], y[at + samples :], np.zeros(samples)]


def drifting(y, ppm):
    """Resamples as by a clock that is faster by `ppm`."""
    return soxr.resample(y, RATE, RATE * (1.0 + 1e-6 * ppm), quality="VHQ")


def audio(samples, name="amp.wav", start=0):
    return Audio(samples, RATE, Path("folder") / name, "", 24, False, start)


@pytest.fixture(scope="module")
def pair():
    return demo_pair(24.0)


def measured(pair, change):
    return measure_timing(pair[0], change(pair[1]), RATE)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 4, 64, 512, -64])
def test_samples_lost_or_doubled(pair, samples):
    found = measured(pair, lambda y: lose(y, samples, 10.0))
    assert found.drift == 0.0
    assert [jump.samples for jump in found.jumps] == [-samples]
    assert found.jumps[0].position / RATE == pytest.approx(10.0, abs=0.2)
    assert found.start == pytest.approx(98.0, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [-100.0, -10.0, 10.0, 30.0, 100.0])
def test_clocks_that_drift(pair, ppm):
    found = measured(pair, lambda y: drifting(y, ppm))
    assert 1e6 * found.drift == pytest.approx(ppm, abs=0.3)
    assert found.jumps == ()


def test_two_losses_and_a_drift(pair):
    found = measured(pair, lambda y: lose(lose(drifting(y, 20.0), 64, 8.0), -200, 16.0))
    assert 1e6 * found.drift == pytest.approx(20.0, abs=0.5)
    assert [jump.samples for jump in found.jumps] == [-64, 200]
    assert [jump.position / RATE for jump in found.jumps] == pytest.approx([8.0, 16.0], abs=0.2)


def test_an_offset_that_is_known(pair):
    x, y = pair
    for offset in (40_000, -40_000):
        late = np.r_[np.zeros(offset), y] if offset > 0 else y[-offset:]
        found = measure_timing(x, lose(late, 64, 10.0), RATE, offset)
        assert found.start == pytest.approx(98.0 + offset, abs=0.2)
        assert found.jumps[0].samples == -64
        assert found.jumps[0].position / RATE == pytest.approx(10.0, abs=0.2)


def switched(x):
    """Makes a dull, clean first half and a bright, distorted second half."""
    half = len(x) // 2
    dull = lfilter(*butter(2, 0.1), np.tanh(2 * x[:half]))
    return np.r_[dull, 0.3 * lfilter(*butter(2, 0.3), np.tanh(300 * x[half:]))]


def gated(x):
    whole = x[: len(x) // 480 * 480].reshape(-1, 480)
    return np.tanh(20 * x[: whole.size]) * np.repeat(np.abs(whole).max(axis=1) > 0.05, 480)


def chorus(x):
    n = np.arange(len(x))
    delay = 240 + 96 * np.sin(2 * np.pi * 0.7 * n / RATE)
    return np.tanh(4 * x) + np.interp(n - delay, n, np.tanh(4 * x))


def hissing(x):
    y = np.tanh(10 * x)
    return y + 0.3 * y.std() * np.random.default_rng(0).normal(size=len(y))


AMPS = {
    "clean": lambda x: 0.5 * x,
    "fuzz": lambda x: np.tanh(200 * x),
    "square": np.sign,
    "rectifier": lambda x: np.maximum(x, 0.0),
    "octave fuzz": np.abs,
    "switched": switched,
    "gated": gated,
    "chorus": chorus,
    "echo": lambda x: x + 0.5 * np.r_[np.zeros(14_400), x[:-14_400]],
    "compressor": lambda x: x / (lfilter([0.001], [1, -0.999], np.abs(x)) + 0.01),
    "sagging": lambda x: np.tanh(30 * x - 20 * lfilter([0.001], [1, -0.999], np.abs(x))),
    "hissing": hissing,
    "dull": lambda x: lfilter(*butter(6, 1000, fs=RATE), np.tanh(10 * x)),
    "thin": lambda x: lfilter(*butter(2, 3000, "high", fs=RATE), np.tanh(10 * x)),
    "crushed": lambda x: np.repeat(x[::6], 6)[: len(x)],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", AMPS)
def test_no_finding_in_a_whole_pair(pair, name):
    found = measure_timing(pair[0], AMPS[name](pair[0]), RATE)
    assert found.is_steady, found


@pytest.mark.parametrize("name", ["fuzz", "octave fuzz", "dull", "switched", "hissing"])
def test_lost_samples_behind_any_amp(pair, name):
    found = measure_timing(pair[0], lose(AMPS[name](pair[0]), 64, 16.0), RATE)
    assert [jump.samples for jump in found.jumps] == pytest.approx([-64], abs=2)
    assert found.jumps[0].position / RATE == pytest.approx(16.0, abs=0.5)


def test_the_built_in_pair_is_whole(pair):
    found = measured(pair, lambda y: y)
    assert found.is_steady
    assert found.start == pytest.approx(98.0, abs=0.1)


def test_nothing_to_follow(playing):
    x = playing(6.0)
    assert measure_timing(x, playing(6.0, seed=5)[::-1], RATE) is None
    assert measure_timing(x, 0 * x, RATE) is None
    assert measure_timing(x[: 2 * RATE], x[: 2 * RATE], RATE) is None


def test_a_window_that_fits_everywhere_goes_with_its_neighbors():
    curves = np.random.default_rng(0).normal(size=(8, 1000)).astype(np.float32)
    curves[:, 500] = 9.0
    curves[3, [100, 500]] = 9.0, 8.5
    curves[4, [200, 500]] = 12.0, 5.0
    path, clear = best_path(curves)
    assert path.tolist() == [500] * 8
    assert clear.tolist() == [True] * 4 + [False] + [True] * 3


# The cost


def steady(**changes):
    return replace(Timing(np.zeros(0), np.zeros(0), 0.0), **changes)


@pytest.mark.slow
def test_the_cost_of_a_loss_between_the_parts(playing):
    """A model that learned one delay is judged at another: 2 (1 - autocorrelation)."""
    y = lfilter(*butter(2, 0.05), playing(10.0))
    parts = (0, 8 * RATE), (8 * RATE, 10 * RATE)
    for samples in (1, 5, 20):
        cost = best_esr(steady(jumps=(Jump(8 * RATE, samples),)), y, *parts)
        judged = y[8 * RATE :]
        correlation = judged[samples:] @ judged[:-samples] / (judged @ judged)
        assert cost == pytest.approx(min(2 * (1 - correlation), 1.0), rel=0.05)
    assert best_esr(steady(), y, *parts) == 0.0


def test_the_cost_of_a_loss_within_the_training_part():
    """For white noise, a share of the judged delay leaves (1 - share)^2 + (the rest)^2."""
    y = np.random.default_rng(0).normal(size=10 * RATE)
    loss = steady(jumps=(Jump(2 * RATE, 64),))
    cost = best_esr(loss, y, (0, 8 * RATE), (8 * RATE, 10 * RATE))
    assert cost == pytest.approx(2 * 0.25**2, rel=0.02)


def test_the_longest_part():
    jumps = (Jump(100, 1), Jump(700, 1))
    assert longest_part(steady(jumps=jumps), 1000, 10) == (110, 690)
    assert longest_part(steady(jumps=jumps[:1]), 1000, 10) == (110, 1000)
    assert longest_part(steady(), 1000, 10) == (0, 1000)


# In words


def said(timing, cost, can_cut=True):
    x, y = audio(np.zeros(60 * RATE), "di.wav"), audio(np.zeros(60 * RATE), start=RATE)
    return timing_checks.check_timing(x, y, timing, cost, can_cut)


@pytest.mark.parametrize(("cost", "level"), [(0.02, "error"), (0.005, "warning"), (0.0, "note")])
def test_losses_in_words(cost, level):
    loss = steady(jumps=(Jump(20 * RATE, -64), Jump(50 * RATE, 1)))
    finding = said(loss, cost)
    assert finding.level == level
    line = finding.line()
    assert line.startswith("amp.wav: 64 samples are missing at 21.0 s and 1 sample is too many at")
    price = f"so no model can get below an ESR of {cost:.2g}"
    assert f", {price if cost else 'which costs next to nothing'}; record again" in line
    assert "start_seconds=22.00, stop_seconds=50.00" in line
    assert "start_seconds" not in said(loss, cost, can_cut=False).line()
    many = steady(jumps=tuple(Jump(i * RATE, 9) for i in range(1, 9)))
    assert "and 5 more such places, " in said(many, cost).line()


def test_drift_in_words():
    line = said(steady(drift=-3e-5), 0.5).line()
    assert "amp.wav: the clocks differ by 30 ppm (86 samples from start to end), so no" in line
    assert line.endswith(
        "record both with one clock, or resample the drift away (correct_drift=true)"
    )
    assert said(None, 0.0).level == said(steady(), 0.0).level == "ok"


def test_dropouts(playing):
    x = audio(playing(6.0), "di.wav")
    y = x.samples.copy()
    y[2 * RATE : 3 * RATE] = 1e-5
    finding = timing_checks.check_dropouts(x, audio(y, start=RATE), 0, True)
    assert finding.level == "error"
    assert finding.message == "amp.wav: silent from 3.00 to 4.00 s while di.wav plays"
    assert timing_checks.check_dropouts(x, audio(x.samples), 0, True).level == "ok"
    gate = gated(x.samples)
    assert timing_checks.check_dropouts(x, audio(gate), 0, True).level == "ok"
    sweep = x.samples.copy()
    sweep[2 * RATE : 3 * RATE] = 0.5 * np.sin(2 * np.pi * 15_000 / RATE * np.arange(RATE))
    assert timing_checks.check_dropouts(audio(sweep), audio(y), 0, True).level == "ok"
    longer = np.r_[np.zeros(RATE), x.samples, np.zeros(RATE)]
    assert timing_checks.check_dropouts(x, audio(longer), RATE, True).level == "ok"


@pytest.mark.parametrize("ppm", [-100.0, 30.0])
def test_resampling_undoes_a_drift(pair, ppm):
    x, y = pair
    undone, finding = timing_checks.without_drift(audio(drifting(y, ppm)), 1e-6 * ppm)
    middle = slice(RATE, 20 * RATE)
    error = undone.samples[middle] - y[middle]
    assert np.mean(error**2) < 1e-6 * np.mean(y[middle] ** 2)
    assert f"resampled by {ppm:+.2f} ppm" in finding.line()
    assert measure_timing(x, undone.samples, RATE).is_steady


@pytest.mark.slow
@pytest.mark.skipif(not REAL_PAIR.is_dir(), reason=f"needs the real pair in {REAL_PAIR}")
def test_the_real_pair():
    x, _ = soundfile.read(REAL_PAIR / "di_60s.wav")
    y, _ = soundfile.read(REAL_PAIR / "a1_amp_60s.wav")
    assert measure_timing(x, y, RATE).is_steady
    lost = measure_timing(x, lose(y, 64, 20.0), RATE)
    assert [jump.samples for jump in lost.jumps] == [-64]
    assert lost.jumps[0].position / RATE == pytest.approx(20.0, abs=0.1)
    assert 1e6 * measure_timing(x, drifting(y, 10.0), RATE).drift == pytest.approx(10.0, abs=0.1)
