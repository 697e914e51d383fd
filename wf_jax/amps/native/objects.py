"""Compiles a shape's block function for this processor, or finds it kept."""

import ctypes
import dataclasses
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

from llvmlite import ir

from wf_jax.amps.native.plan import plan_of
from wf_jax.amps.native.program import NAME, module_of
from wf_jax.amps.native.steps import Plan
from wf_jax.amps.wavenet_config import WaveNetConfig
from wf_jax.native.machine_code import compiled, host, machine_of, optimized, source_of
from wf_jax.native.target import Target

_lock = threading.Lock()  # two players of one shape compile it once

# play(arena, x, y, count, stride), see program.py; runs without the interpreter's lock.
_KIND = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 2)


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled shape.

    Attributes:
        plan: its arena.
        target: what it was compiled for.
        play: (arena, x, y, count, stride), the first three addresses.
    """

    plan: Plan
    target: Target
    play: Callable[[int, int, int, int, int], None]


def program_of(shape: WaveNetConfig) -> Program:
    """The program of a shape: of this process, of an earlier one, or compiled now."""
    with _lock:
        return _program(shape)


@cache
def _program(shape: WaveNetConfig) -> Program:
    target = host()
    # The engine owns the code, and lives as long as the process: so does this cache.
    engine = compiled(shape, target, _source(), lambda: _module(shape, target))
    play = _KIND(engine.get_function_address(NAME))
    play.engine = engine
    return Program(plan_of(shape, target), target, play)


def assembly_of(shape: WaveNetConfig, target: Target) -> str:
    """The code of a shape, for people to read."""
    machine = machine_of(target)
    return machine.emit_assembly(optimized(str(_module(shape, target)), machine))


def _source() -> str:
    return source_of(Path(__file__).parent)


def _module(shape: WaveNetConfig, target: Target) -> ir.Module:
    return module_of(plan_of(shape, target), target)
