"""The length of a run: what is asked for comes before what the config has."""

import sys

import pytest
from absl import flags
from ml_collections import config_flags

from experiments.configs import a2_capture, likelihood, waveflow
from experiments.run.sweep import configs_of
from experiments.run.sweep_file import Trial
from experiments.terminal import parsing
from experiments.terminal.word_arguments import translate

# The lengths that the configs have: minutes, steps, epochs.
DEMO, TINY, VOICE = (0.8, 0, 100), (2.0, 5000, 100), (0.0, 250, 100)


def length(config):
    return config.train.minutes, config.train.steps, config.train.epochs


def test_the_configs_have_lengths_of_both_kinds():
    configs = a2_capture.get_config("demo"), likelihood.get_config(), waveflow.get_config("demo")
    assert tuple(map(length, configs)) == (DEMO, TINY, VOICE)


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # ml_collections'
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("train a2_capture:demo run", DEMO),
        ("train a2_capture:demo run --seed=3", DEMO),
        ("train a2_capture:demo run --steps=300", (0.0, 300, 100)),
        ("train a2_capture:demo run --config.train.steps=300", (0.0, 300, 100)),
        ("train a2_capture:demo run --config.train.epochs=7", (0.0, 0, 7)),
        ("train a2_capture:demo run --minutes=0 --steps=300", (0.0, 300, 100)),
        ("train a2_capture:demo run --minutes=2 --steps=300", (2.0, 300, 100)),
        ("train a2_capture:demo run --steps=0", DEMO),
        ("train waveflow:demo run --minutes=2", (2.0, 250, 100)),
        ("train waveflow:demo run --config.train.epochs=7", (0.0, 0, 7)),
        ("compare likelihood run --steps=300", (0.0, 300, 100)),
        ("capture di.wav amp.wav --steps=300", (0.0, 300, 100)),
    ],
)
def test_what_is_typed_comes_first(monkeypatch, typed, expected):
    word, *rest = typed.split()
    monkeypatch.setattr(sys, "argv", ["program", *translate(word, rest)])  # which it reads too
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "the config", flag_values=values)
    flags.DEFINE_string("workdir", None, "the folder", flag_values=values)
    monkeypatch.setattr(flags, "FLAGS", values)
    parsing.parse_flags(sys.argv)
    assert length(values["config"].value) == expected


def test_the_options_of_a_sweep_come_first():
    trials = [
        Trial("a", {"train.seed": 1}),
        Trial("b", {"train.steps": 300}),
        Trial("c", {"train.epochs": 7}),
    ]
    configs = configs_of(trials, a2_capture.get_config("demo"))
    expected = [DEMO, (0.0, 300, 100), (0.0, 0, 7)]
    assert [length(config) for _, config in configs.values()] == expected
