"""A model on the native engine, and streams of audio through it."""

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Self

import numpy as np

from wf_jax.amps.model import AmpModel
from wf_jax.amps.native.objects import Program, program_of
from wf_jax.amps.native.shapes import played, shape_of, why_not
from wf_jax.amps.native.weights import fill
from wf_jax.native.memory import address, empty


class NativeModel:
    """A model whose code is compiled and whose arena is as endless silence leaves it."""

    def __init__(self, model: AmpModel):
        """Compiles the model's shape, or finds it compiled; of a container its largest model's.

        Raises:
            ValueError: the engine does not play such a model, see `shapes.why_not`.
        """
        if reason := why_not(model):
            raise ValueError(f"the native engine does not play this model: {reason}")
        self.model = played(model)
        self.program = program_of(shape_of(self.model))
        self.silence = empty(self.program.plan.size)
        fill(self.silence, self.program.plan, self.program.target, self.model)
        _prewarm(self.silence, self.program)

    def stream(self, arena: np.ndarray | None = None) -> "Stream":
        """A new stream, after endless silence.

        Args:
            arena: float32 [plan.size] that it works in, on a cache line; its own if None.
        """
        return Stream(self, empty(len(self.silence)) if arena is None else arena)


class Stream:
    """One stream of audio through a model; streams of a model may play in threads of their own."""

    def __init__(self, model: NativeModel, arena: np.ndarray):
        """Takes the arena."""
        self.model, self.arena = model, arena
        self._silence, self._start = model.silence, model.program.plan.header
        self._play, self._address = model.program.play, address(arena)
        arena[:] = model.silence

    def reset(self) -> Self:
        """Goes back to endless silence."""
        self.arena[self._start :] = self._silence[self._start :]
        return self

    def play(self, x: int, y: int, count: int, stride: int) -> None:
        """The next `count` samples; the interpreter's lock is free meanwhile.

        Args:
            x: address of float32 [inputs, .].
            y: address of float32 [outputs, .], elsewhere than x.
            count: samples, any number.
            stride: numbers between the rows of x, and of y.
        """
        self._play(self._address, x, y, count, stride)

    def prepared(self, x: int, y: int, count: int, stride: int) -> Callable[[], None]:
        """`play` with these arguments: what is called over and over need not convert them."""
        places = [ctypes.c_void_p(place) for place in (self._address, x, y)]
        numbers = [ctypes.c_int64(number) for number in (count, stride)]
        return partial(self._play, *places, *numbers)


def _prewarm(arena: np.ndarray, program: Program) -> None:
    """Leaves the arena as endless silence would.

    Then every signal is constant. A ring is filled with its newest sample once all rings before it
    are constant: what that sample depends on is what it would be.
    """
    plan = program.plan
    x, y = np.zeros(plan.inputs, np.float32), np.zeros(plan.outputs, np.float32)
    position = arena[plan.header : plan.header + 2].view(np.int64)
    for ring in plan.rings:
        program.play(address(arena), address(x), address(y), 1, 1)
        newest = int(position[0] - 1) % ring.span
        rows = arena[ring.offset : ring.offset + ring.rows * ring.stride]
        rows = rows.reshape(ring.rows, ring.stride)
        rows[:] = rows[:, newest : newest + 1]
