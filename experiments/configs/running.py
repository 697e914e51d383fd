"""The part of a config that is the same for every task."""

import dataclasses

from wf_jax.training.settings import CheckpointSettings

OWN = -1.0  # of an option whose value follows from another


@dataclasses.dataclass
class Checkpoints:
    """When a run is saved: see wf_jax.training.settings.CheckpointSettings."""

    minutes: float = CheckpointSettings.minutes
    steps: int = CheckpointSettings.steps
    keep: int = CheckpointSettings.keep
    keep_best: int = CheckpointSettings.keep_best
