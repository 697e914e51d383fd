"""Each check on a crafted fault: the level, and one line with file name, value and remedy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipeline import checks, direction_checks, latency_checks, standard_checks
from data_pipeline.audio_files import Audio
from data_pipeline.latency import latency_from_playing, manual_latency
from data_pipeline.pair_report import check_capture
from data_pipeline.standard_files import STANDARD_FILES, VERSION_2, VERSION_3, VERSION_4

RATE = 48_000


def audio(samples, name="amp.wav", rate=RATE):
    return Audio(np.asarray(samples, float), rate, Path("folder") / name, "", 24, False)


def assert_line(finding, level, *parts):
    assert finding.level == level
    line = finding.line()
    assert "\n" not in line
    for part in parts:
        assert part in line
    if level != "ok":
        assert finding.remedy
        assert line.endswith(finding.remedy)


@pytest.fixture(scope="module")
def pair(playing, amp):
    x = playing(5.0)
    return audio(x, "di.wav"), audio(amp(x, 100))


def test_esr_against_its_definition():
    target, prediction = np.array([3.0, 4.0]), np.array([3.0, 5.0])
    assert standard_checks.esr(prediction, target) == pytest.approx(1 / 25)
    assert standard_checks.esr(target, np.zeros(2)) == np.inf


def test_rates():
    x = audio(np.ones(10), "di.wav")
    assert_line(checks.check_rates(x, audio(np.ones(10))), "ok")
    wrong = checks.check_rates(x, audio(np.ones(10), rate=44_100))
    assert_line(wrong, "error", "amp.wav", "44100 Hz", "di.wav", "48000 Hz", "same rate")
    assert not wrong.ignorable


def test_player_rate():
    assert_line(checks.check_player_rate(audio([1.0])), "ok")
    finding = checks.check_player_rate(audio([1.0], "di.wav", 96_000))
    assert_line(finding, "note", "di.wav", "96000 Hz", "48000 Hz")


@pytest.mark.parametrize(
    ("samples", "standard", "own"),
    [
        (3 * RATE, "ok", "ok"),
        (4 * RATE, "ok", "warning"),
        (4 * RATE + 1, "error", "error"),
        (3 * RATE + 1, "ok", "note"),
        (3 * RATE - 1, "note", "note"),
        (3 * RATE - 4_800, "note", "note"),
        (3 * RATE - 4_801, "error", "warning"),
        (2 * RATE, "error", "warning"),
        (2 * RATE - 1, "error", "error"),
    ],
)
def test_lengths(samples, standard, own):
    x, y = audio(np.ones(3 * RATE), "di.wav"), audio(np.ones(samples))
    for layout, level in ((VERSION_3, standard), (None, own)):
        finding = checks.check_lengths(x, y, layout)
        assert_line(finding, level, "amp.wav", f"{samples / RATE:.3f} s")
        assert finding.ignorable != (level == "error")


@pytest.mark.parametrize(
    ("peak", "level", "shown"),
    [
        (0.0, "error", "exactly zero"),
        (9e-5, "error", "-81 dBFS"),
        (2e-4, "warning", "-74 dBFS"),
        (0.009, "warning", "-41 dBFS"),
        (0.02, "ok", "-34 dBFS"),
    ],
)
def test_levels(peak, level, shown):
    finding = checks.check_not_silent(audio([0.0, -peak, 0.0]))
    assert_line(finding, level, "amp.wav", shown)
    assert finding.ignorable != (level == "error")


def test_a_number_that_is_a_reason_is_never_zero(playing):
    x = audio(np.ones(3 * RATE), "di.wav")
    for missing, said in ((1, "1 sample shorter"), (20, "20 samples"), (480, "0.010 s shorter")):
        finding = checks.check_lengths(x, audio(np.ones(3 * RATE - missing)), VERSION_3)
        assert_line(finding, "note", said, "silence")
    needed = {"training": RATE, "validation": RATE}
    finding = checks.check_enough(x, {"training": RATE - 1, "validation": RATE}, needed, 0)
    assert "1 samples more" in finding.message
    short = audio(np.ones(11 * 44_100 - 1), rate=44_100)
    assert "1 sample more" in standard_checks.check_output_holds_all(short, VERSION_4).message
    quiet = 1e-4 * np.clip(10 * playing(1.0), -1, 1)
    assert "peak 0.0001000 at" in checks.check_clipping(audio(quiet), is_output=True).message


@pytest.mark.parametrize(("decibels", "level"), [(0, "ok"), (-19, "ok"), (-21, "note")])
def test_a_quiet_di(playing, decibels, level):
    x = playing(1.0) * 10 ** (decibels / 20)
    finding = checks.check_di_level(audio(x, "di.wav"))
    assert_line(finding, level, "di.wav", f"peak {decibels - 6} dBFS", "RMS")
    assert level == "ok" or "21 dB below" in finding.message


@pytest.mark.parametrize(
    ("value", "state", "level"),
    [(0.0, "silent", "zero"), (9e-5, "silent", "9e-05"), (0.3, "constant", "0.3")],
)
def test_a_part_in_which_nothing_happens(playing, value, state, level):
    y = playing(10.0)
    y[8 * RATE :] = value
    part = (8 * RATE, 10 * RATE)
    finding = checks.check_part(audio(y), "held-out", part, True)
    where = f"held-out part (8.00 to 10.00 s) is {state}, its peak is {level}"
    assert_line(finding, "error", "amp.wav", where, "stop_seconds=8.00")
    assert not finding.ignorable
    assert "stop_seconds" not in checks.check_part(audio(y), "held-out", part, False).remedy
    later = replace(audio(y), start=5 * RATE)
    assert "13.00 to 15.00 s" in checks.check_part(later, "held-out", part, True).message
    assert checks.check_part(audio(y), "training", (0, 8 * RATE), True).level == "ok"


def test_a_held_out_part_that_is_far_quieter(playing):
    y = playing(4.0)
    parts = (0, 2 * RATE), (2 * RATE, 4 * RATE)
    assert checks.check_part_levels(audio(y), *parts).level == "ok"
    y[2 * RATE :] *= 0.005
    assert_line(checks.check_part_levels(audio(y), *parts), "warning", "amp.wav", "45 dB below")


def test_clipping_at_full_scale(playing):
    y = playing(1.0)
    y[12_000] = -1.0
    assert_line(
        checks.check_clipping(audio(y), is_output=True),
        *("error", "amp.wav", "peak 1.000", "at 0.25 s", "clipped", "interface's input gain"),
    )
    finding = checks.check_clipping(audio(y, "di.wav"), is_output=False)
    assert_line(finding, "warning", "di.wav", "at 0.25 s", "level of the DI")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_flat_top_below_full_scale(playing, sign):
    y = playing(1.0)
    assert_line(checks.check_clipping(audio(y), is_output=True), "ok")
    dull = np.convolve(y, np.hanning(40) / 20)[: len(y)]
    clipped = sign * np.minimum(dull, 0.5 * dull.max())
    clipped *= 0.7 / np.abs(clipped).max()
    finding = checks.check_clipping(audio(clipped), is_output=True)
    if np.abs(dull.min()) > 0.5 * dull.max():  # the other side is higher: nothing to see there
        clipped = sign * np.clip(dull, -0.5 * dull.max(), 0.5 * dull.max())
        finding = checks.check_clipping(audio(clipped), is_output=True)
    assert_line(finding, "warning", "amp.wav", "flat top", "samples", "lower")


@pytest.mark.parametrize("frequency", [20, 82, 1000])
@pytest.mark.parametrize("level", [0.02, 0.3, 0.99])
def test_the_round_top_of_a_16_bit_sine_is_not_flat(frequency, level):
    sine = level * np.sin(2 * np.pi * frequency / RATE * np.arange(RATE))
    rounded = np.round(sine * 2**15) / 2**15
    assert checks.check_clipping(audio(rounded), is_output=True).level == "ok"


def test_dc_offset(playing):
    y = playing(1.0)
    assert checks.check_dc_offset(audio(y)).level == "ok"
    finding = checks.check_dc_offset(audio(y - y.mean() - 0.02))
    assert_line(finding, "warning", "amp.wav", "-0.02000", "% of its RMS")


def test_the_same_audio_twice(pair):
    x, y = pair
    assert checks.check_not_identical(x, y).level == "ok"
    longer = audio(np.r_[x.samples, 0.1])
    assert_line(checks.check_not_identical(x, longer), "error", "amp.wav", "same audio", "di.wav")


def test_too_short():
    x = audio(np.ones(5 * RATE), "di.wav")
    needed = {"training": 2 * RATE, "validation": RATE // 2}
    enough = {"training": 2 * RATE, "validation": RATE // 2}
    assert checks.check_enough(x, enough, needed, 0).level == "ok"
    finding = checks.check_enough(x, enough | {"training": RATE}, needed, RATE)
    # 2 s needed, 1 s lost to the latency, 3 s that the validation part takes
    assert_line(finding, "error", "di.wav", "1.00 s of training", "2.00 s", "at least 6.0 s")
    assert not finding.ignorable
    finding = checks.check_enough(x, enough | {"validation": 0}, needed, 0)
    assert_line(finding, "error", "0.00 s of validation", "0.50 s or longer")


def test_standard_rate_and_version():
    x = audio([1.0], "input.wav")
    assert standard_checks.check_standard_rate(x, VERSION_3).level == "ok"
    finding = standard_checks.check_standard_rate(x, VERSION_4)
    assert_line(finding, "error", "input.wav", "48000 Hz", "44100 Hz")
    for standard in STANDARD_FILES:
        finding = standard_checks.check_version(x, standard)
        assert_line(finding, "error" if standard.deprecated else "ok", standard.version)


def test_minimal_length_of_version_4():
    short = audio(np.ones(11 * 44_100 - 1), rate=44_100)
    finding = standard_checks.check_output_holds_all(short, VERSION_4)
    assert_line(finding, "error", "amp.wav", "11.0 s", "at least 11 s")
    whole = audio(np.ones(11 * 44_100), rate=44_100)
    assert standard_checks.check_output_holds_all(whole, VERSION_4).level == "ok"


@pytest.mark.parametrize("version", [VERSION_2, VERSION_3])
@pytest.mark.parametrize(("difference", "agrees"), [(0.09, True), (0.11, False)])
def test_replicates(version, difference, agrees):
    rng = np.random.default_rng(0)
    small = {
        "3.0.0": replace(version, replicates=((None, 900), (-900, None))),
        "2.0.0": replace(version, replicates=((-2000, -1100), (-1100, -200))),
    }[version.version]
    passage = rng.choice([-0.5, 0.5], 900)
    y = rng.uniform(-0.5, 0.5, 4000)
    first, second = (slice(*part) for part in small.replicates)
    y[first], y[second] = passage, passage / (1.0 - difference)
    longer = audio(np.r_[y, np.ones(50)])  # the output may be longer: its end does not count
    finding = standard_checks.check_replicates(longer, small, 4000)
    level = "ok" if agrees else {"3.0.0": "error", "2.0.0": "warning"}[version.version]
    assert_line(finding, level, "amp.wav", f"{difference**2:.2g}")
    assert finding.ignorable


def test_replicates_of_a_short_output_and_without_any():
    finding = standard_checks.check_replicates(audio(np.ones(100)), VERSION_2, 2_000_000)
    assert_line(finding, "error", "too short")
    assert standard_checks.check_replicates(audio(np.ones(100)), VERSION_4, 100) is None


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        (None, None),
        (1, "the two at the start"),
        (3, "the two at the end"),
        ((0, 1), "the first at the start and at the end"),
    ],
)
def test_blips(changed, names):
    small = replace(VERSION_2, blips=(2000, 6000), end_blips=(-6000, -2000))
    total, delay = 30_000, 25
    y = np.zeros(total + 70)
    positions = [2000, 6000, total - 6000, total - 2000]
    for position in positions:
        y[position + delay : position + delay + 50] = 0.4 * np.exp(-np.arange(50) / 9)
    for index in np.atleast_1d([] if changed is None else changed).astype(int):
        y[positions[index] + delay : positions[index] + delay + 50] *= 1.2
    finding = standard_checks.check_blips(audio(y), small, delay, total)
    if names is None:
        assert finding.level == "ok"
    else:
        assert_line(finding, "error", "amp.wav", names, "ESR")
    assert standard_checks.check_blips(audio(y), VERSION_3, delay, total) is None


@pytest.mark.parametrize("start", [5 * RATE, -5 * RATE])
@pytest.mark.parametrize(("back", "level"), [(19_201, "ok"), (19_200, "error"), (1, "error")])
def test_pre_silence(start, back, level):
    x = np.zeros(10 * RATE)
    x[5 * RATE :] = 0.1
    x[5 * RATE - back] = 1e-7
    finding = standard_checks.check_pre_silence(audio(x, "input.wav"), start, "training")
    assert_line(finding, level, "input.wav", "training part at 5.00 s")


def test_pre_silence_at_the_start_of_the_file():
    x = np.r_[np.zeros(100), np.ones(100)]
    assert standard_checks.check_pre_silence(audio(x), 100, "training").level == "ok"
    assert standard_checks.check_pre_silence(audio(x), None, "training") is None


def test_latency_warnings():
    measured = replace(manual_latency(0), recommended=500, method="blips", warnings=("odd; look",))
    findings = latency_checks.check_latency(audio([1.0]), measured)
    assert_line(findings[0], "warning", "amp.wav: odd", "look")
    assert len(findings) == 1
    far = manual_latency(0, replace(measured, warnings=()))
    assert_line(latency_checks.check_latency(audio([1.0]), far)[0], "warning", "is 0", "say 500")
    assert latency_checks.check_latency(audio([1.0]), manual_latency(450, far)) == []
    assert latency_checks.check_latency(audio([1.0]), manual_latency(7)) == []


@pytest.mark.parametrize(("measured", "count"), [(-10.0, 0), (-11.0, 1), (None, 0)])
def test_an_output_before_its_input(measured, count):
    latency = replace(manual_latency(0), method="blips", measured=measured)
    findings = latency_checks.check_latency(audio([1.0]), latency)
    assert len(findings) == count
    for finding in findings:
        assert_line(finding, "warning", "amp.wav", "11 samples before the input", "compensation")


def test_polarity(pair):
    x, y = pair
    upright = latency_from_playing(x.samples, y.samples, RATE)
    assert latency_checks.check_polarity(y, upright).level == "ok"
    inverted = latency_from_playing(x.samples, -y.samples, RATE)
    assert_line(latency_checks.check_polarity(y, inverted), "note", "amp.wav", "harmless")
    assert latency_checks.check_polarity(y, manual_latency(3)) is None


def direction(x, y):
    latency = latency_from_playing(x.samples, y.samples, RATE)
    return direction_checks.check_direction(x, y, latency)


def test_swapped_files(pair):
    x, y = pair
    assert_line(direction(y, x), "error", "di.wav", "input of amp.wav", "swap them")
    assert direction(y, x).ignorable


@pytest.mark.slow
@pytest.mark.parametrize("delay", [-300, 0, 300])
@pytest.mark.parametrize("drive", [0.1, 2.0, 100.0])
def test_no_false_alarm_about_swapped_files(playing, delayed, delay, drive):
    x = playing(5.0, seed=3)
    for decay in (0.5, 4.0, 60.0):
        response = np.exp(-np.arange(400) / decay)
        y = np.convolve(np.tanh(drive * x), response)[: len(x)]
        assert direction(audio(x), audio(delayed(y, delay))).level == "ok"
    bright = np.convolve(np.tanh(drive * x), [1.0, -0.9])[: len(x)]
    assert direction(audio(x), audio(delayed(bright, delay))).level == "ok"


def test_no_false_alarm_with_a_noise_gate(pair, playing, amp):
    x, y = pair
    gate = np.repeat(np.abs(x.samples.reshape(-1, 1200)).max(axis=1) > 0.1, 1200)
    assert direction(x, audio(y.samples * np.roll(gate, 100))).level == "ok"


def test_a_standard_file_as_the_output(pair):
    x, y = pair
    assert direction_checks.check_output_is_no_standard_file(x, y, None) is None
    finding = direction_checks.check_output_is_no_standard_file(x, y, VERSION_3)
    assert_line(finding, "error", "amp.wav", "3.0.0", "swap them")


@pytest.mark.parametrize("samples", [1, 2, 100, 960, 47_999])
def test_less_than_a_second_is_no_recording(tmp_path, samples):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(samples, 0.1), 48_000)
    report = check_capture(path, path)
    assert [finding.check for finding in report.findings][-1] == "length"
    assert "are no recording; record" in report.findings[-1].line()
