"""A search over settings: its text, its checks, and the model that it keeps."""

import csv
import json

import pytest
import soundfile

from data_pipeline.synthetic_pair import demo_pair
from experiments.capture.search import KEPT, TABLE, search_settings
from experiments.configs.a2_capture import get_config
from experiments.run.sweep_file import parse_search
from wf_jax.errors import UserError
from wf_jax.training.settings import Session


def combinations(text):
    return [trial.overrides for trial in parse_search(text, "--config.search")]


def test_every_combination_is_tried():
    assert combinations("train.seed=0,1 train.learning_rate=0.01,0.02") == [
        {"train.seed": 0, "train.learning_rate": 0.01},
        {"train.seed": 0, "train.learning_rate": 0.02},
        {"train.seed": 1, "train.learning_rate": 0.01},
        {"train.seed": 1, "train.learning_rate": 0.02},
    ]
    assert combinations("config.train.optimizer=soap,adam data.correct_drift=true") == [
        {"train.optimizer": "soap", "data.correct_drift": True},
        {"train.optimizer": "adam", "data.correct_drift": True},
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train.seed", "train.seed is not OPTION=VALUE,VALUE"),
        ("train.seed=", "train.seed= is not OPTION=VALUE,VALUE"),
        ("=1,2", "=1,2 is not OPTION=VALUE,VALUE"),
        ("train.seed=1 train.seed=2", "train.seed=2 is there twice"),
        ("train.seed=1,1", "a value is there twice"),
        (f"train.seed={','.join(map(str, range(1001)))}", "1001 combinations; 1000 at most"),
    ],
)
def test_a_wrong_text_is_one_line(text, reason):
    with pytest.raises(UserError, match=reason) as found:
        parse_search(text, "--config.search")
    assert "\n" not in str(found.value)


@pytest.fixture
def config(tmp_path):
    """A pair, and a model of 8 taps that is trained for two epochs."""
    for name, samples in zip(("di", "amp"), demo_pair(4.0), strict=True):
        soundfile.write(tmp_path / f"{name}.wav", samples, 48_000, subtype="PCM_24")
    linear = {"architecture": "Linear", "config": {"receptive_field": 8, "bias": False}}
    (tmp_path / "linear.json").write_text(json.dumps(linear))
    config = get_config()
    config.data.input, config.data.output = (str(tmp_path / f"{x}.wav") for x in ("di", "amp"))
    config.data.validation_seconds, config.model.nam = 1.0, str(tmp_path / "linear.json")
    config.train.batch_size, config.train.window, config.train.epochs = 2, 4096, 2
    config.train.optimizer = "adam"  # compiles sooner
    return config


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        (
            "train.sede=0,1",
            "train.sede in --config.search: no such option; did you mean train.seed",
        ),
        ("train.seed=a", "train.seed in --config.search: 'a' is not of type int"),
        ("train.batch_size=2,-1", "train.batch_size"),
        ("data.output=no.wav", "no.wav"),
    ],
)
def test_all_trials_are_checked_before_the_first_begins(config, search, reason):
    config.search = search
    with pytest.raises(UserError, match=reason):
        config.check()


def test_many_captures_are_not_searched(config, tmp_path):
    config.search, config.data.output = "train.seed=0,1", str(tmp_path)
    with pytest.raises(UserError, match="tries settings for one capture"):
        config.check()


def test_the_best_is_kept_and_the_same_command_goes_on(config, tmp_path, capsys):
    config.search = "train.learning_rate=1e-6,0.02"
    config.check()
    assert config.several
    place = tmp_path / "runs"
    assert search_settings(config, place, Session()) == 0
    with (place / TABLE).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["learning_rate=0.02", "learning_rate=1e-06"]
    sizes = [name for name in rows[0] if name.startswith("esr_")]
    assert [float(row[sizes[0]]) for row in rows] == sorted(float(row[sizes[0]]) for row in rows)
    for name in KEPT:
        kept = (place / "learning_rate=0.02" / name).read_bytes()
        assert (place / name).read_bytes() == kept
    assert "best: learning_rate=0.02, ESR" in capsys.readouterr().out
    config.search = "train.learning_rate=1e-6,0.02,0.01"
    assert search_settings(config, place, Session()) == 0
    assert capsys.readouterr().out.count("is finished already") == 2
    assert len((place / TABLE).read_text().splitlines()) == 4
