"""Compiled steps that several runs of one process share, so that only the first compiles."""

from collections.abc import Callable, Hashable
from typing import Any

import jax

from wf_jax.platforms import choices
from wf_jax.training.settings import Settings
from wf_jax.training.step import Program
from wf_jax.training.task import Task

_MOST = 4  # of different shapes, as of recordings whose latencies differ
_programs: dict[Hashable, tuple[Program, float]] = {}


def shared(key: Hashable, make: Callable[[], tuple[Program, float]]) -> tuple[Program, float]:
    """Returns the program of this key, made by `make` where there is none; keeps the newest."""
    found = _programs.pop(key, None) or make()
    _programs[key] = found
    while len(_programs) > _MOST:
        del _programs[next(iter(_programs))]
    return found


def program_key(task: Task, definition: Hashable, settings: Settings, arguments: Any) -> Hashable:
    """Returns what decides about the program of a step.

    Args:
        task: its class, its axes, and its own part; see `Task.program`.
        definition: of the module.
        settings: of the run, the learning rate and the budget being arguments of the step.
        arguments: arrays, whose shapes, types and places the program is made for.
    """
    leaves, structure = jax.tree.flatten(arguments)
    arrays = tuple((leaf.shape, leaf.dtype, leaf.sharding) for leaf in leaves)
    optimizer = (settings.optimizer, settings.weight_decay, settings.clip_norm)
    shape = (settings.average_decay, settings.accumulate, settings.substeps)
    axes = (tuple(sorted(task.batch_axes.items())), len(task.models))
    own = (type(task), task.program, axes)
    return own, definition, optimizer, shape, choices(), structure, arrays
