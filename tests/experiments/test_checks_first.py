"""Faults of a command line are found before JAX is loaded: here it cannot be."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.amps.nam_examples import EXAMPLES

ROOT = Path(__file__).parents[2]
WITHOUT_JAX = """
import runpy, sys
sys.modules["jax"] = sys.modules["matplotlib"] = None
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def run(module, *arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_JAX, module, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes files as a user may name them."""
    folder = tmp_path_factory.mktemp("place")
    soundfile.write(folder / "di.wav", np.zeros(100), 48000)
    soundfile.write(folder / "long.wav", np.zeros(61 * 1000), 1000)
    soundfile.write(folder / "stereo.wav", np.zeros((100, 2)), 48000)
    (folder / "text.wav").write_text("no audio")
    nam = EXAMPLES["lstm"]() | {"metadata": {"name": 5}}
    (folder / "five.nam").write_text(json.dumps(nam))
    for rate in (3999, 22050):
        corpus(folder / f"corpus_{rate}", rate)
    (folder / "sweep.py").write_text(
        "def get_sweep():\n    return [{'train.seed': 1}, {'train.weight_decay': -1.0}]\n"
    )
    return folder


def corpus(folder, rate):
    """Makes a corpus index, the only part that is read at first."""
    folder.mkdir()
    clip = {
        **{"name": "a", "source": "a.wav", "source_rate": rate, "source_channels": 1, "md5": ""},
        **{"start": 0, "samples": 9, "peak": 0.5, "rms_dbfs": -20.0, "clipped": 0, "limited": 0},
        "split": "train",
    }
    index = {"version": 1, "sample_rate": rate, "samples": 9, "sha256": "", "clips": [clip]}
    (folder / "index.json").write_text(json.dumps(index | {"skipped": [], "duplicates": []}))
    np.save(folder / "audio.npy", np.zeros(9, np.int16))


PAIR = ("--config.data.input={t}/di.wav", "--config.data.output={t}/di.wav")
CAPTURES = {
    "a rate without end": (["--config.train.learning_rate=inf"], "learning_rate=inf is not 10 or"),
    "a level with a comma": (["--config.metadata.input_level_dbu=12,2"], "is not a level in dBu"),
    "a latency of minuses": (["--config.data.latency=--5"], "neither a number of samples nor auto"),
    "no such gear": (["--config.metadata.gear_type=guitar"], "gear_type=guitar is none of amp, "),
    "no such task": (["--config.task=sing"], "--config.task=sing is none of capture"),
    "no recording": (["--config.data.output={t}/none.wav"], "{t}/none.wav: no such file"),
    "no audio": (["--config.data.input={t}/text.wav"], "{t}/text.wav: can not be read as audio"),
    "two channels": (
        ["--config.data.input={t}/stereo.wav"],
        "(--config.data.input_channel=1 to",
    ),
    "no such channel": (["--config.data.output_channel=2"], "channel 2 was asked for, but it has"),
    "no probe": (["--config.data.loudness_probe={t}/none.wav"], "{t}/none.wav: no such file"),
    "a long probe": (["--config.data.loudness_probe={t}/long.wav"], "give one channel of 60 s"),
    "a probe of two": (["--config.data.loudness_probe={t}/stereo.wav"], "2 channels of"),
    "nothing to begin from": (["--config.init_from={t}/none.nam"], "{t}/none.nam: cannot be read"),
    "no architecture": (["--config.model.nam={t}/di.wav"], "{t}/di.wav: cannot be read: not UTF-8"),
    "a name of five": (["--config.init_from={t}/five.nam"], "metadata.name 5 is not a string"),
    "no run to begin from": (["--init_from={t}/none"], "--init_from={t}/none: no such folder"),
    "a trace of words": (["--profile_steps=a"], "--profile_steps=a is not FIRST:LAST"),
    "a store": (["--workdir=s3://a"], "s3://a: give a local folder, or gs://BUCKET/FOLDER"),
    "no sweep": (["--sweep={t}/none.py"], "{t}/none.py: No such file"),
    "the second trial": (
        ["--sweep={t}/sweep.py"],
        "sweep 2 of 2: weight_decay=-1: --config.train.weight_decay=-1.0 is not 0 or",
    ),
}


def error_line(result):
    assert result.returncode == 1, result.stderr
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.slow
@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture(place, tmp_path, name):
    options, says = CAPTURES[name]
    config = "--config=a2_capture"
    given = [option.format(t=place) for option in (*PAIR, *options)]
    line = error_line(run("experiments.train", config, f"--workdir={tmp_path / 'run'}", *given))
    assert says.format(t=place) in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["corpus={t}/none"], "{t}/none: no such folder"),
        (["corpus={t}/corpus_3999"], "corpus_3999: a corpus of 3999 Hz; pitch and spectrum"),
        (["corpus={t}/corpus_22050", "train.average_decay=1"], "average_decay=1.0 is not < 1"),
        (["corpus={t}/corpus_22050", "mel.f_max=nan"], "--config.mel.f_max=nan is not > 0"),
        (["corpus={t}/corpus_22050", "mel.f_max=12000"], "f_max 12000.0 is above half the"),
        (["corpus={t}/corpus_22050", "model.height=7"], "height 7 is not an even number"),
        (["corpus={t}/corpus_22050", "model.layers=64"], "--config.model.layers=64 is not 24 or"),
    ],
)
def test_a_vocoder(place, tmp_path, options, says):
    config = "--config=waveflow:tiny"
    corpus, *others = options
    given = [f"--config.data.{corpus}".format(t=place), *(f"--config.{o}" for o in others)]
    line = error_line(run("experiments.train", config, f"--workdir={tmp_path / 'run'}", *given))
    assert says.format(t=place) in line


def test_another_config_in_the_folder_of_a_run(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"train.seed": 7}))
    (tmp_path / "metrics.jsonl").write_text('{"step": 18}\n')
    config = "--config=a2_capture:demo"
    line = error_line(run("experiments.train", config, f"--workdir={tmp_path}"))
    assert line.startswith(f"{tmp_path}: this run was started with --config.train.seed=7, not 0; ")
    assert json.loads((tmp_path / "config.json").read_text()) == {"train.seed": 7}


@pytest.mark.parametrize("rate", [0, "22050", None, 22050.0])
def test_a_corpus_without_a_rate(place, tmp_path, rate):
    corpus(tmp_path / "corpus", rate)
    config = "--config=waveflow:tiny"
    given = [f"--workdir={tmp_path / 'run'}", f"--config.data.corpus={tmp_path / 'corpus'}"]
    line = error_line(run("experiments.train", config, *given))
    assert "index.json: damaged (a sample rate of " in line


def test_a_comparison(place, tmp_path):
    command = ["experiments.compare", "--config=likelihood"]
    command.append(f"--workdir={tmp_path / 'run'}")
    low = f"--config.data.corpus={place / 'corpus_3999'}"
    assert "a corpus of 3999 Hz" in error_line(run(*command, low))
    wrong = "--config.train.clip_norm=-1"
    assert error_line(run(*command, low, wrong)).startswith("--config.train.clip_norm=-1.0 is not")
