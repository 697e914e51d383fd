"""Damaged tables: each reader uses them or refuses in one line, in two seconds and a gigabyte."""

import json
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from data_pipeline import corpus_index
from data_pipeline.audio_files import AudioFile
from data_pipeline.corpus import Corpus
from data_pipeline.corpus_preparation import prepare_corpus
from experiments.capture.recordings import Recordings, check_recordings
from experiments.comparison import suite as comparison
from experiments.configs import a2_capture
from experiments.releases.sources import find_source
from experiments.run.curves import curves
from experiments.run.folder import RunFolder
from experiments.run.reading import find_runs, read_run
from experiments.run.sweep import configs_of
from experiments.run.sweep_file import read_sweep
from experiments.run.table import compare
from tests.batteries import counts_of
from tests.experiments.test_runs import CAPTURE
from wf_jax.errors import UserError
from wf_jax.folders import read_text
from wf_jax.json_values import parse_json
from wf_jax.training.metrics import read_records

BATTERY = "tests.data_pipeline.table_battery"


@pytest.mark.slow
def test_damaged_tables():
    counts = counts_of(BATTERY, 0, 60)
    for name in ("metadata", "run", "workdir", "sources"):
        assert counts.get(f"{name} used", 0) + counts.get(f"{name} refused", 0) > 5, name


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [21, 22])
def test_more_damaged_tables(number):
    counts = counts_of(BATTERY, number, 500)
    for name in ("metadata", "run", "workdir", "sources", "sweeps"):
        assert min(counts[f"{name} used"], counts[f"{name} refused"]) > 5, name


# Earlier findings of the battery, each by itself


@pytest.fixture
def corpus(tmp_path):
    """Makes a prepared corpus of two clips."""
    (tmp_path / "in").mkdir()
    for i, name in enumerate("ab"):
        noise = np.random.default_rng(i).uniform(-0.3, 0.3, 900)
        soundfile.write(tmp_path / "in" / f"{name}.wav", noise, 22_050)
    prepare_corpus(tmp_path / "in", tmp_path / "corpus", validation=1)
    return tmp_path / "corpus"


def with_clip(corpus, **values):
    path = corpus / "index.json"
    index = json.loads(path.read_text())
    index["clips"][0] |= values
    path.write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"peak": "x"}, "peak 'x' is not"),
        ({"peak": float("nan")}, "level of no audio"),
        ({"peak": 0.0}, "level of no audio"),
        ({"rms_dbfs": 200.0}, "level of no audio"),
        ({"samples": 900.0}, "samples 900.0 is not of type int"),
        ({"samples": True}, "samples True is not of type int"),
        ({"name": ["a"]}, "is not of type str"),
        ({"name": "b"}, "clip b is there twice"),
        ({"source_rate": 10**4000}, "source_rate inf is not"),
        ({"more": 1}, "more is unknown"),
    ],
)
def test_an_index_of_wrong_values(corpus, values, said):
    with_clip(corpus, **values)
    with pytest.raises(UserError, match=f"index.json: damaged .*{said}.*; remove the folder"):
        Corpus.open(corpus)


def test_a_silent_clip_is_no_damage(corpus):
    with_clip(corpus, peak=0.0, rms_dbfs=None)
    assert Corpus.open(corpus).clips[0].silent


def test_an_index_that_is_too_large(corpus, monkeypatch):
    monkeypatch.setattr(corpus_index, "LARGEST_TABLE", 500)
    with pytest.raises(UserError, match=r"index.json: larger than 500 bytes.*; remove"):
        Corpus.open(corpus)
    with pytest.raises(UserError, match=r"2 recordings make an index of .* in several corpora"):
        prepare_corpus(corpus.parent / "in", corpus.parent / "other", validation=1)
    assert not (corpus.parent / "other").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "[" + "[]," * 100_000 + "[]]", "1" * 5000])
def test_an_index_that_would_be_large_in_memory(corpus, text):
    (corpus / "index.json").write_text(text)
    with pytest.raises(UserError, match="index"):
        Corpus.open(corpus)


@pytest.mark.parametrize(
    "shape", ["(10**30,)", "(1", "(-1,)", "(0,)", "(1800, 1 << 40)", "'x'", "(1800,)\n\n(\n"]
)
def test_headers_of_audio_that_are_none(corpus, shape):
    text = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}".encode()
    data = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(3600)
    (corpus / "audio.npy").write_bytes(data)
    with pytest.raises(UserError, match=r"audio.npy: (damaged|holds)"):
        Corpus.open(corpus)


def test_json_that_python_cannot_take():
    for text in ("[" * 100_000, '{"a":' * 100_000):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse_json(text)
    assert parse_json("[" + "9" * 5000 + ", -12]") == [float("inf"), -12]


@pytest.fixture
def run(tmp_path):
    """Makes the folder of a run that has been evaluated once."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CAPTURE))
    (folder / "metrics.jsonl").write_text('{"step": 20, "esr/nano": 0.5}\n')
    return folder


@pytest.mark.parametrize("text", ["[" * 100_000, '{"task": "\\ud800"}', '{"task": "a\\nb"}'])
def test_configs_of_runs_that_are_none(run, text):
    (run / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config.json: damaged"):
        read_run(run)


def test_large_files_of_a_run_are_refused(run, monkeypatch):
    monkeypatch.setattr("experiments.run.reading.LARGEST_RECORDS", 10)
    with pytest.raises(UserError, match=r"metrics.jsonl: larger than 10 bytes"):
        read_run(run)
    with pytest.raises(OSError, match="larger than 10 bytes") as caught:
        read_text(run / "metrics.jsonl", 10)
    assert caught.value.filename == str(run / "metrics.jsonl")


@pytest.mark.parametrize("value", ["1" * 400, "-1e308", "1e-320", '"x"'])
def test_evaluations_of_any_value_are_drawn(run, value):
    record = f'{{"step": 20, "minutes": 1, "esr/nano": {value}, "esr/standard": 0.5}}\n'
    (run / "metrics.jsonl").write_text(record + '{"step": ' + value + ', "esr/nano": 0.1}\n')
    assert len(read_records(run / "metrics.jsonl")) >= 1
    (table,) = compare([read_run(run)])
    assert curves([table], "step", "svg")


@pytest.mark.parametrize("text", ["{", '{"di.wav": 5}', '{"di.wav": null}', "[" * 100_000])
def test_damaged_digests_are_said_and_written_anew(run, capsys, text):
    (run / "config.json").unlink()
    (run / "inputs.json").write_text(text)
    with RunFolder(run) as folder:
        folder.open(a2_capture.get_config(), {"di.wav": "0" * 32})
    assert "inputs.json: damaged; whether the files are those of before" in capsys.readouterr().out
    assert json.loads((run / "inputs.json").read_text()) == {"di.wav": "0" * 32}


def test_a_value_of_any_length_in_a_line(run):
    (run / "config.json").write_text(json.dumps({"task": "x" * 100_000}))
    with pytest.raises(UserError) as caught:
        RunFolder(run).open(a2_capture.get_config())
    assert len(str(caught.value)) < 600


def test_sweeps_of_values_without_end(tmp_path):
    path = tmp_path / "sweep.py"
    for value, said in (
        ("10**5000", "a value cannot be written"),
        ("(x := [], x.append(x), x)[2]", "a value cannot be written"),
        ("10**400", "is not of type float"),
        ("'x' * 5000", "is not of type float"),
    ):
        path.write_text(f"def get_sweep():\n    return [{{'train.minutes': {value}}}]\n")
        with pytest.raises(UserError, match=said) as caught:
            configs_of(read_sweep(path), a2_capture.get_config())
        assert len(str(caught.value)) < 600
    path.write_text("def get_sweep():\n    return [{'name': 'a' * 300}]\n")
    with pytest.raises(UserError, match="too long for a folder's"):
        read_sweep(path)


def test_a_comparison_of_a_damaged_member(run, monkeypatch):
    monkeypatch.setattr(comparison, "load_model", lambda path: SimpleNamespace(config=None))
    (run / "metrics.json").write_text('{"finished": true, "parameters": 1, "steps": "x"}')
    with pytest.raises(UserError, match=r"metrics.json: damaged, it has no steps"):
        comparison._line(run.parent, run.name, None)


@pytest.mark.parametrize("name", ["a" * 300, "a\0b"])
def test_names_that_no_file_can_have(tmp_path, name):
    with pytest.raises(UserError, match="no such folder"):
        Corpus.open(tmp_path / name)
    with pytest.raises(UserError, match="can not be read"):
        AudioFile(tmp_path / f"{name}.wav")


def test_a_recording_whose_name_is_too_long_is_not_blamed_on_the_output(corpus):
    speech = corpus.parent / "in"
    (speech / "wavs").mkdir()
    for name in "ab":
        (speech / f"{name}.wav").rename(speech / "wavs" / f"{name}.wav")
    (speech / "metadata.csv").write_text(f"a|x\nb|x\n{'c' * 300}|x\n")
    with pytest.raises(UserError, match=r"line 3: 'ccc.* is longer than a file's name"):
        prepare_corpus(speech, corpus.parent / "out", validation=1)


def test_commands_take_a_name_that_is_too_long_for_a_missing_one(tmp_path):
    name = str(tmp_path / ("a" * 300))
    for call in (
        lambda: find_runs(Path(name)),
        lambda: prepare_corpus(name, tmp_path / "out"),
        lambda: find_source(name, None, None),
    ):
        with pytest.raises(UserError, match="no such"):
            call()
    with pytest.raises(UserError, match="File name too long"):
        check_recordings(Recordings(name, name))
