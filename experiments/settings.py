"""What the configs of all tasks have in common, read and checked."""

import dataclasses
from typing import Any

from wf_jax.training.settings import CheckpointSettings, Settings

_ABOVE_0 = (
    "train.epochs",
    "train.learning_rate",
    "train.batch_size",
    "train.accumulate",
    "train.substeps",
    "train.shards",
    "checkpoints.keep",
)
_NOT_BELOW_0 = (
    "train.steps",
    "train.minutes",
    "train.weight_decay",
    "train.clip_norm",
    "train.seed",
    "checkpoints.minutes",
    "checkpoints.steps",
    "checkpoints.keep_best",
)


def read_settings(config: Any) -> Settings:
    """How to train, from `config.train` and `config.checkpoints`.

    Raises:
        ValueError: a value is out of range; the message names its flag.
    """
    for name in _ABOVE_0:
        value = _get(config, name)
        if value is not None and not value > 0:
            raise ValueError(f"--config.{name}={value} is not > 0")
    for name in _NOT_BELOW_0:
        value = _get(config, name)
        if value is not None and not value >= 0:
            raise ValueError(f"--config.{name}={value} is not 0 or more")
    known = {field.name for field in dataclasses.fields(Settings)}
    given = {k: v for k, v in dataclasses.asdict(config.train).items() if k in known}
    checkpoints = CheckpointSettings(**dataclasses.asdict(config.checkpoints))
    return Settings(**given, checkpoints=checkpoints)


def length(settings: Settings) -> str:
    """How long the run is to be, in words."""
    if settings.minutes:
        return f"{settings.minutes:g} minutes"
    return f"{settings.steps:,} steps" if settings.steps else f"{settings.epochs} epochs"


def _get(config: Any, name: str) -> Any:
    group, _, key = name.partition(".")
    return getattr(getattr(config, group), key, None)
