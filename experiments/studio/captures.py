"""Translates what a page asks for into the flags of a training, and checks them first."""

from pathlib import Path
from typing import Any

from data_pipeline.synthetic_playing import BUILT_IN, DEMO
from experiments.run.config import RunConfig, flat_config
from experiments.studio.files import MODEL, SOUND, Files
from experiments.terminal.command_lines import differences
from experiments.terminal.config_names import load_config
from wf_jax.errors import UserError, short

CONFIG = "a2_capture"
# Options that name a file; a request gives the id of one, never its path.
FILES = {
    "input": ("data.input", SOUND),
    "output": ("data.output", SOUND),
    "teacher": ("data.teacher", MODEL),
    "cabinet": ("data.cabinet", SOUND),
    "init_from": ("init_from", MODEL),
}
# All that a request may set: none of them is a path, and a new option is closed until it is here.
_GROUPS = ("train.", "checkpoints.", "loss.", "metadata.")
_SINGLE = {
    "data.correct_drift",
    "data.ignore_checks",
    "data.input_channel",
    "data.latency",
    "data.output_channel",
    "data.repair",
    "data.start_seconds",
    "data.stop_seconds",
    "data.validation_seconds",
    "model.sizes",
}


def capture_flags(request: dict[str, Any], files: Files, built_in: Path) -> list[str]:
    """Returns the --config flags of a capture; its files exist, its options can be used.

    Args:
        request: ids of files ("input", "output", "teacher", "cabinet", "init_from"), and "options",
            as {"train.minutes": 10, "metadata.name": "My amp"}.
        files: the dropped files.
        built_in: the file of the built-in DI.

    Raises:
        UserError: an id or an option cannot be used.
    """
    config = load_config(CONFIG)
    # Short sounds of the model so far, to listen to while it trains.
    given: dict[str, Any] = {"train.samples_every": 1}
    for name, (option, kind) in FILES.items():
        if request.get(name):
            given[option] = _path(name, request[name], kind, files, built_in)
    options = request.get("options", {})
    if not isinstance(options, dict):
        raise UserError('options: give an object, as {"train.minutes": 10}')
    known = flat_config(config)
    for option in options:
        if option in known and not (option in _SINGLE or option.startswith(_GROUPS)):
            raise UserError(
                f"{option}: not for a request; give files by their ids, as input, output or teacher"
            )
    return flags_of(config, given | options)


def flags_of(config: RunConfig, given: dict[str, Any]) -> list[str]:
    """Returns the flags that make a config have these options, which are checked.

    Raises:
        UserError: an option is unknown, or its value cannot be used.
    """
    usual = flat_config(config)
    for option, value in given.items():
        if option not in usual:
            raise UserError(f"{short(option)}: no such option; see the options of the config")
        *groups, last = option.split(".")
        holder: Any = config
        for group in groups:
            holder = getattr(holder, group)
        setattr(holder, last, _typed(option, value, usual[option]))
    config.check()
    return differences(flat_config(config), usual)


def _typed(option: str, value: Any, usual: Any) -> Any:
    """Returns a value of JSON in the type of its option."""
    if isinstance(usual, bool):
        fits = isinstance(value, bool)
    elif isinstance(usual, int | float):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif isinstance(usual, list):
        fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        value = tuple(value) if fits else value
    else:
        fits = isinstance(value, str) or (usual is None and isinstance(value, int | float))
    if not fits:
        raise UserError(f"{option}={short(value, 40)}: give a value like {usual!r}")
    return float(value) if isinstance(usual, float) else value


def _path(name: str, id: str, kind: str, files: Files, built_in: Path) -> str:
    if name == "input" and id == DEMO:
        return DEMO
    if name == "input" and id == BUILT_IN:
        return str(built_in)
    kept = files[id]
    if kept.kind != kind:
        raise UserError(f"{kept.name}: a {kept.kind}, where {name} is a {kind}; give another file")
    return str(kept.path)
