"""The learning rate over a run: by the share of its budget that is used up, and by its steps."""

import dataclasses
import math

from wf_jax.options import MOST, Number, option


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Rises in a straight line, holds, and falls to a share of its peak at the end.

    Shares of a budget are the same for runs in steps, epochs and minutes (`Budget.progress` in
    budget.py gives the share). A run that goes on with another budget takes the rate that belongs
    to its share of the new one. Beside that, the rate of a long run may fade with its steps, which
    needs no knowledge of its length.

    Attributes:
        warmup: share of the budget over which the rate rises from nothing.
        hold: share at which it begins to fall, `warmup` or later.
        end: what is left of the peak at the end, above 0.
        exponential: whether it falls exponentially, else linearly.
        fade: the step from which on the rate also falls, by sqrt(fade / step); 0 for never.
        stairs: how many steps of equal length the fall has over a whole budget; 0 for a smooth one.
    """

    warmup: float = option(0.0, Number(0, 1))
    hold: float = option(0.0, Number(0, 1))
    end: float = option(1.0, Number(0, 1, above=True))
    fade: int = option(0, Number(0, MOST))
    exponential: bool = False
    stairs: int = option(0, Number(0, MOST))

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: one is out of range.
        """
        if not 0 <= self.warmup <= self.hold <= 1:
            raise ValueError(
                f"warmup {self.warmup:g} and hold {self.hold:g} are not shares of the budget in "
                "that order; choose 0 <= warmup <= hold <= 1"
            )
        if not 0 < self.end <= 1:
            raise ValueError(f"end {self.end:g} is not above 0 and up to 1; choose 0.02")

    def __call__(self, progress: float, step: int = 0) -> float:
        """The factor on the peak rate, from 0 to 1.

        Args:
            progress: share of the budget that is used up, from 0 to 1.
            step: steps that are made.
        """
        faded = math.sqrt(self.fade / step) if 0 < self.fade < step else 1.0
        return faded * self._of_budget(progress)

    def _of_budget(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        if self.stairs:  # a rounding below a stair is on it
            progress = math.floor(progress * self.stairs + 1e-9) / self.stairs
        if progress <= self.hold:
            return 1.0
        fallen = (progress - self.hold) / (1 - self.hold)
        return self.end**fallen if self.exponential else 1 - fallen * (1 - self.end)


CONSTANT = Schedule()
