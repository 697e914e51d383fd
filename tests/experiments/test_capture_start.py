"""Refusals before a capture trains, which leave nothing behind."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from data_pipeline.audio_files import write_wav
from data_pipeline.synthetic_pair import demo_pair, write_demo_pair
from experiments.capture import job as capture
from experiments.capture import results as capture_results
from experiments.configs.a2_capture import get_config
from experiments.run import job
from experiments.run.folder import RunFolder
from wf_jax.amps import a2, save_nam
from wf_jax.errors import UserError
from wf_jax.training.settings import Session

RATE = 48_000


@pytest.fixture(scope="module")
def signals():
    return demo_pair(12.0)


@pytest.fixture
def config(signals, tmp_path):
    """Returns a config of a small pair, 3 s held out."""
    config = get_config()
    for name, samples in zip(("di", "amp"), signals, strict=True):
        write_wav(tmp_path / f"{name}.wav", samples, RATE)
    config.data.input, config.data.output = str(tmp_path / "di.wav"), str(tmp_path / "amp.wav")
    config.data.validation_seconds = 3.0
    config.train.batch_size, config.train.window = 2, 4096
    return config


def refusal(config, workdir, error=UserError):
    with pytest.raises(error) as caught:
        job.execute(capture.CaptureJob(config), RunFolder(workdir), Session())
    assert not workdir.exists()
    return str(caught.value)


class StoppedError(Exception):
    """The point at which the training would begin."""


@pytest.fixture
def stopped(monkeypatch):
    def train(task, *others, **options):
        raise StoppedError(task)

    monkeypatch.setattr(job, "train", train)


@pytest.fixture
def short(monkeypatch):
    """Makes a built-in pair of 24 s."""
    monkeypatch.setattr(capture, "write_demo_pair", partial(write_demo_pair, seconds=24.0))


def test_a_silent_end(config, signals, tmp_path):
    amp = signals[1].copy()
    amp[9 * RATE :] = 0.0
    write_wav(config.data.output, amp, RATE)
    config.data.ignore_checks = True
    said = refusal(config, tmp_path / "run")
    assert (
        "amp.wav: the held-out part (9.13 to 12.00 s) is silent, its peak is zero; record" in said
    )
    assert "learning_rate" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"output": "none.wav"}, Exception, "none.wav: no such file"),
        ({"input": "none.wav"}, Exception, "none.wav: no such file"),
        ({"loudness_probe": "none.wav"}, Exception, "none.wav: no such file"),
        ({"stop_seconds": 99.0}, UserError, "stop_seconds=99"),
        ({"input": "demo", "validation_seconds": 23.9}, UserError, "di.wav: 24.00 s leave"),
    ],
)
def test_a_refused_start_leaves_no_folder(config, tmp_path, short, options, error, said):
    for name, value in options.items():
        setattr(config.data, name, value)
    assert said in refusal(config, tmp_path / "run", error)


@pytest.mark.slow
def test_the_built_in_pair_is_kept_with_the_run(tmp_path, stopped, short):
    with pytest.raises(StoppedError):
        job.execute(capture.CaptureJob(get_config("demo")), RunFolder(tmp_path / "run"), Session())
    names = {path.name for path in (tmp_path / "run" / "pair").iterdir()}
    assert names == {"di.wav", "amp.wav"}


def linear(path, receptive_field):
    sizes = {"receptive_field": receptive_field, "bias": False}
    path.write_text(json.dumps({"architecture": "Linear", "config": sizes}))
    return str(path)


@pytest.mark.parametrize(
    ("receptive_field", "validation", "fault"),
    [
        (200_000, 3.0, "leave 2.998 s of validation, but the model needs 4.2"),
        (400_000, 9.0, "of training, but the model needs 8.5"),
        (30_000, 3.0, None),
    ],
)
def test_the_context_is_that_of_the_model(
    config, tmp_path, stopped, receptive_field, validation, fault
):
    config.model.nam = linear(tmp_path / "long.json", receptive_field)
    config.data.validation_seconds = validation
    if fault:
        said = refusal(config, tmp_path / "run")
        assert fault.replace("2.998", "3.00") in said
        return
    with pytest.raises(StoppedError) as caught:
        job.execute(capture.CaptureJob(config), RunFolder(tmp_path / "run"), Session())
    task = caught.value.args[0]
    assert task.lookback == receptive_field - 1
    assert np.isfinite(task.evaluate(task.init())["esr/linear"][0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "all, from 0.00 to 60.00 s"),
        ({"start_seconds": 2.0}, "only from 2.00 to 60.00 s"),
        ({"stop_seconds": 50.5}, "only from 0.00 to 50.50 s"),
        ({"correct_drift": True}, "all, from 0.00 to 60.00 s; its clock's drift undone"),
    ],
)
def test_the_page_says_which_part_was_used(config, tmp_path, options, said):
    for name, value in options.items():
        setattr(config.data, name, value)
    save_nam(a2.create("nano", np.random.default_rng(0)), tmp_path / "model.nam", {})
    part = (config.data.start_seconds, config.data.stop_seconds or 60.0)
    audio = {"input_train": np.zeros(9), "input_validation": np.zeros(9), "sample_rate": 48000}
    made = SimpleNamespace(part_seconds=part, standard_version=None, lesson=None, **audio)
    result = SimpleNamespace(steps=1, minutes=1.0, stopped="finished")
    facts = capture_results._facts(config, made, result, tmp_path / "model.nam")
    assert facts["part used"] == said


def test_a_part_and_a_drift_reach_the_capture(config, tmp_path, stopped, capsys):
    config.data.start_seconds, config.data.correct_drift = 2.0, True
    with pytest.raises(StoppedError) as caught:
        job.execute(capture.CaptureJob(config), RunFolder(tmp_path / "run"), Session())
    task = caught.value.args[0]
    assert task.windows == (7 * RATE - 95 - task.lookback) // 4096
    assert "used from 2.00 to 12.00 s only" in capsys.readouterr().out
