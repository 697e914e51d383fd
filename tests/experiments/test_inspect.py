import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.inspect.description import lines
from tests.amps.foreign_documents import guitarml
from tests.amps.nam_examples import EXAMPLES
from wf_jax.amps import a2
from wf_jax.amps.container import SlimmableContainer
from wf_jax.amps.nam_file import parse
from wf_jax.amps.nam_models import model_of, to_document


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nam")
    rng = np.random.default_rng(0)
    models = [a2.create(size, rng) for size in ("nano", "standard")]
    document = to_document(SlimmableContainer(models, (0.5, 1.0)))
    document["metadata"] = {"name": "my\namp", "loudness": -18.234567, "tone_type": None}
    (folder / "a2.nam").write_text(json.dumps(document))
    nearly = to_document(models[0])
    nearly["config"]["layers"][0]["activation"] = "LeakyReLU"
    (folder / "nearly.nam").write_text(json.dumps(nearly))
    for name in EXAMPLES:
        (folder / f"{name}.nam").write_text(json.dumps(EXAMPLES[name]()))
    (folder / "gru.json").write_text(json.dumps(guitarml("GRU", hidden=5)))
    (folder / "broken.nam").write_text("{")
    return folder


def inspect(files, *names):
    command = [sys.executable, "-m", "experiments.inspect", *(str(files / name) for name in names)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_says_what_a_file_of_another_program_holds(files):
    said = inspect(files, "gru.json").stdout
    assert "gru.json: GRU, file version SimpleRNN (GuitarML), 44,100 Hz" in said
    assert "1 GRU layer of 5; 1 x the input is added to the output" in said
    assert "126 parameters, 95 multiply-adds per sample" in said


@pytest.mark.slow
def test_says_what_a_file_holds(files):
    done = inspect(files, "a2.nam", "nearly.nam", "broken.nam")
    assert done.returncode == 1
    (error,) = done.stderr.splitlines()
    assert "broken.nam: not a complete JSON file" in error
    said = done.stdout
    assert "a2.nam: SlimmableContainer, file version 0.7.0, 48,000 Hz" in said
    assert "my amp" in said
    assert "-18.23" in said
    assert "tone_type" not in said
    assert "1,870 parameters, 1,731 multiply-adds per sample (83.1 million per second)" in said
    assert "12,145 parameters, 11,776 multiply-adds" in said
    assert "receptive field 6,347 samples (132.2 ms)" in said
    assert said.count("played by the native engine") == 3


def test_says_why_the_native_engine_does_not_play(files):
    said = inspect(files, "lstm.nam", "everything.nam").stdout
    assert "played by JAX; of the native engine: it plays WaveNets, not LSTM" in said
    assert "played by JAX; of the native engine: it plays no condition_dsp" in said


@pytest.mark.slow
def test_every_architecture_has_a_description(files):
    done = inspect(files, *(f"{name}.nam" for name in EXAMPLES))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("played by ") >= len(EXAMPLES)
    assert "below size" in done.stdout
    assert "remembers all it has played" in done.stdout


def test_metadata_do_not_move_the_cursor():
    document = EXAMPLES["lstm"]() | {"metadata": {"name": "a\x1b[2J\nb", "\x07key": "\x9b5n"}}
    file = parse(document, "amp\x1b[31m.nam")
    said = list(lines(file, model_of(file)))
    assert all(line.isprintable() for line in said)
    assert r"a\x1b[2J b" in said[1]


def test_without_a_file_it_says_how(files):
    done = inspect(files)
    assert done.returncode == 1
    assert "-m experiments.inspect amp.nam" in done.stderr + done.stdout
