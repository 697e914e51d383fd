"""Compiles the passes of a shape for this processor, or finds them kept; XLA knows them by name."""

import dataclasses
import hashlib
import threading
from pathlib import Path

import numpy as np

from wf_jax.amps.native.shapes import shape_of
from wf_jax.amps.native.training.plan import WindowPlan, window_plan
from wf_jax.amps.native.training.program import BACKWARD, FORWARD, module_of
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import WaveNetConfig
from wf_jax.modules import split
from wf_jax.native.calls import PREFIX, Calls
from wf_jax.native.machine_code import compiled, host, source_of
from wf_jax.platforms import available_cores

_lock = threading.Lock()  # two tasks of one shape compile it once
_passes: dict[tuple[WaveNetConfig, int], "Passes"] = {}
_kept: list["Passes"] = []  # XLA never forgets a name, so the code behind it stays


@dataclasses.dataclass(frozen=True, eq=False)
class Passes:
    """The compiled passes of a shape.

    Attributes:
        plan: of one window.
        forward: name of the function (weights, x) -> y.
        backward: name of the function (weights, x, dy) -> dw.
        calls: keeps the code.
    """

    plan: WindowPlan
    forward: str
    backward: str
    calls: Calls


def passes_of(models: WaveNet, window: int) -> Passes:
    """The passes of a shape: of this process, of an earlier one, or compiled now.

    Args:
        models: stacked, see `valid_windows`.
        window: samples that come out.
    """
    key = shape_of(models), window
    with _lock:
        if key not in _passes:
            _passes[key] = _compiled(*key, *_numbered(models))
        return _passes[key]


def _numbered(models: WaveNet) -> tuple[WaveNet, int]:
    """One of the models with a number in the place of each parameter, from 1 on; their count."""
    definition, params = split(models)
    numbers, end = {}, 1
    for name, leaf in params.items():
        size = int(np.prod(leaf.shape[1:]))
        numbers[name] = np.arange(end, end + size).reshape(leaf.shape[1:])
        end += size
    return definition(numbers), end - 1


def _compiled(shape: WaveNetConfig, window: int, numbers: WaveNet, parameters: int) -> Passes:
    target = host()
    plan = window_plan(shape, numbers, parameters, window, target)
    here = Path(__file__).parent
    source = source_of(here) + source_of(here.parent)
    engine = compiled(("training", shape, window), target, source, lambda: module_of(plan, target))
    calls = Calls(engine, plan.size, available_cores())
    # XLA keeps programs with these names in them from one process to the next.
    digest = hashlib.sha256(repr((shape, window)).encode()).hexdigest()[:16]
    names = [f"{PREFIX}_{digest}_{function}" for function in ("forward", "backward")]
    for function, name in zip((FORWARD, BACKWARD), names, strict=True):
        calls.register(function, name)
    passes = Passes(plan, *names, calls)
    _kept.append(passes)
    return passes
