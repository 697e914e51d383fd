"""Reads the file of a sweep: it defines `get_sweep()`, which returns a dict of options per trial.

    [{"train.learning_rate": rate, "train.seed": seed} for rate in (1e-3, 2e-3) for seed in (0, 1)]

A trial is called by its options, as learning_rate=0.001,seed=0, unless its dict has a "name".
"""

import dataclasses
import hashlib
import itertools
import json
import math
import re
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.run.table import short_options
from wf_jax.errors import UserError, short

EXAMPLE = "experiments/configs/sweep_learning_rate.py"
LONGEST = 100  # characters of a made-up name
MOST_COMBINATIONS = 1000  # of a search
_LONGEST_NAME = 200  # bytes of a given one; file systems take 255


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Attributes:
        name: name of its folder.
        overrides: option -> value, as {"train.seed": 0}.
        source: the file that they come from, for messages.
    """

    name: str
    overrides: dict[str, Any]
    source: str = "the sweep"


def parse_search(text: str, source: str) -> list[Trial]:
    """Parses "OPTION=VALUE,VALUE OPTION=VALUE,VALUE" to all combinations.

    Values are written as in JSON, others are texts.

    Args:
        text: of the search.
        source: where it was typed, for messages.

    Raises:
        UserError: it has another form, an option twice, or too many combinations.
    """
    values: dict[str, list[Any]] = {}
    for part in text.split():
        name, equals, listed = part.partition("=")
        given = [each for each in listed.split(",") if each]
        if not (equals and name and given) or name in values:
            fault = "is there twice" if name in values else "is not OPTION=VALUE,VALUE"
            raise UserError(
                f'{source}: {short(part)} {fault}; write "train.seed=0,1 train.hold=0.5,0.8"'
            )
        values[name.removeprefix("config.")] = [_value(each) for each in given]
    count = math.prod(map(len, values.values()))
    if count > MOST_COMBINATIONS:
        raise UserError(f"{source}: {count} combinations; {MOST_COMBINATIONS} at most are tried")
    combinations = [
        dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())
    ]
    if len({repr(each) for each in combinations}) < len(combinations):
        raise UserError(f"{source}: a value is there twice; leave one of them out")
    names = _names(combinations)
    return [Trial(name, each, source) for name, each in zip(names, combinations, strict=True)]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_sweep(path: Path) -> list[Trial]:
    """Reads the trials of a file that defines `get_sweep()`.

    Raises:
        UserError: no such file, an error inside, or not a list of dicts with different names.
    """
    listed = _call(path)
    if not (isinstance(listed, list | tuple) and all(isinstance(t, dict) for t in listed)):
        raise UserError(f"{path}: get_sweep() does not return a list of dicts; see {EXAMPLE}")
    if not listed:
        raise UserError(f"{path}: get_sweep() returns an empty list; nothing would be trained")
    overrides = [{k: v for k, v in trial.items() if k != "name"} for trial in listed]
    for key in (key for trial in overrides for key in trial if not isinstance(key, str)):
        raise UserError(f"{path}: the option {key!r} is no text like 'train.seed'")
    try:
        made = iter(_names([trial for trial in listed if "name" not in trial]))
    except (ValueError, RecursionError) as error:  # whole numbers without end, lists in themselves
        raise UserError(f"{path}: a value cannot be written ({error}); give another") from None
    names = [trial["name"] if "name" in trial else next(made) for trial in listed]
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[\w=,+@-][\w.=,+@-]*", name):
            given = short(repr(name))
            raise UserError(f"{path}: the name {given} is no folder's; use letters, digits, -_.=")
        if len(name.encode()) > _LONGEST_NAME:
            raise UserError(f"{path}: the name {short(name, 40)} is too long for a folder's")
    # Some file systems hold A and a for the same folder.
    twice = [n for n, count in Counter(name.casefold() for name in names).items() if count > 1]
    if twice:
        raise UserError(f"{path}: two trials are called {twice[0]}; change an option, or a 'name'")
    return [Trial(name, values, path.name) for name, values in zip(names, overrides, strict=True)]


def _call(path: Path) -> Any:
    """Returns the result of the file's get_sweep()."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a file like {EXAMPLE}") from None
    space: dict[str, Any] = {"__name__": "sweep", "__file__": str(path)}
    try:
        exec(compile(source, str(path), "exec"), space)
        get_sweep = space.get("get_sweep")
        if callable(get_sweep):
            return get_sweep()
    except (Exception, SystemExit) as error:
        raise UserError(_inside(path, error)) from None
    raise UserError(f"{path}: defines no get_sweep(); see {EXAMPLE}")


def _inside(path: Path, error: BaseException) -> str:
    """Formats the error with the last line of the file on the way to it."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    message = str(error).split("\n")[0]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines, message = [error.lineno], error.msg
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    return f"{where}: {type(error).__name__}: {message}"


def _names(trials: Sequence[dict[str, Any]]) -> list[str]:
    """Makes names from the options, with a hash of the values where two would be equal."""
    options = list(dict.fromkeys(option for trial in trials for option in trial))
    short = dict(zip(options, short_options(options), strict=True))
    names = []
    for trial in trials:
        parts = [f"{_written(short[option])}={_written(value)}" for option, value in trial.items()]
        names.append(",".join(parts) or "base")
    values = [repr(trial) for trial in trials]
    uses = Counter(name.casefold() for name, _ in set(zip(names, values, strict=True)))
    return [
        f"{name[:LONGEST]}-{hashlib.sha256(content.encode()).hexdigest()[:6]}"
        if len(name) > LONGEST or uses[name.casefold()] > 1
        else name
        for name, content in zip(names, values, strict=True)
    ]


def _written(value: Any) -> str:
    """Writes a value in characters that are safe in a folder's name."""
    if isinstance(value, list | tuple):
        return "+".join(map(_written, value))
    short = f"{value:.6g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^\w.+-]+", "-", short)
