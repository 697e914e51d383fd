"""A model that is turned into another one: from its file to model.nam and the report."""

import hashlib
import json

import numpy as np
import pytest
import soundfile

from data_pipeline import synthetic_playing
from data_pipeline.teacher_checks import examine
from experiments.capture.job import CaptureJob
from experiments.capture.teacher import Teacher
from experiments.configs.a2_capture import get_config
from experiments.run.folder import RunFolder
from experiments.run.job import execute
from experiments.run.same_run import check_same_run
from tests.amps.nam_examples import EXAMPLES
from wf_jax.amps import load_nam
from wf_jax.amps.nam_file import read_nam
from wf_jax.errors import UserError
from wf_jax.training.settings import Session

RATE = 48000
DELAY, OFFSET = 37, 0.01
GEAR = {
    **{"name": "Late", "gear_make": "Acme", "gear_model": "One", "gear_type": "amp"},
    **{"tone_type": "crunch", "input_level_dbu": 12.5, "output_level_dbu": 3.0},
}


def linear(path, response, bias=0.0, **keys):
    """Writes a Linear model, whose weights are its impulse response, the first sample first."""
    document = {
        "version": "0.5.4",
        "architecture": "Linear",
        "config": {"receptive_field": len(response), "bias": True},
        "weights": [*map(float, response), bias],
        **keys,
    }
    path.write_text(json.dumps(document))
    return str(path)


@pytest.fixture
def late(tmp_path):
    """A teacher that answers 37 samples late, with an offset."""
    response = [*np.zeros(DELAY), 0.6, -0.3, 0.1]
    return linear(tmp_path / "late.nam", response, OFFSET, sample_rate=RATE, metadata=GEAR)


@pytest.fixture
def config(tmp_path, late, rng):
    """A student of 8 taps, three seconds of the user's own DI, and two steps."""
    config = get_config()
    soundfile.write(tmp_path / "di.wav", 0.1 * rng.normal(size=3 * RATE), RATE)
    student = {"architecture": "Linear", "config": {"receptive_field": 8, "bias": True}}
    (tmp_path / "student.json").write_text(json.dumps(student))
    config.data.teacher, config.data.input = late, str(tmp_path / "di.wav")
    config.model.nam = str(tmp_path / "student.json")
    config.data.validation_seconds = 1.0
    config.train.steps, config.train.batch_size, config.train.window = 2, 2, 512
    return config


def trained(config, folder):
    config.check()
    with RunFolder(folder) as run:
        execute(CaptureJob(config), run, Session())
    return folder


def response_of(path, samples=60):
    click = np.zeros((1, samples), np.float32)
    click[0, 0] = 1.0
    model = load_nam(path)
    return np.asarray(model(click) - model(0 * click))[0]


@pytest.mark.slow
def test_repaired_the_copy_answers_at_once_and_rests_at_zero(config, tmp_path, capsys):
    config.data.repair = "latency,dc"
    config.train.steps, config.train.learning_rate = 400, 0.03
    config.train.optimizer = "adam"
    run = trained(config, tmp_path / "run")
    response = response_of(run / "model.nam")
    np.testing.assert_allclose(response[:3], [0.6, -0.3, 0.1], atol=0.02)
    rest = float(np.asarray(load_nam(run / "model.nam")(np.zeros((1, 9), np.float32)))[0, -1])
    assert abs(rest) < OFFSET / 10
    found = examine(lambda x: np.asarray(load_nam(run / "model.nam")(x[None]))[0], "copy", RATE)
    assert found.onset <= 1
    printed = capsys.readouterr().out
    assert "late.nam: answers 37 samples (0.77 ms) late; that is trained away" in printed
    assert "late.nam: plays +0.01 in silence, a DC offset; it is trained away" in printed
    metadata = read_nam(run / "model.nam").metadata
    assert metadata["converted_from"]["repaired"] == ["latency", "dc"]
    assert metadata["converted_from"]["esr"] < 0.01


@pytest.mark.slow
def test_faults_are_said_and_metadata_carried_over(config, tmp_path, capsys):
    config.metadata.gear_model = "Two"
    run = trained(config, tmp_path / "run")
    printed = capsys.readouterr().out
    assert "train it away with --config.data.repair=latency" in printed
    assert "train it away with --config.data.repair=dc" in printed
    metadata = read_nam(run / "model.nam").metadata
    assert {key: metadata[key] for key in GEAR} == GEAR | {"gear_model": "Two"}
    digest = hashlib.sha256((tmp_path / "late.nam").read_bytes()).hexdigest()
    assert metadata["converted_from"]["files"] == [{"file": "late.nam", "sha256": digest}]
    assert metadata["converted_from"]["esr"] == metadata["training"]["validation_esr"]
    assert {"loudness", "gain"} <= metadata.keys()
    page = (run / "report.html").read_text()
    assert "Checks of the teacher" in page
    assert "the teacher answers after 37 samples, which the copy keeps" in page
    assert "olarity" not in page
    assert "recording" not in page


@pytest.mark.slow
def test_a_changed_teacher_is_noticed(config, tmp_path):
    run = trained(config, tmp_path / "run")
    assert set(json.loads((run / "inputs.json").read_text())) == {
        config.data.teacher,
        config.data.input,
    }
    linear(tmp_path / "late.nam", [0.5, 0.25], sample_rate=RATE)
    config.train.steps = 4
    check_same_run(run, config)
    with pytest.raises(UserError, match=r"late\.nam is another one than this run was trained on"):
        trained(config, run)


@pytest.mark.slow
def test_a_run_goes_on(config, tmp_path, capsys):
    run = trained(config, tmp_path / "run")
    config.train.steps = 4
    trained(config, run)
    assert json.loads((run / "metrics.json").read_text())["steps"] == 4


def test_the_built_in_di_has_the_rate_of_the_teacher(config, tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_playing, "SECONDS", 2.0)
    config.data.teacher = linear(tmp_path / "slow.nam", [0.5], sample_rate=22050)
    for config.data.input in ("", "built-in"):
        teacher = Teacher(config.data)
        assert (teacher.sample_rate, teacher.notes) == (22050, [])
        di = teacher.di()
        assert len(di) == 3 * 22050
        np.testing.assert_allclose(teacher(di), 0.5 * di, atol=1e-6)


def test_without_a_rate_it_is_48_khz_and_said(config, tmp_path):
    config.data.teacher = linear(tmp_path / "old.nam", [0.5])
    teacher = Teacher(config.data)
    assert teacher.sample_rate == RATE
    assert "old.nam: says no sample rate; 48000 Hz is taken" in teacher.notes[0].line()


def test_a_chain_is_played_in_order_and_named(config, tmp_path):
    pedal = linear(
        tmp_path / "pedal.nam", [0.0, 1.0], 0.25, metadata={"name": "Fuzz", "gear_type": "pedal"}
    )
    amp = linear(tmp_path / "amp.nam", [2.0], metadata=GEAR)
    config.data.teacher = f"{pedal}, {amp}"
    teacher = Teacher(config.data)
    np.testing.assert_allclose(teacher(np.float32([1, 0, 0])), [0.5, 2.5, 0.5])
    assert teacher.lesson.teacher == "pedal.nam > amp.nam"
    gear = config.gear()
    assert (gear["name"], gear["gear_type"]) == ("Fuzz + Late", "pedal_amp")
    assert (gear["input_level_dbu"], gear["output_level_dbu"]) == (None, 3.0)


def test_a_chain_of_two_rates_is_refused(config, tmp_path):
    other = linear(tmp_path / "other.nam", [1.0], sample_rate=44100)
    config.data.teacher = f"{config.data.teacher},{other}"
    with pytest.raises(UserError, match=r"other\.nam at 44100 Hz; models in a row need one rate"):
        Teacher(config.data)


@pytest.mark.parametrize("rate", [24000, 48000, 96000])
def test_a_cabinet_filters_alike_at_any_rate(config, tmp_path, rate):
    """An exponential decay of a millisecond has the gain 1 / sum at 0 Hz."""
    decay = np.exp(-np.arange(rate // 20) / (0.001 * rate))
    soundfile.write(tmp_path / "ir.wav", decay / decay.sum(), rate, subtype="FLOAT")
    config.data.teacher = linear(tmp_path / "amp.nam", [0.5], metadata=GEAR)
    config.data.cabinet = str(tmp_path / "ir.wav")
    teacher = Teacher(config.data)
    y = teacher(np.ones(RATE // 10, np.float32))
    assert y[-1] == pytest.approx(0.5, rel=0.01)
    assert y[RATE // 1000] == pytest.approx(0.5 * (1 - np.exp(-1)), rel=0.1)
    said = teacher.notes[-1].line()
    assert said.startswith("ir.wav: an impulse response of 50 ms")
    assert ("resampled from" in said) == (rate != RATE)
    assert teacher.lesson.files[-1][0] == "ir.wav"
    assert (config.gear()["gear_type"], config.gear()["output_level_dbu"]) == ("amp_cab", None)
    assert teacher.unseen(RATE // 20) == []
    assert "% of its energy comes later than 1 ms" in teacher.unseen(48)[0].line()


def test_di_files_and_folders_are_played_one_after_the_other(config, tmp_path):
    (tmp_path / "takes").mkdir()
    for name, rate, level in (("a", RATE, 0.1), ("b", 24000, 0.2)):
        soundfile.write(tmp_path / "takes" / f"{name}.wav", np.full(rate, level), rate)
    config.data.input = f"{config.data.input},{tmp_path / 'takes'}"
    di = Teacher(config.data).di()
    assert len(di) == 5 * RATE
    np.testing.assert_allclose(di[[3 * RATE + 5000, 4 * RATE + 24000]], [0.1, 0.2], atol=1e-3)


def test_built_in_playing_may_be_judged_by_the_users_own(config, monkeypatch):
    monkeypatch.setattr(synthetic_playing, "SECONDS", 2.0)
    own, config.data.input = config.data.input, f"built-in,{config.data.input}"
    config.check()
    teacher = Teacher(config.data)
    di = teacher.di()
    np.testing.assert_array_equal(di[: 2 * RATE], synthetic_playing.varied_playing(2.0, 0, RATE))
    assert len(di) == 5 * RATE
    assert config.input_files() == (config.data.teacher, own)
    assert teacher.lesson.di == "built-in+di.wav"


@pytest.mark.parametrize("name", ["lstm", "convnet", "gated", "container", "sequential"])
def test_any_architecture_may_teach(config, tmp_path, name):
    path = tmp_path / f"{name}.nam"
    path.write_text(json.dumps(EXAMPLES[name]()))
    config.data.teacher = str(path)
    x = np.random.default_rng(0).normal(size=500).astype(np.float32)
    expected = np.asarray(load_nam(path).at_size(1.0)(x[None]))[0]
    np.testing.assert_allclose(Teacher(config.data)(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("weights", "said"),
    [([3e38, 3e38], "is unstable, it plays"), ([0.0, 0.0], "stays silent at full-scale input")],
)
def test_what_cannot_teach_leaves_no_folder(config, tmp_path, weights, said):
    config.data.teacher = linear(tmp_path / "bad.nam", weights)
    with pytest.raises(UserError, match=said):
        trained(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
