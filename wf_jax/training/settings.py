"""The settings of a training run, and of one session of it."""

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from wf_jax.errors import UserError
from wf_jax.options import COUNT, MOST, Choice, Number, option
from wf_jax.training.schedule import CONSTANT, Schedule

if TYPE_CHECKING:
    from wf_jax.modules import Params

OPTIMIZERS = ("adam", "soap")
_MINUTES = Number(0, 10_000_000)
_STEPS = Number(0, MOST)


@dataclasses.dataclass(frozen=True)
class CheckpointSettings:
    """The times at which the state is saved, and the number of checkpoints that stay.

    Attributes:
        minutes: save when this long has passed since the last time; 0 for not by the clock.
        steps: save at every multiple of this many steps; 0 for not by steps.
        keep: how many of the newest stay.
        keep_best: how many more stay of those that were saved right after an evaluation: the ones
            with the lowest metric. (The best parameters are part of every checkpoint.)
    """

    minutes: float = option(1.0, _MINUTES)
    steps: int = option(0, _STEPS)
    keep: int = option(2, COUNT)
    keep_best: int = option(1, _STEPS)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The length of a run, its optimizer, and the layout of its work.

    Attributes:
        epochs: length of the run; counts where `steps` and `minutes` are 0.
        steps: length of the run in steps; counts where `minutes` is 0.
        minutes: length of the run by the clock, from the end of the first step on, evaluations
            included.
        optimizer: "adam" or "soap"; see wf_jax.training.optimizers.
        learning_rate: at its peak.
        schedule: of the learning rate over the budget.
        weight_decay: L2, added to the gradient.
        clip_norm: greatest norm of the gradient; 0 for no limit.
        average_decay: per step, of the moving average of the parameters that is evaluated and
            kept; 0 for no average.
        accumulate: parts of a batch that are computed one after the other, to save memory. The
            loss is their mean. Where it is a ratio over the batch (norms of the multi-resolution
            STFT, samples of clips of unequal length) that differs a little from the loss of the
            whole batch.
        substeps: steps per dispatch, for models whose step is shorter than the host's share of it.
        shards: devices that the state of a large model is split over; 1 for a copy on each.
        checkpoints: when the state is saved.
    """

    epochs: int = option(100, Number(0, 100_000, above=True))
    steps: int = option(0, _STEPS)
    minutes: float = option(0.0, _MINUTES)
    optimizer: str = option("adam", Choice(OPTIMIZERS))
    learning_rate: float = option(0.004, Number(0, 10, above=True))
    schedule: Schedule = CONSTANT
    weight_decay: float = option(3.17e-7, Number(0, 1))
    clip_norm: float = option(0.0, Number(0, 1e9))
    average_decay: float = option(0.0, Number(0, 1, below=True, usual=0.999))
    accumulate: int = option(1, COUNT)
    substeps: int = option(1, Number(0, 10_000))
    shards: int = option(1, COUNT)
    checkpoints: CheckpointSettings = CheckpointSettings()

    def rate(self, progress: float, step: int = 0) -> float:
        """Returns the learning rate after a share of the budget, from 0 to 1, and `step` steps."""
        return self.learning_rate * self.schedule(progress, step)


@dataclasses.dataclass(frozen=True)
class Session:
    """The requests of one start of a run, beside its settings.

    Attributes:
        initial: gives the parameters of another run to begin from, where name and shape fit.
        initial_name: where those are.
        profile: first and last step of a trace, counted from the session's first; () for none.
        debug_nans: stop at the operation that makes the first NaN (slow).
    """

    initial: "Callable[[], Params] | None" = None
    initial_name: str = ""
    profile: tuple[int, ...] = ()
    debug_nans: bool = False


def parse_range(text: str | None) -> tuple[int, ...]:
    """Parses the text "10:15" to (10, 15), and "" to ().

    Raises:
        UserError: it is neither.
    """
    if not text:
        return ()
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise UserError(f"--profile_steps={text} is not FIRST:LAST, e.g. 10:15")
    return int(match[1]), int(match[2])
