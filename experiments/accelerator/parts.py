"""The parts of the examination: their modules and their shares of the time."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        module: its `measure(report, options)` fills the tables.
        share: share of the time, relative to the others; unused time goes to later parts.
    """

    module: str
    share: float


# In the order in which they run: the most valuable answers first.
PARTS = {
    "device": Part("experiments.accelerator.device", 0.5),
    "parity": Part("experiments.accelerator.parity", 1.6),
    "capture": Part("experiments.accelerator.capture", 2.2),
    "synthesis": Part("experiments.accelerator.synthesis", 1.3),
    "training": Part("experiments.accelerator.training", 1.1),
    "render": Part("experiments.accelerator.render", 0.5),
    "export": Part("experiments.accelerator.release", 0.9),
    "resume": Part("experiments.accelerator.resume", 1.2),
    "learning": Part("experiments.accelerator.learning", 2.2),
}
