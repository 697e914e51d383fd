"""What the configs of all tasks have in common, read and checked."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from experiments.configs.running import OWN
from wf_jax.mesh import data_mesh
from wf_jax.platforms import choices
from wf_jax.training.optimizers import OPTIMIZERS
from wf_jax.training.schedule import Schedule
from wf_jax.training.settings import CheckpointSettings, Settings

_ABOVE_0 = (
    "train.epochs",
    "train.batch_size",
    "train.accumulate",
    "train.shards",
    "checkpoints.keep",
)
_NOT_BELOW_0 = (
    "train.steps",
    "train.minutes",
    "train.substeps",
    "train.weight_decay",
    "train.clip_norm",
    "train.seed",
    "checkpoints.minutes",
    "checkpoints.steps",
    "checkpoints.keep_best",
)


def read_settings(config: Any, recipe: Callable[[Any], tuple[float, Schedule]]) -> Settings:
    """How to train, from `config.train` and `config.checkpoints`.

    Args:
        config: of a run.
        recipe: gives the learning rate and schedule where `config.train` has OWN.

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
    _check_layout(config.train)
    known = {field.name for field in dataclasses.fields(Settings)}
    given = {k: v for k, v in dataclasses.asdict(config.train).items() if k in known}
    given["substeps"] = config.train.substeps or choices().substeps
    given["learning_rate"], given["schedule"] = _rates(config.train, recipe)
    checkpoints = CheckpointSettings(**dataclasses.asdict(config.checkpoints))
    return Settings(**given, checkpoints=checkpoints)


def _rates(train: Any, recipe: Callable[[Any], tuple[float, Schedule]]) -> tuple[float, Schedule]:
    """The peak rate and the schedule: the recipe's, but for what the config says itself."""
    if train.optimizer not in OPTIMIZERS:
        raise ValueError(
            f"--config.train.optimizer={train.optimizer} is none of {', '.join(OPTIMIZERS)}"
        )
    if train.learning_rate != OWN and not train.learning_rate > 0:
        raise ValueError(f"--config.train.learning_rate={train.learning_rate} is not > 0")
    try:
        return recipe(train)
    except ValueError as error:
        raise ValueError(f"--config.train: {error}") from None


def _check_layout(training: Any) -> None:
    """Raises ValueError where a batch does not split over the parts and the devices."""
    batch, parts, shards = training.batch_size, training.accumulate, training.shards
    if batch % parts:
        fitting = [n for n in range(1, batch + 1) if batch % n == 0]
        raise ValueError(
            f"--config.train.accumulate={parts}: a batch of {batch} has no {parts} equal parts; "
            f"choose one of {', '.join(map(str, fitting))}"
        )
    devices = jax.device_count()
    if devices % shards:
        fitting = [n for n in range(1, devices + 1) if devices % n == 0]
        raise ValueError(
            f"--config.train.shards={shards} does not divide {devices} devices; choose one of "
            f"{', '.join(map(str, fitting))}"
        )
    try:
        data_mesh(batch // parts, shards)
    except ValueError as error:
        raise ValueError(f"--config.train.batch_size={batch}: {error}") from None


def length(settings: Settings) -> str:
    """How long the run is to be, in words."""
    if settings.minutes:
        return f"{settings.minutes:g} minutes"
    return f"{settings.steps:,} steps" if settings.steps else f"{settings.epochs} epochs"


def _get(config: Any, name: str) -> Any:
    group, _, key = name.partition(".")
    return getattr(getattr(config, group), key, None)
