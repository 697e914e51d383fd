"""Training settings made from a run's config."""

import json

import pytest

from experiments.configs import a2_capture, waveflow
from experiments.run.config import flat_config
from experiments.run.folder import RunFolder
from experiments.run.settings import read_settings
from wf_jax.errors import UserError
from wf_jax.platforms import choices, chosen
from wf_jax.training.schedule import Schedule


def capture_settings(**train):
    config = a2_capture.get_config("demo")
    config.train.minutes = 0.0
    for name, value in train.items():
        setattr(config.train, name, value)
    config.check()
    return read_settings(config)


def test_soap_is_the_default_of_captures():
    settings = capture_settings()
    assert settings.optimizer == "soap"
    assert settings.schedule.warmup > 0
    assert settings.rate(1.0) == pytest.approx(settings.learning_rate * settings.schedule.end)


def test_adam_is_the_recipe_of_the_nam_trainer():
    settings = capture_settings(optimizer="adam", epochs=40)
    assert settings.learning_rate == 0.004
    for step in (0, 17, 18, 300, 719):
        assert settings.rate(step / 720) == pytest.approx(0.004 * 0.994 ** (step // 18)), step


@pytest.mark.parametrize("length", [{"steps": 300}, {"minutes": 10.0}])
def test_adam_stretches_its_decay_over_a_run_in_steps_or_minutes(length):
    settings = capture_settings(optimizer="adam", **length)
    rates = [settings.rate(p) for p in (0, 0.505, 1)]
    assert rates == pytest.approx([0.004, 0.004 * 0.994**50.5, 0.004 * 0.994**100])


def test_what_is_said_stands():
    settings = capture_settings(learning_rate=0.007, hold=0.9, end=0.5)
    assert settings.learning_rate == 0.007
    assert settings.schedule == Schedule(warmup=0.05, hold=0.9, end=0.5, fade=300)
    adam = capture_settings(optimizer="adam", end=0.1)
    assert adam.rate(1.0) == pytest.approx(0.0004)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"optimizer": "muon"}, "--config.train.optimizer=muon is none of adam, soap"),
        ({"learning_rate": 0.0}, "--config.train.learning_rate=0.0 is not > 0"),
        ({"learning_rate": float("nan")}, "--config.train.learning_rate=nan is not > 0"),
        ({"warmup": 0.9}, "--config.train: warmup 0.9 and hold 0.8"),
        ({"end": 2.0}, "--config.train.end=2.0 is not 1 or less; choose -1 for what suits"),
        ({"substeps": -1}, "--config.train.substeps=-1 is not 0 or more"),
    ],
)
def test_what_cannot_be_is_one_line(train, said):
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        capture_settings(**train)


def test_vocoders_say_theirs():
    settings = read_settings(waveflow.get_config("tiny"))
    assert settings.optimizer == "adam"
    assert [settings.rate(p) for p in (0, 0.5, 1)] == pytest.approx([4e-3, 4e-3 * 0.05**0.5, 2e-4])


def test_steps_per_dispatch_are_the_devices_where_they_are_left_open():
    assert capture_settings().substeps == choices().substeps == 1
    with chosen(substeps=8):
        assert capture_settings().substeps == 8
        assert capture_settings(substeps=3).substeps == 3


def test_a_run_of_before_there_was_a_choice_was_adams(tmp_path):
    config = a2_capture.get_config()
    content = flat_config(config) | {"train.decay": 0.994}
    del content["train.optimizer"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    (tmp_path / "metrics.jsonl").write_text('{"step": 18}\n')
    said = r"started with --config.train.optimizer=adam, not soap"
    with RunFolder(tmp_path) as workdir, pytest.raises(UserError, match=said):
        workdir.open(config)
    config.train.optimizer = "adam"
    with RunFolder(tmp_path) as workdir:
        workdir.open(config)
