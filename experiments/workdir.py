"""The folder of a run: its config, checkpoints, metrics and results."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from data_pipeline.atomic import atomic_path

# What may change between two sessions of one run.
CHANGEABLE = (
    "train.epochs",
    "train.steps",
    "train.minutes",
    "train.samples_every",
    # A run that diverged goes on from its last good checkpoint.
    "train.learning_rate",
    "train.clip_norm",
    "metadata.",
    "data.loudness_probe",
)


class WorkdirError(ValueError):
    """The folder belongs to a run with another config."""


def open_workdir(workdir: Path, config: Any) -> None:
    """Makes the folder and writes config.json, or checks that it is the same run's.

    Raises:
        WorkdirError: the folder can not be made, or holds a run with another config.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkdirError(f"{workdir}: cannot be made: {error.strerror}") from None
    path, new = workdir / "config.json", _flat(dataclasses.asdict(config))
    if path.exists():
        try:
            old = json.loads(path.read_text())
        except (ValueError, OSError):
            raise WorkdirError(f"{path}: damaged; give another --workdir") from None
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name) and not name.startswith(CHANGEABLE):
                raise WorkdirError(
                    f"{workdir}: this run was started with --config.{name}={old.get(name)}, not "
                    f"{new.get(name)}; give another --workdir, or the old value to continue"
                )
    write_json(path, new)


def model_folder(folder: Path) -> Path:
    """Where the vocoder is: a training run keeps it in `model`, a converted one is the folder.

    Raises:
        WorkdirError: the folder of a run that has none.
    """
    inside = folder / "model"
    if inside.is_dir():
        return inside
    try:
        task = json.loads((folder / "config.json").read_text()).get("task")
    except (OSError, ValueError, AttributeError):  # says itself what is wrong when it is loaded
        return folder
    if task == "vocoder":
        raise WorkdirError(f"{folder}: this run has no model yet; wait for its first evaluation")
    if task:
        raise WorkdirError(f"{folder}: a run of task {task}, not a vocoder; name another folder")
    return folder


def write_json(path: Path, content: Any) -> None:
    """Writes JSON whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
