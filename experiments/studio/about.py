"""studio.json of a run: what it is called, and how its training is started."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.run.json_files import read_table, write_json
from experiments.terminal.config_names import config_names
from wf_jax.errors import UserError, short
from wf_jax.training.metrics import finite

ABOUT = "studio.json"
_REMEDY = "delete this run, or continue it in the terminal"


def is_process(value: Any) -> bool:
    """Returns whether a value is the number of one process."""
    return type(value) is int and value > 1  # 0 and -1 stand for many processes


def _is_time(value: Any) -> bool:
    return finite(value) is not None


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "name": _is(str),
    "config": _is(str),
    "flags": _are_texts,
    "files": _is(dict),
    "created": _is_time,
    "since": _is_time,
    "waiting": _is(bool),
    "stopped": _is(bool),
    "process": is_process,
    "fault": _is(str),
}


def read_about(folder: Path) -> dict[str, Any]:
    """Reads studio.json of a run; {} for one that a terminal made, which has none.

    Raises:
        UserError: it is damaged, or a training waits in it that may not be started.
    """
    path = folder / ABOUT
    about = read_table(path)
    wrong = list(_wrong(about))
    if wrong or (not about and path.exists()):
        raise UserError(f"{path}: damaged ({', '.join(wrong) or 'no table'}); {_REMEDY}")
    if about.get("waiting"):
        check_start(about["config"], about["flags"])
    return about


def _wrong(about: dict[str, Any]) -> Iterator[str]:
    """Yields the keys that are missing or of another kind."""
    yield from (key for key, fits in _CHECKS.items() if key in about and not fits(about[key]))
    if about.get("waiting"):
        yield from (key for key in ("config", "flags", "since") if key not in about)


def check_start(config: str, flags: Sequence[str]) -> None:
    """Checks that a training is of a config that comes with us; another may be any program.

    Raises:
        UserError: it is not.
    """
    known = config.partition(":")[0] in config_names()
    if not known or not all(flag.startswith("--config.") for flag in flags):
        said = short(" ".join([f"--config={config}", *flags]), 60)
        raise UserError(f"this training was started with {said}; continue it in the terminal")


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Writes studio.json whole or not at all."""
    write_json(folder / ABOUT, about)
