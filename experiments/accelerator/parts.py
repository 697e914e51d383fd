"""The parts of the examination: their modules, and their shares of the time."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        module: its `measure(report, options)` fills the tables.
        share: of the time, against those of the others. What a part leaves goes to those after it.
    """

    module: str
    share: float


# In the order in which they run: the most valuable answers first.
PARTS = {
    "device": Part("experiments.accelerator.device", 0.3),
    "parity": Part("experiments.accelerator.parity", 1.5),
    "capture": Part("experiments.accelerator.capture", 1.6),
    "synthesis": Part("experiments.accelerator.synthesis", 1.6),
    "training": Part("experiments.accelerator.training", 1.3),
    "render": Part("experiments.accelerator.render", 0.6),
    "export": Part("experiments.accelerator.release", 1.2),
    "resume": Part("experiments.accelerator.resume", 1.6),
    "train": Part("experiments.accelerator.voice", 1.4),
}
