"""Sweeps: contents of the file, setting of options, and selection of trials."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from experiments.configs.a2_capture import get_config
from experiments.run.sweep import Trial, apply, finished, read_sweep, run_sweep
from wf_jax.errors import UserError

EXAMPLE = Path(__file__).parents[2] / "experiments" / "configs" / "sweep_learning_rate.py"


@dataclasses.dataclass
class Train:
    seed: int = 0
    learning_rate: float = 0.004
    resume: bool = False
    factors: tuple[int, ...] = (16, 16)
    limit: float | None = None
    kind: Literal["adam", "sgd"] = "adam"


@dataclasses.dataclass
class Data:
    name: str = ""
    seed: int = 0


@dataclasses.dataclass
class Config:
    task: str = "capture"
    train: Train = dataclasses.field(default_factory=Train)
    data: Data = dataclasses.field(default_factory=Data)


def sweep(folder, content):
    path = folder / "sweep.py"
    path.write_text(content)
    return path


def names(folder, trials):
    return [t.name for t in read_sweep(sweep(folder, f"def get_sweep():\n    return {trials!r}"))]


# The file


def test_trials_are_read_in_order(tmp_path):
    path = sweep(
        tmp_path,
        "RATES = (1e-3, 2e-3)\n"
        "def trial(rate):\n    return {'train.learning_rate': rate, 'train.seed': 1}\n"
        "def get_sweep():\n    return [trial(rate) for rate in RATES]\n",
    )
    first, second = read_sweep(path)
    assert first.name == "learning_rate=0.001,seed=1"
    assert first.overrides == {"train.learning_rate": 0.001, "train.seed": 1}
    assert second.name == "learning_rate=0.002,seed=1"
    assert [item.name for item in tmp_path.iterdir()] == ["sweep.py"]  # and no __pycache__


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([{}], ["base"]),
        ([{"train.seed": 1}, {"name": "best-2.0", "train.seed": 1}], ["seed=1", "best-2.0"]),
        ([{"train.seed": 1, "data.seed": 2}], ["train.seed=1,data.seed=2"]),
        ([{"train.seed": 1}, {"data.seed": 1}], ["train.seed=1", "data.seed=1"]),
        ([{"train.minutes": 3}, {"train.steps": 3}], ["minutes=3", "steps=3"]),
        ([{"train.rate": 3.17e-7}, {"train.rate": -0.5}], ["rate=3.17e-07", "rate=-0.5"]),
        ([{"model.sizes": ("nano", "standard")}], ["sizes=nano+standard"]),
        (
            [{"data.input": "../a b/c.wav", "train.resume": True}],
            ["input=..-a-b-c.wav,resume=True"],
        ),
    ],
)
def test_names_are_made_of_the_options(tmp_path, trials, expected):
    assert names(tmp_path, trials) == expected


def test_names_that_would_be_the_same_are_told_apart(tmp_path):
    """Distinguishes them by values, not by places in the list."""
    close = [{"train.rate": 0.1}, {"train.rate": 0.1 + 1e-12}, {"data.name": "a/b"}]
    more = [{"data.name": "a-b"}, {"data.name": "A-b"}, *close]
    found = names(tmp_path, close)
    assert len(set(found)) == 3
    assert all(name.startswith("rate=0.1-") for name in found[:2])
    assert names(tmp_path, more)[2:4] == found[:2]
    assert len({name.casefold() for name in names(tmp_path, more)}) == 5


def test_long_names_are_cut(tmp_path):
    trials = [{"data.name": "x" * 300 + end} for end in "ab"]
    first, second = names(tmp_path, trials)
    assert first != second
    assert len(first) == len(second) < 128


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1\n", "sweep.py: defines no get_sweep()"),
        ("get_sweep = []\n", "sweep.py: defines no get_sweep()"),
        ("x = 1\ndef get_sweep(:\n", "sweep.py, line 2: SyntaxError: invalid syntax"),
        ("import nowhere\n", "sweep.py, line 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("\ndef get_sweep():\n    return [1 / 0]\n", "sweep.py, line 3: ZeroDivisionError"),
        ("def get_sweep():\n    import json\n    json.loads('')\n", "sweep.py, line 3: JSONDecode"),
        ("def get_sweep():\n    open('none')\n", "sweep.py, line 2: FileNotFoundError"),
        ("def get_sweep(argument):\n    pass\n", "sweep.py: TypeError: get_sweep() missing 1"),
        ("raise SystemExit(3)\n", "sweep.py, line 1: SystemExit: 3"),
        ("def get_sweep():\n    return {}\n", "does not return a list of dicts"),
        ("def get_sweep():\n    return [1]\n", "does not return a list of dicts"),
        ("def get_sweep():\n    pass\n", "does not return a list of dicts"),
        ("def get_sweep():\n    return []\n", "returns an empty list"),
        ("def get_sweep():\n    return [{3: 1}]\n", "the option 3 is no text like 'train.seed'"),
        ("def get_sweep():\n    return [{}, {}]\n", "two trials are called base;"),
        (
            "def get_sweep():\n    return 2 * [{'train.seed': 1}]\n",
            "two trials are called seed=1; change an option, or a 'name'",
        ),
        (
            "def get_sweep():\n    return [{'name': 'A'}, {'name': 'a'}]\n",
            "two trials are called a",
        ),
        *(
            (f"def get_sweep():\n    return [{{'name': {name!r}}}]\n", f"the name {name!r} is no")
            for name in ("a/b", "..", ".hidden", "", "a b", "a\nb", 3)
        ),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, content, message):
    with pytest.raises(UserError) as error:
        read_sweep(sweep(tmp_path, content))
    assert message in str(error.value)
    assert str(tmp_path / "sweep.py") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["none.py", ""])
def test_a_missing_file_is_one_line(tmp_path, name):
    with pytest.raises(UserError, match=r"(No such file|Is a directory).*; name a file like"):
        read_sweep(tmp_path / name)


def test_the_example_fits_the_capture():
    trials = read_sweep(EXAMPLE)
    assert trials[0].name == "learning_rate=0.005,seed=0"
    configs = [apply(get_config(), trial.overrides) for trial in trials]
    assert len({(c.train.learning_rate, c.train.seed) for c in configs}) == len(trials) == 8


# Options


def test_options_are_set_in_a_copy():
    base = Config()
    changed = apply(base, {"train.seed": 3, "data.name": "x", "task": "vocoder"})
    assert (changed.train.seed, changed.data.name, changed.task) == (3, "x", "vocoder")
    assert base == Config()
    assert apply(base, {}) is not base


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("train.learning_rate", 1, 1.0),
        ("train.learning_rate", np.float32(0.5), 0.5),
        ("train.learning_rate", np.int64(2), 2.0),
        ("train.seed", np.int64(2), 2),
        ("train.factors", [4, 4, 16], (4, 4, 16)),
        ("train.factors", (), ()),
        ("train.limit", None, None),
        ("train.limit", 2, 2.0),
        ("train.kind", "sgd", "sgd"),
        ("train.resume", True, True),
    ],
)
def test_values_are_converted_as_on_the_command_line(name, value, expected):
    found = getattr(apply(Config(), {name: value}).train, name.rpartition(".")[2])
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("train.seed", 1.0, "int"),
        ("train.seed", True, "int"),
        ("train.seed", "1", "int"),
        ("train.seed", None, "int"),
        ("train.learning_rate", "1e-3", "float"),
        ("train.learning_rate", False, "float"),
        ("train.learning_rate", 1j, "float"),
        ("train.resume", 1, "bool"),
        ("train.factors", 16, "tuple[int, ...]"),
        ("train.factors", (16, 1.5), "tuple[int, ...]"),
        ("train.limit", "x", "float | None"),
        ("train.kind", "rmsprop", "Literal"),
        ("data.name", 3, "str"),
    ],
)
def test_values_of_another_type_are_refused(name, value, kind):
    with pytest.raises(UserError) as error:
        apply(Config(), {name: value}, "sweep.py")
    assert str(error.value).startswith(f"{name} in sweep.py: {value!r} is not of type ")
    assert kind in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("train.learning_rte", "no such option; did you mean train.learning_rate?"),
        ("learning_rate", "no such option; did you mean train.learning_rate?"),
        ("train", "a group of options; name one of them, as train.seed"),
        ("train.seed.x", "no such option; did you mean train.seed?"),
        ("zzz", "no such option"),
        ("", "no such option"),
        ("__class__", "no such option"),
    ],
)
def test_unknown_options_are_refused_with_the_nearest(name, message):
    with pytest.raises(UserError) as error:
        apply(Config(), {name: 1}, "sweep.py")
    assert str(error.value) == f"{name} in sweep.py: {message}"


# The trials


class Training:
    """Replaces the training: records its calls and returns the codes in turn."""

    def __init__(self, *codes):
        self.codes, self.asked = list(codes), []

    def __call__(self, config, workdir):
        self.asked.append((workdir.name, config.train.seed))
        code = self.codes.pop(0)
        if code == 0:
            finish(workdir, config.train.seed)
        return code


def finish(folder, seed, **options):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"finished": True, "esr": {"nano": 0.5, "standard": 0.25 * (seed + 1)}}
    (folder / "metrics.json").write_text(json.dumps(content))
    config = {"train.seed": seed, "train.factors": [16, 16], **options}
    (folder / "config.json").write_text(json.dumps(config))


TRIALS = [Trial(name, {"train.seed": seed}) for seed, name in enumerate("abc")]


def test_all_are_trained_in_turn_and_told(tmp_path, capsys):
    training = Training(0, 1, 0)
    assert run_sweep(TRIALS, Config(), tmp_path, training) == 1
    assert training.asked == [("a", 0), ("b", 1), ("c", 2)]
    assert capsys.readouterr().out.splitlines() == [
        "sweep 1 of 3: a",
        "sweep 2 of 3: b",
        "sweep 3 of 3: c",
        f"sweep in {tmp_path}:",
        "  a  finished  ESR nano 0.500, ESR standard 0.250",
        "  b  failed",
        "  c  finished  ESR nano 0.500, ESR standard 0.750",
    ]


def test_started_again_it_trains_what_is_missing(tmp_path, capsys):
    run_sweep(TRIALS, Config(), tmp_path, Training(0, 1, 0))
    capsys.readouterr()
    training = Training(0)
    assert run_sweep(TRIALS, Config(), tmp_path, training) == 0
    assert training.asked == [("b", 1)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sweep 1 of 3: a is finished already"
    assert lines[-3] == "  a  skipped   ESR nano 0.500, ESR standard 0.250"
    assert lines[-2].startswith("  b  finished")


def test_a_trial_whose_report_failed_is_made_again(tmp_path, capsys):
    """Covers also a process that was killed before it was written."""
    finish(tmp_path / "a", 0)
    result = json.loads((tmp_path / "a" / "metrics.json").read_text())
    (tmp_path / "a" / "metrics.json").write_text(json.dumps({**result, "reported": False}))
    training = Training(0)
    assert finished(tmp_path / "a")
    assert run_sweep(TRIALS[:1], Config(), tmp_path, training) == 0
    assert training.asked == [("a", 0)]


@pytest.mark.parametrize("code", [75, 130])
def test_an_interruption_ends_it_at_once(tmp_path, capsys, code):
    training = Training(0, code)
    assert run_sweep(TRIALS, Config(), tmp_path, training) == code
    assert [name for name, _ in training.asked] == ["a", "b"]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "sweep 2 of 3: b was interrupted; the same command goes on with it"


def test_one_by_its_index(tmp_path, capsys):
    training = Training(0)
    assert run_sweep(TRIALS, Config(), tmp_path, training, index=2) == 0
    assert training.asked == [("c", 2)]
    assert "sweep 3 of 3: c" in capsys.readouterr().out


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_out_of_range_names_the_range(tmp_path, index):
    with pytest.raises(UserError, match=f"trial {index} does not exist; choose one of 0 to 2"):
        run_sweep(TRIALS, Config(), tmp_path, Training(), index=index)


def test_options_are_checked_before_any_training(tmp_path):
    training = Training()
    with pytest.raises(UserError, match=r"train\.sed in grid\.py: no such option"):
        run_sweep([*TRIALS, Trial("d", {"train.sed": 1}, "grid.py")], Config(), tmp_path, training)
    assert training.asked == []


@pytest.mark.parametrize("changed", [{"train.learning_rate": 0.1}, {"train.factors": [4]}])
def test_a_finished_run_of_another_config_is_not_taken_for_this_one(tmp_path, changed):
    """The training then goes on with it, or refuses the folder."""
    finish(tmp_path / "a", 0, **changed)
    training = Training(1)
    assert run_sweep(TRIALS[:1], Config(), tmp_path, training) == 1
    assert training.asked == [("a", 0)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"finished": true}', True),
        ('{"finished": false}', False),
        ('{"finished": 1}', False),
        ('{"steps": 3}', False),
        ("[]", False),
        ('{"finished": tr', False),
        (None, False),
    ],
)
def test_finished(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    assert finished(tmp_path) is expected
