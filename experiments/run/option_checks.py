"""Checks of configs that all tasks have in common, made before anything slow is loaded.

Nothing here needs JAX: a wrong value is said within a second.
"""

from collections.abc import Callable
from typing import Any

from wf_jax.options import OptionError, check_options
from wf_jax.training.schedule import Schedule

Recipe = Callable[[Any], tuple[float, Schedule]]


def check_training(config: Any, recipe: Recipe) -> tuple[float, Schedule]:
    """Holds every option against its range, and those of the training against each other.

    Args:
        config: of a run.
        recipe: gives the learning rate and the schedule of `config.train`.

    Returns:
        Learning rate and schedule.

    Raises:
        OptionError: a value cannot be used; one line with option, value and remedy.
    """
    check_options(config)
    batch, parts = config.train.batch_size, config.train.accumulate
    if batch % parts:
        fitting = ", ".join(str(n) for n in range(1, batch + 1) if batch % n == 0)
        raise OptionError(
            f"--config.train.accumulate={parts}: a batch of {batch} has no {parts} equal parts; "
            f"choose one of {fitting}"
        )
    try:
        return recipe(config.train)
    except ValueError as error:
        raise OptionError(f"--config.train: {error}") from None
