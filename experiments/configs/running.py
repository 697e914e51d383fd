"""The part of a config that is the same for every task."""

import dataclasses

from wf_jax.options import MOST, Number, like
from wf_jax.training.settings import CheckpointSettings

OWN = -1.0  # of an option whose value follows from another
SEED = Number(0, MOST)


@dataclasses.dataclass
class Checkpoints:
    """When a run is saved: see wf_jax.training.settings.CheckpointSettings."""

    minutes: float = like(CheckpointSettings, "minutes")
    steps: int = like(CheckpointSettings, "steps")
    keep: int = like(CheckpointSettings, "keep")
    keep_best: int = like(CheckpointSettings, "keep_best")
