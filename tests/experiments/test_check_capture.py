"""The command line that checks recordings: its output, files and exit code."""

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest
import soxr

from data_pipeline.audio_files import read_audio, write_wav
from experiments.capture.recordings import Recordings, check_recordings
from wf_jax.errors import UserError

RATE = 48_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Makes di.wav and recordings/good.wav, 13 s; the current folder is empty."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(13 * RATE) * np.tile(np.exp(-np.arange(RATE) / 4000), 13) * 0.1
    response = np.exp(-np.arange(60) / 8.0)
    y = 0.1 * np.convolve(np.tanh(6 * x), response)[: len(x)]
    (tmp_path / "recordings").mkdir()
    (tmp_path / "here").mkdir()
    write_wav(tmp_path / "di.wav", x, RATE)
    write_wav(tmp_path / "recordings" / "good.wav", np.r_[np.zeros(48), y[:-48]], RATE)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def run(folder, output, **options):
    return check_recordings(Recordings(f"{folder}/di.wav", str(output), **options))


def is_png(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_good_recording(folder, capsys):
    assert run(folder, folder / "recordings" / "good.wav") == 0
    printed = capsys.readouterr().out
    assert "ERROR" not in printed
    assert "latency  output late by 47 samples (0.98 ms), found by cross-correlation" in printed
    picture = folder / "recordings" / "good_latency.png"
    assert f"plot     {picture}" in printed
    assert list((folder / "here").iterdir()) == []
    assert is_png(picture)


def test_a_named_plot_and_a_manual_latency(folder, capsys):
    plot = folder / "latency.png"
    output = folder / "recordings" / "good.wav"
    assert run(folder, output, plot=str(plot), latency=500) == 0
    printed = capsys.readouterr().out
    assert "late by 500 samples (10.42 ms), given by hand" in printed
    assert "WARNING  good.wav: the latency given is 500 samples, but the files say 47" in printed
    assert is_png(plot)


@pytest.mark.parametrize(
    ("plot", "says"),
    [("missing/a.png", "the folder missing does not exist"), ("a.unknown", "end its name with")],
)
def test_a_plot_that_can_not_be_written(folder, capsys, plot, says):
    with pytest.raises(UserError, match=says):
        run(folder, folder / "recordings" / "good.wav", plot=plot)
    assert capsys.readouterr().out == ""
    assert list((folder / "here").iterdir()) == []


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("output", ["recordings", "recordings/good.wav"])
def test_a_folder_for_the_plots(folder, capsys, made, output):
    plots = folder / "here" / "plots"
    if made:
        plots.mkdir()
    assert run(folder, folder / output, plot=str(plots)) == 0
    assert f"plot     {plots / 'good_latency.png'}" in capsys.readouterr().out
    assert [path.name for path in plots.iterdir()] == ["good_latency.png"]
    assert [path.name for path in (folder / "recordings").iterdir()] == ["good.wav"]


def test_a_folder_of_recordings(folder, capsys):
    recordings = folder / "recordings"
    write_wav(recordings / "silent.wav", np.zeros(13 * RATE), RATE)
    (recordings / "notes.txt").write_text("knob at 5")
    (recordings / "text.flac").write_text("no audio")
    (folder / "di.wav").rename(recordings / "di.wav")
    (folder / "di.wav").symlink_to(recordings / "di.wav")
    assert run(folder, recordings) == 1
    summary = capsys.readouterr().out.splitlines()[-4:]
    assert summary[0] == "3 recordings checked, 2 with errors"
    assert summary[1] == "ok       good.wav"
    assert summary[2].startswith("ERROR    silent.wav: is silent")
    assert "text.flac" in summary[3]
    assert "can not be read as audio" in summary[3]


@pytest.mark.slow
def test_latencies_that_differ_are_said_beside_each_other(folder, capsys):
    recordings = folder / "recordings"
    y = read_audio(recordings / "good.wav").samples
    for name, more in (("a.wav", 1), ("b.wav", 13)):
        write_wav(recordings / name, np.r_[np.zeros(more), y[:-more]], RATE)
    assert run(folder, recordings) == 0
    printed = capsys.readouterr().out
    line = "WARNING  the latencies differ by 13 samples: a.wav 48, b.wav 60, good.wav 47; record"
    assert line in printed
    (recordings / "b.wav").unlink()
    run(folder, recordings)
    assert "latencies differ" not in capsys.readouterr().out


def test_a_part_and_another_model(folder, capsys):
    recording = folder / "recordings" / "good.wav"
    y = read_audio(recording).samples
    y[: 2 * RATE] = 0.0
    write_wav(recording, y, RATE)
    assert run(folder, recording) == 1
    assert "silent from 0.00 to 2.00 s while di.wav plays" in capsys.readouterr().out
    part = {"start_seconds": 2.0, "validation_seconds": 3.0}
    assert run(folder, recording, **part) == 0
    assert "used from 2.00 to 13.00 s only" in capsys.readouterr().out
    assert run(folder, recording, **part, receptive_field=144000) == 1
    assert "the model needs 3.17 s" in capsys.readouterr().out


@pytest.mark.slow
def test_a_drift_is_resampled_away_where_asked(folder, capsys):
    recording = folder / "recordings" / "good.wav"
    y = read_audio(recording).samples
    write_wav(recording, soxr.resample(y, RATE, RATE * 1.00003, quality="VHQ"), RATE)
    assert run(folder, recording) == 1
    assert "the clocks differ by 30" in capsys.readouterr().out
    assert run(folder, recording, correct_drift=True) == 0
    ppm = re.search(r"resampled by (.+) ppm to the input's clock", capsys.readouterr().out)
    assert float(ppm[1]) == pytest.approx(30.0, abs=0.5)


def test_an_empty_folder(folder, capsys):
    assert run(folder, folder / "here") == 1
    assert "no recordings" in capsys.readouterr().out


def test_errors_that_may_be_ignored(folder, capsys):
    clipped = folder / "recordings" / "good.wav"
    y = read_audio(clipped).samples
    y[RATE : RATE + 100] = np.clip(20 * np.random.default_rng(1).standard_normal(100), -1, 1)
    write_wav(clipped, y, RATE)
    assert run(folder, clipped, latency=0) == 1
    assert run(folder, clipped, latency=0, ignore_checks=True) == 0
    assert "ERROR    good.wav: peak 1.000" in capsys.readouterr().out


def test_one_picture_of_a_folder(folder):
    with pytest.raises(UserError, match="--output is a folder; name a folder"):
        run(folder, folder / "recordings", plot="p.png")


def shell(*arguments):
    command = [sys.executable, "-m", "experiments.check_capture", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_names_every_flag():
    result = shell("--help")
    assert result.returncode == 0
    for option in dataclasses.fields(Recordings):
        assert re.search(rf"--(\[no\])?{option.name}:", result.stdout), option.name


def test_from_a_shell(tmp_path):
    result = shell("--input=no.wav", f"--output={tmp_path}/none.wav")
    assert result.returncode == 1
    assert result.stderr == "no.wav: no such file; check the name and the folder\n"
    assert result.stdout == ""
