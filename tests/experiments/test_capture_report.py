import base64
import dataclasses
import hashlib
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from data_pipeline.latency import Latency
from experiments.capture.figures import attack_window, error_over_time
from experiments.capture.latency_plot import plot_latency
from experiments.capture.page import CaptureReport, SizeReport, write_capture_report
from experiments.capture.verdicts import describe_esr
from experiments.report.drawing import drawable

RATE = 48000


@pytest.fixture
def report(rng):
    t = np.arange(RATE) / RATE
    di = (np.sin(2 * np.pi * 220 * t) * np.exp(-3 * (t % 0.5))).astype(np.float32)
    target = np.tanh(3 * di)
    noise = rng.normal(size=RATE).astype(np.float32)
    return CaptureReport(
        title="my amp",
        sample_rate=RATE,
        sizes={
            "nano": SizeReport(target + 0.05 * noise, 0.0412, 3, 1870),
            "standard": SizeReport(target + 0.01 * noise, 0.0087, 4, 12145),
        },
        history=[
            {"minutes": i / 2, "esr/nano": 0.2 / i, "esr/standard": 0.1 / i} for i in range(1, 5)
        ],
        steps=500,
        linear_esr=0.31,
        di=di,
        target=target,
        draw_latency=lambda axes: axes.plot([0, 1], [0, 1]),
        latency_text="output late by 37 samples",
        findings=[
            SimpleNamespace(check="rates", level="ok", message="both 48000 Hz", remedy=""),
            SimpleNamespace(check="peak", level="warning", message="amp.wav", remedy="turn down"),
        ],
        facts={"seed": "0"},
        next_steps=["python -m experiments.render --model=<model>"],
    )


def page(tmp_path, report):
    path = tmp_path / "report.html"
    write_capture_report(path, report)
    return path.read_text()


def test_shows_everything(tmp_path, report):
    html = page(tmp_path, report)
    for text in ("my amp", "ESR 0.0087", "ESR 0.0412", "hard to tell", "0.3100", "1,870"):
        assert text in html
    for text in ("late by 37", "both 48000 Hz", "turn down", "Spectrograms", "--model=&lt;"):
        assert text in html
    assert html.count("<audio") == 4
    assert html.count("<svg") == 6
    assert "Error over time" in html
    assert "below 0.035 (-15 dB)" in html


def test_needs_nothing_from_outside(tmp_path, report):
    html = page(tmp_path, report)
    sources = re.findall(r'(?:src|href)="([^"]{0,20})', html)
    assert len(sources) > 10
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert set(re.findall(r"url\((.)", html)) == {"#"}
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'; base-uri 'none'" in html
    assert f"script-src 'sha256-{digest}'" in html


def test_hostile_names_are_text(tmp_path, report):
    html = page(tmp_path, dataclasses.replace(report, title="<script>alert(1)</script>"))
    assert html.count("<script") == 1
    assert "&lt;script&gt;" in html


def test_pictures_take_the_colors_of_the_page(tmp_path, report):
    html = page(tmp_path, report)
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert "currentColor" in drawn
    assert "var(--orange)" in drawn
    assert not re.search(r"#(000000|ffffff|555555|236ba5|b3560f)\b", drawn)
    assert "<text" in drawn  # not outlines of letters
    assert "<style" not in drawn


def test_any_glyph_can_be_drawn():
    assert drawable("Mära 5$") == r"Mära 5\$"
    assert drawable("音🎸\n") == r"\u97f3\U0001f3b8\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["amp_$1_$2", "$^$", r"$\foo$", "a$b"])
def test_a_dollar_in_a_file_name_is_a_dollar(tmp_path, report, name):
    def draw(axes):
        plot_latency(axes, Latency(samples=3, method="manual"), RATE, name)

    assert "Latency" in page(tmp_path, dataclasses.replace(report, draw_latency=draw))


def test_error_over_time_is_the_level_of_the_error():
    target = np.full(RATE, 0.1)
    prediction = target + np.where(np.arange(RATE) < RATE // 2, 0.01, 0.0)
    axes = error_over_time(target, {"nano": prediction}, RATE).axes[0]
    level, error = (line.get_ydata() for line in axes.lines)
    np.testing.assert_allclose(level, -20)
    np.testing.assert_allclose(error[:10], -40)
    np.testing.assert_allclose(error[10:], -120)


def test_one_size_and_one_evaluation(tmp_path, report):
    small = dataclasses.replace(
        report, sizes={"nano": report.sizes["nano"]}, history=report.history[:1], linear_esr=None
    )
    html = page(tmp_path, small)
    assert html.count("<audio") == 3
    assert "linear filter" not in html


def test_silence_is_drawn_without_complaint(tmp_path, report):
    silent = SizeReport(np.zeros(RATE, np.float32), 1.0, 1, 1870)
    quiet = dataclasses.replace(report, sizes={"nano": silent}, target=np.zeros(RATE, np.float32))
    html = page(tmp_path, quiet)
    assert "ESR 1.0000" in html
    assert "At the levels of the recording" in html


def test_no_half_page(tmp_path, report):
    def fail(axes):
        raise RuntimeError("drawing failed")

    with pytest.raises(RuntimeError, match="drawing failed"):
        page(tmp_path, dataclasses.replace(report, draw_latency=fail))
    assert not list(tmp_path.iterdir())


def test_nothing_that_is_heard_clips(tmp_path, report):
    loud = dataclasses.replace(report, target=4 * report.target)
    html = page(tmp_path, loud)
    assert "All turned down by 12.0 dB" in html
    for encoded in re.findall(r'data:audio/flac;base64,([^"]+)"', html):
        x, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)))
        assert rate == RATE
        assert np.abs(x).max() <= 1
        assert np.mean(np.abs(x) > 0.9995) < 1e-3


def test_attack_window_finds_the_attack():
    x = np.zeros(RATE)
    x[30_000:] = 0.5
    start, stop = attack_window(x, RATE)
    assert start <= 30_000 < stop
    assert stop - start == round(0.03 * RATE)
    assert attack_window(x[:100], RATE) == (0, 100)


def test_every_esr_has_words():
    values = (0.0, 0.009, 0.02, 0.05, 0.2, 0.5, 30.0, float("inf"))
    verdicts = [describe_esr(esr, None, 500) for esr in values]
    assert verdicts[0] == verdicts[1] == "hard to tell from the amp"
    assert len(set(verdicts)) == 5
    assert verdicts[-1] == verdicts[-2] == verdicts[-3]


def test_words_compare_with_the_linear_filter_and_with_the_steps():
    better = describe_esr(0.009, 0.27, 40)
    assert better == "hard to tell from the amp; 30 times less error than the best linear filter"
    assert describe_esr(0.09, 0.1, 40) == "usable; differences on a close listen"
    worse = describe_esr(0.2, 0.13, 40)
    assert worse.startswith("worse than a linear filter (ESR 0.1300)")
    assert worse.endswith("after 40 steps: train longer")
    assert describe_esr(0.2, 0.4, 2000).endswith("check latency and recording, or train longer")
    assert describe_esr(float("nan"), 0.4, 2000).startswith("worse than a linear filter")
