"""Translates a run's config into settings of the training loop, for the present devices."""

import dataclasses

import jax

from experiments.run.config import RunConfig
from wf_jax.errors import UserError
from wf_jax.mesh import data_mesh
from wf_jax.platforms import choices
from wf_jax.plurals import counted
from wf_jax.training.settings import CheckpointSettings, Settings


def read_settings(config: RunConfig) -> Settings:
    """Makes settings from `config.train` and `config.checkpoints`, for the present devices.

    Args:
        config: config of a run, checked.

    Raises:
        UserError: a value cannot be used; the message names its flag.
    """
    rate, schedule = config.recipe()
    _check_layout(config)
    known = {field.name for field in dataclasses.fields(Settings)}
    given = {k: v for k, v in dataclasses.asdict(config.train).items() if k in known}
    given["substeps"] = config.train.substeps or choices().substeps
    given["learning_rate"], given["schedule"] = rate, schedule
    checkpoints = CheckpointSettings(**dataclasses.asdict(config.checkpoints))
    return Settings(**given, checkpoints=checkpoints)


def _check_layout(config: RunConfig) -> None:
    """Raises UserError where a batch does not split over the devices."""
    training, batch = config.train, config.batch_size
    parts, shards = training.accumulate, training.shards
    devices = jax.device_count()
    if devices % shards:
        fitting = [n for n in range(1, devices + 1) if devices % n == 0]
        raise UserError(
            f"--config.train.shards={shards} does not divide {devices} devices; choose one of "
            f"{', '.join(map(str, fitting))}"
        )
    try:
        data_mesh(batch // parts, shards)
    except UserError as error:
        raise UserError(f"--config.train.batch_size={batch}: {error}") from None


def length(settings: Settings) -> str:
    """Describes the planned length of the run."""
    if settings.minutes:
        return "1 minute" if settings.minutes == 1 else f"{settings.minutes:g} minutes"
    if settings.steps:
        return counted(settings.steps, "step")
    return counted(settings.epochs, "epoch")
