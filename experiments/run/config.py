"""The config shared by all runs: training and saving options, and their checks.

Nothing here needs JAX: a wrong value is reported within a second.
"""

import dataclasses
from typing import Any, ClassVar

from wf_jax.errors import UserError
from wf_jax.options import COUNT, MOST, Number, Text, check_options, editable, like, option
from wf_jax.training.schedule import Schedule
from wf_jax.training.settings import CheckpointSettings, Settings

OWN = -1.0  # of an option whose value follows from another

Checkpoints = editable(CheckpointSettings)


@dataclasses.dataclass
class Train(
    editable(Settings, without=("schedule", "checkpoints"), substeps=0),
    editable(Schedule, without=("exponential", "stairs")),
):
    """The training options of a run.

    Attributes:
        substeps: steps per dispatch, for a model whose step is shorter than the host's share of
            it; 0 for what suits the device.
        batch_size: windows per step, over all devices.
        seed: seed of the first weights and of every random choice.
    """

    batch_size: int = option(16, COUNT)
    seed: int = option(0, Number(0, MOST))


@dataclasses.dataclass
class RunConfig:
    """The config of a run; a task's own config adds its data and model.

    Attributes:
        task: name of the task.
        source: the config file that it was made by, as --config has it.
        train: the training options.
        checkpoints: when it is saved.
    """

    job: ClassVar[str]  # "MODULE:CLASS" of what carries the run out, loaded after the checks

    task: str = option("", Text())
    source: str = option("", Text())
    train: Train = dataclasses.field(default_factory=Train)
    checkpoints: Checkpoints = dataclasses.field(default_factory=Checkpoints)

    @property
    def several(self) -> str:
        """The "MODULE:FUNCTION" that carries out the several runs of this config; "" for one."""
        return ""

    @property
    def batch_size(self) -> int:
        """Windows per step, over all devices."""
        return self.train.batch_size

    @property
    def devices(self) -> int:
        """CPU devices that a run can use."""
        return self.batch_size

    def recipe(self) -> tuple[float, Schedule]:
        """Returns the peak learning rate and its schedule.

        Raises:
            ValueError: the options of the schedule exclude each other.
        """
        train = self.train
        return train.learning_rate, Schedule(train.warmup, train.hold, train.end, train.fade)

    def check(self) -> None:
        """Checks every option against its range, and the training options against each other.

        A task's config refuses here all that can be known before JAX and the data are loaded.

        Raises:
            UserError: a value cannot be used; one line with option, value and remedy.
        """
        check_options(self)
        batch, parts = self.batch_size, self.train.accumulate
        if batch % parts:
            fitting = ", ".join(str(n) for n in range(1, batch + 1) if batch % n == 0)
            raise UserError(
                f"--config.train.accumulate={parts}: a batch of {batch} has no {parts} equal "
                f"parts; choose one of {fitting}"
            )
        try:
            self.recipe()
        except ValueError as error:
            raise UserError(f"--config.train: {error}") from None


def own(settings: type, name: str) -> dataclasses.Field:
    """Makes an option like another dataclass's, whose default follows from another option."""
    usual = next(field.default for field in dataclasses.fields(settings) if field.name == name)
    return like(settings, name, type(usual)(OWN), also=OWN)


def flat_config(config: Any) -> dict[str, Any]:
    """Flattens a config to {"train.steps": 100, ...}."""
    return _flat(dataclasses.asdict(config))


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
