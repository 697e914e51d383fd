"""Pairs of files from end to end: results of good ones, messages for bad ones."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from data_pipeline.audio_files import write_wav
from data_pipeline.captures import check_capture, load_capture, metadata
from data_pipeline.pair_report import Used
from data_pipeline.standard_files import VERSION_2, VERSION_3
from wf_jax.errors import UserError

RATE = 48_000
SMALL = {"receptive_field": 500, "window": 1000, "validation_seconds": 1.0}
REAL_PAIR = Path(__file__).resolve().parents[3] / "shared" / "data" / "amp"


@pytest.fixture(scope="session")
def signals(playing, amp):
    x = playing(4.0)
    return x, amp(x, 37)


@pytest.fixture
def files(tmp_path, signals):
    write_wav(tmp_path / "di.wav", signals[0], RATE)
    write_wav(tmp_path / "amp.wav", signals[1], RATE)
    return tmp_path / "di.wav", tmp_path / "amp.wav"


@pytest.fixture
def standard(tmp_path, playing, amp):
    """Makes a small standard file: 0.8 s validation, blips, training, silence, validation again."""
    layout = replace(
        VERSION_3,
        first_blips_start=60_000,
        t_blips=40_000,
        noise_interval=(61_000, 65_000),
        blips=(70_000, 85_000),
        train=(60_000, -38_400),
        validation=(-38_400, None),
        replicates=((None, 38_400), (-38_400, None)),
        slice_md5s=(),
    )
    passage = playing(0.8, seed=9)
    x = np.zeros(240_000)
    x[:38_400] = x[-38_400:] = passage
    x[[70_000, 85_000]] = 0.9
    x[100_000:170_000] = playing(70_000 / RATE, seed=8)
    x = np.round(x * 2**23) / 2**23
    paths = tmp_path / "input.wav", tmp_path / "output.wav"
    soundfile.write(paths[0], x, RATE, subtype="PCM_24")
    y = np.convolve(np.tanh(4 * x), 0.2 * np.exp(-np.arange(50) / 9))[: len(x)]
    y = np.r_[np.zeros(120), y[:-120]]
    write_wav(paths[1], y, RATE)
    md5 = hashlib.md5(paths[0].read_bytes()).hexdigest()
    return paths, x, y, replace(layout, file_md5=md5)


def rewrite(path, samples, rate=RATE):
    write_wav(path, samples, rate)


def error_of(files, **options):
    with pytest.raises(UserError) as caught:
        load_capture(*files, **(SMALL | options))
    message = str(caught.value)
    assert "\n" not in message, "one fault, one line"
    assert ";" in message, "a remedy follows the fault"
    return message


def test_alignment_split_and_normalization(files, signals):
    x, y = (np.float32(s).astype(float) for s in signals)
    capture = load_capture(*files, **SMALL)
    assert (capture.name, capture.sample_rate, capture.standard_version) == ("amp", RATE, None)
    assert capture.latency.samples == 36
    assert capture.validation_start_seconds == 3.0
    cut = 3 * RATE
    gain = 10 ** (-18 / 20) / np.sqrt(np.mean(y[36:cut] ** 2))
    assert capture.output_gain == pytest.approx(gain, rel=1e-12)
    expected = {
        "input_train": x[: cut - 36],
        "output_train": gain * y[36:cut],
        "input_validation": x[cut:-36],
        "output_validation": gain * y[cut + 36 :],
    }
    for name, value in expected.items():
        array = getattr(capture, name)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, value.astype(np.float32))


def test_a_negative_latency_cuts_the_other_ends(files, signals):
    x, y = (np.float32(s) for s in signals)
    capture = load_capture(*files, latency=-10, **SMALL)
    cut = 3 * RATE
    np.testing.assert_array_equal(capture.input_train, x[10:cut])
    np.testing.assert_array_equal(capture.input_validation, x[cut + 10 :])
    assert len(capture.output_validation) == RATE - 10
    ratio = capture.output_train / capture.output_gain
    np.testing.assert_allclose(ratio, y[: cut - 10], rtol=1e-6)


def test_the_level_is_a_choice(files):
    capture = load_capture(*files, level_dbfs=-6.0, **SMALL)
    rms = np.sqrt(np.mean(capture.output_train.astype(float) ** 2))
    assert 20 * np.log10(rms) == pytest.approx(-6.0, abs=1e-5)


def test_different_lengths_are_cut_to_the_shorter(files, signals):
    rewrite(files[1], np.r_[signals[1], np.zeros(RATE // 2)])
    capture = load_capture(*files, **SMALL)
    assert capture.validation_start_seconds == 3.0
    assert len(capture.output_validation) == len(capture.input_validation) == RATE - 36
    assert [f.check for f in capture.findings if f.level == "warning"] == ["lengths"]


def test_a_standard_file(standard):
    paths, x, y, layout = standard
    capture = load_capture(*paths, standard_files=(layout,), **SMALL)
    assert capture.standard_version == "3.0.0"
    assert (capture.latency.method, capture.latency.samples) == ("blips", 119)
    assert {f.level for f in capture.findings} == {"ok"}
    assert capture.validation_start_seconds == (240_000 - 38_400) / RATE
    np.testing.assert_array_equal(capture.input_train, np.float32(x[60_000:-38_519]))
    y = np.float32(y)[60_000 + 119 : -38_400]
    np.testing.assert_allclose(capture.output_train / capture.output_gain, y, rtol=1e-5)
    assert metadata(capture) == {
        "latency": {
            "manual": None,
            "calibration": {
                "algorithm_version": 1,
                "delays": [120],
                "safety_factor": 1,
                "recommended": 119,
                "warnings": {
                    "matches_lookahead": False,
                    "disagreement_too_high": False,
                    "not_detected": False,
                },
            },
        },
        "checks": {"version": 3, "passed": True},
    }


def test_faults_that_may_be_ignored(standard):
    paths, _, y, layout = standard
    options = {**SMALL, "standard_files": (layout,)}
    rewrite(paths[1], np.r_[0.8 * y[:38_400], y[38_400:]])
    assert "output.wav: two passes" in error_of(paths, standard_files=(layout,))
    capture = load_capture(*paths, ignore_checks=True, **options)
    assert capture.ignore_checks
    assert not metadata(capture)["checks"]["passed"]
    rewrite(paths[1], 10.0 * y)
    assert "is clipped" in error_of(paths, standard_files=(layout,))
    assert load_capture(*paths, ignore_checks=True, **options).name == "output"


@pytest.mark.parametrize("short", [1, 4_000])
def test_a_standard_file_that_lacks_its_end(standard, short):
    """Silence replaces the missing end, so that the parts stay in place."""
    paths, x, y, layout = standard
    rewrite(paths[1], y[:-short])
    capture = load_capture(*paths, standard_files=(layout,), ignore_checks=True, **SMALL)
    said = [finding.line() for finding in capture.findings if finding.check == "lengths"]
    difference = "1 sample shorter" if short == 1 else "0.083 s shorter"
    assert said == [
        f"output.wav: {(240_000 - short) / RATE:.3f} s, {difference} than input.wav;"
        " silence is put in place of what is missing"
    ]
    assert capture.validation_start_seconds == (240_000 - 38_400) / RATE
    np.testing.assert_array_equal(capture.input_validation, np.float32(x[-38_400:-119]))
    recorded = capture.output_validation / capture.output_gain
    np.testing.assert_allclose(recorded[:-short], np.float32(y)[-38_400 + 119 : -short], rtol=1e-5)
    assert not recorded[-short:].any()
    if short == 1:
        assert {finding.level for finding in capture.findings} == {"ok", "note"}


def test_a_standard_file_is_used_whole(standard):
    paths, _, _, layout = standard
    message = error_of(paths, standard_files=(layout,), used=Used(start_seconds=1.0))
    assert "version 3.0.0 of the standard file has its own parts" in message


def test_an_old_version_needs_ignore_checks(standard):
    paths, _, _, layout = standard
    old = replace(layout, version="2.0.0", deprecated=True, replicates=VERSION_2.replicates)
    old = replace(old, replicates=None)
    message = error_of(paths, standard_files=(old,))
    assert "version 2.0.0 is deprecated" in message
    assert "ignore_checks" in message
    capture = load_capture(*paths, standard_files=(old,), ignore_checks=True, **SMALL)
    assert metadata(capture)["checks"] == {"version": 2, "passed": False}


def test_a_standard_file_that_was_touched_before_its_validation_part(standard):
    paths, x, _, layout = standard
    x[-38_401] = 2**-23
    soundfile.write(paths[0], x, RATE, subtype="PCM_24")
    md5 = hashlib.md5(paths[0].read_bytes()).hexdigest()
    message = error_of(paths, standard_files=(replace(layout, file_md5=md5),))
    assert "input.wav: not exactly zero" in message


def test_blips_that_do_not_arrive_and_a_manual_latency(standard):
    paths, _, y, layout = standard
    quiet = y.copy()
    quiet[60_000:95_000] = 0
    rewrite(paths[1], quiet)
    message = error_of(paths, standard_files=(layout,), ignore_checks=True)
    assert "output.wav: no response to the blips" in message
    assert "by hand" in message
    capture = load_capture(*paths, latency=119, standard_files=(layout,), **SMALL)
    assert capture.latency.method == "manual"
    calibration = metadata(capture)["latency"]["calibration"]
    assert (calibration["delays"], calibration["recommended"]) == ([], None)
    assert calibration["warnings"]["not_detected"]


def test_a_manual_latency_is_recorded_beside_the_measured_one(files):
    capture = load_capture(*files, latency=30, **SMALL)
    latency = metadata(capture)["latency"]
    assert latency["manual"] == capture.latency.samples == 30
    assert latency["calibration"]["recommended"] == 36
    assert latency["calibration"]["algorithm_version"] == 0


def test_the_two_given_the_wrong_way_round(files, standard):
    message = error_of(files[::-1])
    assert "swap them: di.wav as the input and amp.wav as the output" in message
    paths, _, _, layout = standard
    report = check_capture(*paths[::-1], standard_files=(layout,), **SMALL)
    assert "input.wav: is the standard input file" in report.errors()[0].line()


@pytest.mark.parametrize("ignore_checks", [False, True])
def test_critical_faults_can_not_be_ignored(files, signals, playing, ignore_checks):
    x, y = signals
    di, amp = files
    for samples, rate, fault in [
        (y, 44_100, "amp.wav: 44100 Hz, but di.wav is at 48000 Hz"),
        (y[: 2 * RATE], RATE, "amp.wav: 2.000 s, 2.000 s shorter than di.wav"),
        (np.r_[y[:-1], np.nan], RATE, "amp.wav: 1 samples are not numbers"),
        (0 * y, RATE, "amp.wav: is silent"),
        (playing(4.0, seed=77)[::-1], RATE, "amp.wav: can not be aligned"),
    ]:
        rewrite(amp, samples, rate)
        assert fault in error_of(files, ignore_checks=ignore_checks)
    rewrite(amp, y)
    rewrite(di, 0 * x)
    assert "di.wav: is silent" in error_of(files, ignore_checks=ignore_checks)
    di.unlink()
    assert "di.wav: no such file" in error_of(files, ignore_checks=ignore_checks)


def test_faults_that_own_recordings_may_have(files, signals):
    x, y = signals
    rewrite(files[1], x)
    assert "amp.wav: holds the same audio as di.wav" in error_of(files)
    rewrite(files[1], y / 0.6)
    assert "amp.wav: peak 1.000" in error_of(files)
    assert load_capture(*files, ignore_checks=True, **SMALL).latency.samples == 36


@pytest.fixture(scope="session")
def longer_signals(playing, amp):
    x = playing(12.0)
    return x, amp(x, 37)


@pytest.fixture
def longer(tmp_path, longer_signals):
    write_wav(tmp_path / "di.wav", longer_signals[0], RATE)
    write_wav(tmp_path / "amp.wav", longer_signals[1], RATE)
    return tmp_path / "di.wav", tmp_path / "amp.wav"


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("value", [0.0, 0.1])
def test_a_held_out_part_without_a_sound(longer, longer_signals, which, value):
    """A silent held-out part cannot be ignored: there is nothing to judge by."""
    samples = longer_signals[which].copy()
    samples[10 * RATE :] = value
    rewrite(longer[which], samples)
    options = SMALL | {"validation_seconds": 1.9}
    with pytest.raises(UserError) as caught:
        load_capture(*longer, ignore_checks=True, **options)
    name = longer[which].name
    state = "constant" if value else "silent"
    expected = (
        rf"{name}: the held-out part \(10\.1\d to 12\.00 s\) is {state}, .*; .*stop_seconds=10"
    )
    assert re.search(expected, str(caught.value))
    assert load_capture(*longer, used=Used(0.0, 10.0), **SMALL).validation_start_seconds == 9.0


def test_a_training_part_without_a_sound(longer, longer_signals):
    y = longer_signals[1].copy()
    y[: 11 * RATE] = 0.0
    rewrite(longer[1], y)
    with pytest.raises(UserError, match=r"amp.wav: the training part .* is silent"):
        load_capture(*longer, ignore_checks=True, latency=36, **SMALL)


def test_what_is_judged_begins_after_the_context(longer, longer_signals):
    """Judged audio begins after the context; sound before it does not count."""
    y = longer_signals[1].copy()
    y[round(11.4 * RATE) :] = 0.0
    rewrite(longer[1], y)
    options = SMALL | {"ignore_checks": True}
    assert load_capture(*longer, **options).name == "amp"
    with pytest.raises(UserError, match=r"the held-out part \(11.42 to 12.00 s\) is silent"):
        load_capture(*longer, **(options | {"receptive_field": 20_000}))


@pytest.mark.slow
def test_lost_samples_cost_something_and_a_part_is_in_step(longer, longer_signals):
    x, y = longer_signals
    rewrite(longer[1], np.r_[y[: 5 * RATE], y[5 * RATE + 64 :]])
    message = error_of(longer)
    assert re.match(
        r"amp.wav: 64 samples are missing at 5.0 s, so no model .* of 0\.\d+; ", message
    )
    part = re.search(r"start_seconds=(6\.\d+), stop_seconds=(12\.00|11\.99)\)", message)
    assert load_capture(*longer, ignore_checks=True, **SMALL).name == "amp"
    capture = load_capture(*longer, used=Used(float(part[1]), 0.0), **SMALL)
    assert capture.latency.samples == 36 - 64
    assert "note" in {f.level for f in capture.findings if "used from 6." in f.message}
    assert capture.part_seconds[0] == pytest.approx(float(part[1]), abs=1e-4)
    begin = round(float(part[1]) * RATE)
    np.testing.assert_array_equal(capture.input_train[:9], np.float32(x)[begin + 28 : begin + 37])


@pytest.mark.parametrize(
    ("start", "stop", "fault"),
    [
        (-1.0, 0.0, "start_seconds=-1 is not between 0 and 4.000 s"),
        (4.0, 0.0, "start_seconds=4 is not between"),
        (2.0, 1.0, "stop_seconds=1 is not between 2 and 4.000 s"),
        (0.0, 5.0, "stop_seconds=5 is not between 0 and 4.000 s"),
        (float("nan"), 0.0, "start_seconds=nan"),
    ],
)
def test_a_part_that_is_not_there(files, start, stop, fault):
    assert fault in error_of(files, used=Used(start, stop))


@pytest.mark.slow
def test_a_drift_is_undone_where_asked(longer, longer_signals):
    _, y = longer_signals
    drifting = soxr.resample(y, RATE, RATE * 1.0001, quality="VHQ")
    rewrite(longer[1], drifting)
    assert "amp.wav: the clocks differ by 100 ppm (58 samples" in error_of(longer)
    capture = load_capture(*longer, used=Used(correct_drift=True), **SMALL)
    assert any("resampled by +" in finding.message for finding in capture.findings)
    recorded = capture.output_train / capture.output_gain
    expected = y[capture.latency.samples :][: len(recorded)]
    # The rest is above the passband of the two resamplers.
    assert np.mean((recorded - expected) ** 2) < 5e-3 * np.mean(expected**2)
    rewrite(longer[1], y)
    plain, asked = (load_capture(*longer, used=Used(correct_drift=c), **SMALL) for c in (0, 1))
    np.testing.assert_array_equal(plain.output_train, asked.output_train)


@pytest.mark.parametrize("missing", [0.8, -1.5])
def test_a_start_that_is_missing(longer, longer_signals, missing):
    y, count = longer_signals[1], round(abs(missing) * RATE)
    late = np.r_[y[count:], np.zeros(count)] if missing > 0 else np.r_[np.zeros(count), y[:-count]]
    rewrite(longer[1], late)
    message = error_of(longer)
    said = "its first 0.799 s" if missing > 0 else "it begins 1.501 s"
    latency = 36 - round(missing * RATE)
    assert said in message
    assert f"latency={latency})" in message
    capture = load_capture(*longer, latency=latency, **(SMALL | {"validation_seconds": 3.0}))
    assert capture.latency.samples == latency


def test_too_short_says_how_long(files):
    options = {"receptive_field": 6347, "window": 8192}
    message = error_of(files, batch_size=17, **options)
    needed = (6346 + 17 * 8192 + 36) / RATE + 1.0 + 0.05  # rounded up
    assert "di.wav: 4.00 s leave 3.00 s of training" in message
    assert load_capture(*files, **(SMALL | options)).name == "amp"
    assert f"at least {needed:.1f} s" in message


def test_stereo_files_need_a_channel(files, signals):
    stereo = np.stack([np.zeros(len(signals[1])), signals[1]], axis=1)
    soundfile.write(files[1], stereo, RATE, subtype="FLOAT")
    message = error_of(files)
    assert "amp.wav: has 2 channels" in message
    assert "output_channel=1 to 2" in message
    assert load_capture(*files, output_channel=2, **SMALL).latency.samples == 36
    assert "is silent" in error_of(files, output_channel=1)
    soundfile.write(files[0], stereo, RATE, subtype="FLOAT")
    assert "input_channel=1 to 2" in error_of(files, output_channel=2)


def test_several_faults_are_several_lines(tmp_path):
    with pytest.raises(UserError) as caught:
        load_capture(tmp_path / "a.wav", tmp_path, **SMALL)
    lines = str(caught.value).split("\n")
    assert len(lines) == 2
    assert "a.wav: no such file" in lines[0]
    assert "is a folder" in lines[1]


def test_check_capture_reports_without_raising(files, tmp_path):
    report = check_capture(*files, **SMALL)
    assert report.errors() == ()
    assert report.latency.samples == 36
    broken = check_capture(tmp_path, files[1])
    assert [f.level for f in broken.findings] == ["error"]
    assert broken.latency is None


@pytest.mark.slow
@pytest.mark.skipif(not REAL_PAIR.is_dir(), reason=f"needs the real pair in {REAL_PAIR}")
def test_the_real_pair():
    paths = REAL_PAIR / "di_60s.wav", REAL_PAIR / "a1_amp_60s.wav"
    capture = load_capture(*paths)
    assert capture.latency.samples == 0
    assert {f.level for f in capture.findings} == {"ok", "note"}
    assert capture.input_train.shape == capture.output_train.shape == (51 * RATE,)
    assert [f.check for f in check_capture(*paths[::-1]).errors()] == ["direction"]
