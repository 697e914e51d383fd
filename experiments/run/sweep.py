"""A sweep: one config trained several times with different values of some options."""

import contextlib
import copy
import dataclasses
import difflib
import json
import numbers
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.run.config import RunConfig
from experiments.run.reading import Best, judged, read_result
from experiments.run.sweep_file import Trial
from experiments.run.sweep_file import read_sweep as read_sweep
from experiments.run.table import title, value
from experiments.terminal.exit_codes import AGAIN, INTERRUPTED
from experiments.terminal.run_length import keep_asked
from wf_jax.bounded_files import read_json
from wf_jax.errors import UserError, short
from wf_jax.old_names import current_names


def run_sweep(
    trials: Sequence[Trial],
    base_config: Any,
    workdir: Path,
    run: Callable[[Any, Path], int],
    index: int | None = None,
) -> int:
    """Trains each unfinished trial in its folder below `workdir`, in turn.

    A trial that fails does not stop the others; one that is interrupted does, and its exit code
    is returned at once.

    Args:
        trials: see read_sweep.
        base_config: the common config.
        workdir: folder of the sweep.
        run: trains a config in a folder; returns the exit code.
        index: index of the only trial to train, from 0; None for all.

    Returns:
        0 if every trial is finished, 75 or 130 if one was interrupted, else 1.

    Raises:
        UserError: no such index; an unknown option, or a value of a wrong type (before any
            training).
    """
    return train_each(configs_of(trials, base_config, index), workdir, run, "sweep")


def configs_of(
    trials: Sequence[Trial], base_config: Any, index: int | None = None
) -> dict[str, tuple[str, Any]]:
    """Returns label and config of each trial, or of one, by its name.

    Raises:
        UserError: no such index; an unknown option, or a value of a wrong type.
    """
    if index is not None and not 0 <= index < len(trials):
        raise UserError(f"trial {index} does not exist; choose one of 0 to {len(trials) - 1}")
    configs = {}
    for i, trial in enumerate(trials):
        if index is None or i == index:
            config = apply(base_config, trial.overrides, trial.source)
            keep_asked(config.train, trial.overrides)
            configs[trial.name] = (f"sweep {i + 1} of {len(trials)}: {trial.name}", config)
    return configs


def check_trials(configs: Mapping[str, tuple[str, RunConfig]], workdir: Path) -> None:
    """Checks the config of each unfinished trial before the first one starts.

    Raises:
        UserError: a trial could not begin; one line that names it.
    """
    for name, (label, config) in configs.items():
        if not complete(workdir / name):
            try:
                config.check()
            except UserError as error:
                raise UserError(f"{label}: {error}") from None


def train_each(
    configs: Mapping[str, tuple[str, Any]],
    workdir: Path,
    run: Callable[[Any, Path], int],
    what: str,
) -> int:
    """Trains each config in `workdir`/NAME; see run_sweep.

    Args:
        configs: label on the terminal and config, by the name of the folder.
        workdir: folder above all of them.
        run: trains a config in a folder; returns the exit code.
        what: they are together.
    """
    states = {}
    for name, (label, config) in configs.items():
        folder = workdir / name
        if complete(folder) and has_options(folder, config):
            print(f"{label} is finished already", flush=True)
            states[name] = "skipped"
            continue
        print(label, flush=True)
        code = run(config, folder)
        if code in (AGAIN, INTERRUPTED):
            print(f"{label} was interrupted; the same command goes on with it", flush=True)
            return code
        states[name] = "failed" if code else "finished"
    print("\n".join(_summary(states, workdir, what)), flush=True)
    return int("failed" in states.values())


def finished(workdir: Path) -> bool:
    """Returns whether the run in this folder used its whole budget."""
    return read_result(workdir).get("finished") is True


def complete(workdir: Path) -> bool:
    """Returns whether its report was written too; older runs do not record this."""
    return finished(workdir) and read_result(workdir).get("reported", True) is True


def has_options(folder: Path, config: Any) -> bool:
    """Returns whether the run there has this config; if not, a training continues or refuses it."""
    try:
        old = current_names(read_json(folder / "config.json"))
        new = json.loads(json.dumps(_options(config)))
        return all(old.get(name, value) == value for name, value in new.items())
    except FileNotFoundError:
        return True
    except (OSError, ValueError, AttributeError):
        return False


def _summary(states: dict[str, str], workdir: Path, what: str) -> Iterator[str]:
    """Formats a line per trial: name, end state, result."""
    yield f"{what} in {workdir}:"
    width = max(map(len, states))
    for name, state in states.items():
        kept = judged(read_result(workdir / name)) if state != "failed" else {}
        reached = [f"{title(k)} {value(k, Best(v, None))}" for k, v in kept.items()]
        yield f"  {name:{width}}  {state:8}  {', '.join(reached)}".rstrip()


def apply(config: Any, overrides: dict[str, Any], source: str = "the sweep") -> Any:
    """Returns a copy of a nested dataclass with options set; `source` names the sweep in messages.

    Raises:
        UserError: no such option, or a value of another type than the command line would take.
    """
    changed = copy.deepcopy(config)
    known = list(_options(changed))
    for name, new in overrides.items():
        if name not in known:
            raise UserError(f"{short(name)} in {source}: {_unknown(name, known)}")
        group, last = changed, name
        while "." in last:
            first, _, last = last.partition(".")
            group = getattr(group, first)
        kind = typing.get_type_hints(type(group))[last]
        try:
            setattr(group, last, _converted(new, kind))
        except (TypeError, OverflowError):
            type_name, given = kind.__name__ if type(kind) is type else kind, short(repr(new))
            raise UserError(f"{name} in {source}: {given} is not of type {type_name}") from None
    return changed


def _options(group: Any, prefix: str = "") -> dict[str, Any]:
    """Returns every option of nested dataclasses by its full name."""
    found = {}
    for field in dataclasses.fields(group):
        content = getattr(group, field.name)
        if dataclasses.is_dataclass(content):
            found |= _options(content, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = content
    return found


def _unknown(name: str, known: Sequence[str]) -> str:
    if inside := [option for option in known if option.startswith(f"{name}.")]:
        return f"a group of options; name one of them, as {inside[0]}"
    near = [option for option in known if option.endswith(f".{name}")]
    near += difflib.get_close_matches(name, known, 1)
    return f"no such option{f'; did you mean {near[0]}?' if near else ''}"


def _converted(new: Any, kind: Any) -> Any:
    """Converts the value to `kind`, or raises TypeError."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and isinstance(new, list | tuple):
        return tuple(_converted(item, arguments[0]) for item in new)
    if origin is typing.Literal and new in arguments:
        return new
    if origin in (typing.Union, types.UnionType):
        for one in arguments:
            with contextlib.suppress(TypeError):
                return _converted(new, one)
    if kind in (int, float):
        # Numbers of numpy too, but as Python's: a config is written as JSON.
        wanted = numbers.Integral if kind is int else numbers.Real
        if isinstance(new, wanted) and not isinstance(new, bool):
            return kind(new)
    elif isinstance(kind, type) and isinstance(new, kind):
        return new
    raise TypeError
