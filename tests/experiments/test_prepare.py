"""The command line that prepares a corpus: its output, files and exit code."""

import os
import re
import shlex
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipeline.corpus import Corpus
from experiments.vocoder.preparation import prepare
from wf_jax.errors import UserError

RATE = 22_050
MINI = Path(__file__).parents[2].parent / "shared" / "data" / "ljspeech_mini"


@pytest.fixture
def folder(tmp_path):
    """Makes five clips of 1 to 5 s; the first is 0.5 in every sample."""
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for seconds in range(1, 6):
        samples = rng.uniform(-0.25, 0.25, seconds * RATE)
        if seconds == 1:
            samples = np.full(RATE, 0.5)
        soundfile.write(tmp_path / "in" / f"c{seconds}.wav", samples, RATE, subtype="PCM_16")
    return tmp_path


def run(folder, name="in", output="out", **options):
    given = {"validation": 2, **options}
    prepare(f"{folder}/{name}", f"{folder}/{output}", **given)


def failures(folder, **options):
    """Returns the lines that refuse it; nothing has been written."""
    with pytest.raises(UserError) as caught:
        run(folder, **options)
    assert not (folder / "out").exists()
    return str(caught.value).split("\n")


def failure(folder, **options):
    """Returns the only line that refuses it."""
    (line,) = failures(folder, **options)
    return line


def test_report(folder, capsys):
    run(folder)
    printed = capsys.readouterr()
    lines = dict(line.split(maxsplit=1) for line in printed.out.splitlines())
    assert lines["corpus"] == f"{folder}/out, 22050 Hz, 0.7 MB"
    assert lines["train"] == "3 clips, 0.1 min"
    assert lines["validation"] == "2 clips, 0.1 min"
    assert lines["duration"] == "1.00 s shortest, 3.00 s median, 5.00 s longest"
    assert lines["peak"] == "0.500 of full scale"
    low, middle, high = map(float, re.findall(r"-\d+\.\d", lines["level"]))
    uniform = 20 * np.log10(0.25 / np.sqrt(3))  # dBFS
    assert (low, middle) == pytest.approx((uniform, uniform), abs=0.1)
    assert uniform < high < 20 * np.log10(0.5)
    assert shlex.split(lines["next"])[1:] == [
        "-m",
        "experiments.train",
        "--config=voice",
        f"--config.data.corpus={folder}/out",
        "--workdir=runs/voice",
    ]
    assert "WARNING" not in printed.out
    assert "5 of 5 files" in printed.err
    assert [c.name for c in Corpus.open(folder / "out").select("validation")] == ["c4", "c5"]


def test_sample_rate(folder):
    run(folder, sample_rate=16_000)
    corpus = Corpus.open(folder / "out")
    assert corpus.sample_rate == 16_000
    assert [c.samples for c in corpus.clips] == [16_000 * n for n in range(1, 6)]


def test_bad_files(folder, capsys):
    for number in range(5):
        (folder / "in" / f"bad{number}.wav").write_bytes(b"")
    *named, last = failures(folder)
    assert last.startswith("5 of 10 files")
    assert all(f"bad{number}.wav: is empty" in line for number, line in enumerate(named))
    assert len(named) == 5
    run(folder, skip_bad=True)
    printed = capsys.readouterr().out
    assert printed.count("left out    ") == 5
    assert "WARNING     5 files left out that can not be used" in printed


def test_other_files_and_strange_names(folder, capsys):
    soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
    (folder / "silence.wav").rename(folder / "in" / os.fsdecode(b"Zo\xeb.wav"))
    (folder / "in" / "notes.txt").write_text("no audio")
    run(folder)
    printed = capsys.readouterr().out
    assert "\npassed over 1 .txt: no audio\n" in printed
    assert r"below -70 dBFS: Zo\udceb" in printed


def test_silence_has_a_level(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for number in range(3):
        silence = np.zeros(RATE + number)
        soundfile.write(tmp_path / "in" / f"s{number}.wav", silence, RATE)
    run(tmp_path)
    printed = capsys.readouterr().out
    assert "-120.0 / -120.0 / -120.0 dBFS" in printed
    assert "WARNING     3 clips below -70 dBFS: s0, s1, s2" in printed


def test_faults_are_one_line(folder):
    assert "leaves no clip of 5 for training" in failure(folder, validation=5)
    assert "missing: no such folder" in failure(folder, name="missing")
    assert "is there already" in failure(folder, output="in")


@pytest.mark.skipif(not MINI.is_dir(), reason="LJSpeech is not here (../shared/data/ljspeech_mini)")
def test_ljspeech(tmp_path, capsys):
    prepare(str(MINI), f"{tmp_path}/out", validation=4)
    printed = capsys.readouterr().out
    files = sorted((MINI / "wavs").iterdir())
    total = sum(_frames(path) for path in files)
    assert f"train       {len(files) - 4} clips" in printed
    assert "WARNING" not in printed
    assert Corpus.open(tmp_path / "out").index.samples == total


def _frames(path):
    with wave.open(str(path), "rb") as file:
        return file.getnframes()
