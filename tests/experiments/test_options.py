"""The ranges of options: all have one, and values outside give one line that names it."""

import copy
import dataclasses
import inspect
import math

import pytest

from experiments.configs import a2_capture, likelihood, voice, waveflow, waveglow, wavenet
from wf_jax.errors import UserError
from wf_jax.options import Items, Number, check_options, describe_options, rule_of
from wf_jax.training.settings import Settings

CONFIGS = {
    "a2_capture": a2_capture.get_config("demo"),
    "waveflow": waveflow.get_config("demo"),
    "voice": voice.get_config("demo"),
    "waveglow": waveglow.get_config("demo"),
    "wavenet": wavenet.get_config("demo"),
    "likelihood": likelihood.get_config("demo"),
}


def options(group, prefix=""):
    """Returns every option of nested dataclasses: its full name and field."""
    for field in dataclasses.fields(group):
        inside = getattr(group, field.name)
        if dataclasses.is_dataclass(inside):
            yield from options(inside, f"{prefix}{field.name}.")
        elif not isinstance(inside, dict):
            yield prefix + field.name, field


def changed(config, name, value):
    """Returns a copy with this option."""
    config = copy.deepcopy(config)
    group = config
    *path, last = name.split(".")
    for part in path:
        group = getattr(group, part)
    setattr(group, last, value)
    return config


def numbers():
    for config, content in CONFIGS.items():
        for name, field in options(content):
            rule = rule_of(field)
            if isinstance(rule, Items):
                rule = rule.rule
            if isinstance(rule, Number):
                yield config, name, rule, isinstance(getattr(field, "default", None), tuple)


NUMBERS = list(numbers())


@pytest.mark.parametrize("name", CONFIGS)
def test_every_option_has_a_rule_that_its_default_keeps(name):
    for option, field in options(CONFIGS[name]):
        given = field.type in (bool, "bool") or option == "only"
        assert given or rule_of(field) is not None, option
    check_options(CONFIGS[name])


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "likelihood"])
def test_every_config_can_begin(name):
    CONFIGS[name].check()


@pytest.mark.parametrize(("config", "name"), [(c, n) for c, n, _, _ in NUMBERS])
def test_no_number_is_out_of_its_range(config, name):
    rule, several = next((r, s) for c, n, r, s in NUMBERS if (c, n) == (config, name))
    beside = [
        rule.low if rule.above else math.nextafter(rule.low, -math.inf),
        rule.high if rule.below else math.nextafter(rule.high, math.inf),
    ]
    for value in (math.nan, math.inf, -math.inf, -2.5, *beside):
        if value == rule.also or (rule.low <= value <= rule.high and value not in beside):
            continue
        given = (value,) if several else value
        with pytest.raises(UserError) as error:
            check_options(changed(CONFIGS[config], name, given))
        (line,) = str(error.value).splitlines()
        assert line.startswith(f"--config.{name}=")
        assert str(value) in line


WRONG = {
    "metadata.input_level_dbu": ("12,2", "loud", "nan", "inf", "1e999", "1_2", "101"),
    "metadata.output_level_dbu": ("12,2", "٣", "-"),
    "metadata.gear_type": ("guitar", "Amp"),
    "metadata.tone_type": ("loud",),
    "metadata.name": ("a\udcffb",),
    "data.latency": ("²", "--5", "1.5", "1e3", "", "soon", "99999999999", "٣"),
    "data.validation_seconds": (math.nan, 0.0, -9.0, math.inf),
    "data.input_channel": (-1,),
    "model.sizes": ((), ("huge",), ("nano", "nano"), ("nano", "standard", "nano")),
    "train.weight_decay": (-1.0, math.nan),
    "train.learning_rate": (math.inf, 0.0, -2.0),
    "train.warmup": (1.5, -0.5, math.nan),
    "train.hold": (1.5, -0.5),
    "train.end": (0.0, 1.5),
    "train.seed": (-1, 2**64),
    "train.optimizer": ("muon", ""),
    "train.accumulate": (3,),
    "loss.mrstft": (math.nan, -1.0, math.inf),
    "loss.pre_emphasis": (1.5, -0.1),
    "loss.pre_emphasis_mse": (-1e-9,),
    "checkpoints.keep": (0,),
    "checkpoints.minutes": (math.nan, -1.0),
    "task": ("vocoder", "sing"),
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, given in WRONG.items() for v in given])
def test_a_wrong_value_of_a_capture_is_one_line(name, value):
    with pytest.raises(UserError) as error:
        changed(CONFIGS["a2_capture"], name, value).check()
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"--config.{name}=")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metadata.input_level_dbu", "-12.5"),
        ("metadata.input_level_dbu", "+4"),
        ("metadata.output_level_dbu", ".5e1"),
        ("data.latency", "-5"),
        ("data.latency", "+12"),
        ("metadata.gear_type", "amp_pedal_cab"),
        ("metadata.name", "Röhre\n2"),
        ("train.warmup", -1.0),
        ("train.learning_rate", 1e-20),
    ],
)
def test_a_right_value_of_a_capture_is_taken(name, value):
    changed(CONFIGS["a2_capture"], name, value).check()


def test_a_message_says_what_would_do():
    with pytest.raises(UserError) as error:
        changed(CONFIGS["a2_capture"], "metadata.input_level_dbu", "12,2").check()
    assert str(error.value) == (
        "--config.metadata.input_level_dbu=12,2 is not a level in dBu; choose one like 12.2, or "
        "leave it out"
    )
    with pytest.raises(UserError) as error:
        check_options(Settings(average_decay=1.0), prefix="", equals=" ")
    assert str(error.value) == "average_decay 1.0 is not < 1; choose 0.999"


@dataclasses.dataclass
class Written:
    """The options of a test.

    Attributes:
        one: of which the meaning goes on
            in another line.
        two: the second.
    """

    one: int = 1
    two: int = 2


def test_meanings_are_read_whether_or_not_python_indents_docstrings(monkeypatch):
    expected = ["of which the meaning goes on in another line.", "the second."]
    assert [option.meaning for option in describe_options(Written())] == expected
    monkeypatch.setattr(Written, "__doc__", inspect.cleandoc(Written.__doc__))  # as 3.13 does
    assert [option.meaning for option in describe_options(Written())] == expected


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "likelihood"])
def test_every_option_of_a_run_has_a_meaning(name):
    assert [o.name for o in describe_options(CONFIGS[name]) if not o.meaning] == []
