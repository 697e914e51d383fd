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
        old = json.loads(path.read_text())
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name) and not name.startswith(CHANGEABLE):
                raise WorkdirError(
                    f"{workdir}: this run was started with --config.{name}={old.get(name)}, not "
                    f"{new.get(name)}; give another --workdir, or the old value to continue"
                )
    write_json(path, new)


def model_folder(folder: Path) -> Path:
    """Where the model is: a training run keeps it in `model`, a converted one is the folder."""
    inside = folder / "model"
    return inside if inside.is_dir() else folder


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
