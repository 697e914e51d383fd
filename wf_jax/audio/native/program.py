"""The function of one row: two signals to their distances and the gradients of those.

    distances(arena, p, t, out)

`out` holds, each as long as p, the gradient of half the error at every resolution, then that of
the distance of logarithms at all together, and then the sums of `spectra.py` at every resolution,
a vector each.
"""

import dataclasses

import numpy as np
from llvmlite import ir

from wf_jax.audio.native.fourier import transform
from wf_jax.audio.native.spectra import SUMS, compare
from wf_jax.audio.stft import hann
from wf_jax.native.calls import write_calls
from wf_jax.native.emit import FLOAT, INT32, INT64, POINTER, Emitter, Value, int64, table
from wf_jax.native.target import Target
from wf_jax.native.threads import Operand

DISTANCES = "wf_jax_distances"
Resolution = tuple[int, int, int]  # fft size, hop, length of the window


@dataclasses.dataclass(frozen=True)
class Plan:
    """The work on one row.

    Attributes:
        samples: of a signal, without its reflected edges.
        resolutions: of the spectra.
        floor: least power.
        lanes: of a vector.
    """

    samples: int
    resolutions: tuple[Resolution, ...]
    floor: float
    lanes: int

    def __post_init__(self) -> None:
        """Checks the resolutions.

        Raises:
            ValueError: one is none.
        """
        for size, hop, window in self.resolutions:
            if size < 2 or size & (size - 1) or hop < 1 or window % 2 or not 2 <= window <= size:
                raise ValueError(
                    f"resolution {size, hop, window}: give an FFT size that is a power of two, a "
                    "hop, and an even length of the window of at most that size"
                )

    @property
    def edge(self) -> int:
        """Samples that a signal is longer at each end: half the longest window."""
        return max(window for _, _, window in self.resolutions) // 2

    @property
    def length(self) -> int:
        """Samples of a signal with its edges."""
        return self.samples + 2 * self.edge

    @property
    def arena(self) -> int:
        """Numbers that one row works on: the longest transform."""
        return max(size for size, _, _ in self.resolutions) * 2 * self.lanes

    @property
    def sums(self) -> int:
        """The number in the result at which the sums begin."""
        return (len(self.resolutions) + 1) * self.length

    @property
    def written(self) -> int:
        """Numbers that come out."""
        return self.sums + len(self.resolutions) * SUMS * self.lanes

    def frames(self, hop: int) -> int:
        """Returns the number of frames of a signal."""
        return 1 + self.samples // hop


def module_of(plan: Plan, target: Target) -> ir.Module:
    """All functions of a plan; XLA's is DISTANCES."""
    module = ir.Module("wf_jax")
    module.triple = target.triple
    parts = [_Frames(module, target, plan, number) for number in range(len(plan.resolutions))]
    functions = [part.written() for part in parts]
    emit = Emitter(module, target, "distances", ("arena*", "p*", "t*", "out*"))
    a = emit.arguments
    _clear(emit, a["out"], plan.written)
    logarithms = emit.at(a["out"], len(parts) * plan.length)
    for number, function in enumerate(functions):
        gradient = emit.at(a["out"], number * plan.length)
        sums = emit.at(a["out"], plan.sums + number * SUMS * plan.lanes)
        emit.call(function, a["arena"], a["p"], a["t"], gradient, logarithms, sums)
    emit.builder.ret_void()
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "internal"
    signal = Operand(plan.length)
    operands = [signal, signal], Operand(plan.written)
    write_calls(module, target, plan.arena, {DISTANCES: (emit.function, *operands)})
    return module


class _Frames:
    """Writes the function of one resolution (work, p, t, gradient, logarithms, sums)."""

    def __init__(self, module: ir.Module, target: Target, plan: Plan, number: int):
        self.plan, (self.size, self.hop, self.window) = plan, plan.resolutions[number]
        self.count, lanes = plan.frames(self.hop), target.lanes
        bins = self.size // 2 + 1
        weight = 1 / (len(plan.resolutions) * self.count * bins)
        self.forward = transform(module, target, self.size, f"forward_{number}", inverse=False)
        self.compare = compare(module, target, self.size, plan.floor, weight, f"compare_{number}")
        self.inverse = transform(module, target, self.size, f"inverse_{number}", inverse=True)
        names = ("work*", "p*", "t*", "gradient*", "logarithms*", "sums*")
        self.emit = Emitter(module, target, f"frames_{number}", names)
        # The last vector is filled up by silent frames in the last one's place.
        frames = np.arange(-(-self.count // lanes) * lanes)
        starts = plan.edge - self.window // 2 + np.minimum(frames, self.count - 1) * self.hop
        masks = (frames < self.count).astype(np.float32)
        self.groups = len(frames) // lanes
        self.starts = table(module, f"starts_{number}", starts)
        self.masks = table(module, f"masks_{number}", masks)
        self.hann = table(module, f"hann_{number}", hann(self.window).astype(np.float32))

    def written(self) -> ir.Function:
        """The function."""
        emit, a = self.emit, self.emit.arguments

        def group(first: Value, _: list[Value]) -> list[Value]:
            starts = [self._start(first, lane) for lane in range(emit.lanes)]
            mask = emit.at(self.masks, first)
            self._cut(starts, mask)
            emit.call(self.forward, a["work"])
            emit.call(self.compare, a["work"], a["sums"], mask)
            emit.call(self.inverse, a["work"])
            self._add(starts)
            return []

        emit.loop(int64(self.groups * emit.lanes), emit.lanes, [], group)
        emit.builder.ret_void()
        return emit.function

    def _start(self, first: Value, lane: int) -> Value:
        builder = self.emit.builder
        place = builder.gep(self.starts, [builder.add(first, int64(lane))], source_etype=INT64)
        return builder.load(place, typ=INT64, align=8)

    def _cut(self, starts: list[Value], mask: Value) -> None:
        """Cuts frames of p + i t, and windows them."""
        emit, a = self.emit, self.emit.arguments
        mask = emit.load(mask)

        def sample(n: Value, _: list[Value]) -> list[Value]:
            factor = emit.builder.fmul(mask, emit.broadcast(emit.at(self.hann, n)))
            place = self._place(n)
            for i, name in enumerate(("p", "t")):
                values = self._gathered(a[name], starts, n)
                emit.store(emit.builder.fmul(values, factor), place, i * emit.lanes)
            return []

        emit.loop(int64(self.window), 1, [], sample)
        rest = (self.size - self.window) * 2 * emit.lanes
        if rest:
            _clear(emit, emit.at(a["work"], self.window * 2 * emit.lanes), rest)

    def _gathered(self, signal: Value, starts: list[Value], n: Value) -> Value:
        emit, builder = self.emit, self.emit.builder
        values = ir.Constant(emit.vector, ir.Undefined)
        for lane, start in enumerate(starts):
            number = builder.load(emit.at(signal, builder.add(start, n)), align=4, typ=FLOAT)
            values = builder.insert_element(values, number, ir.Constant(INT32, lane))
        return values

    def _add(self, starts: list[Value]) -> None:
        """Adds the windowed gradients of frames up."""
        emit, a = self.emit, self.emit.arguments

        def sample(n: Value, _: list[Value]) -> list[Value]:
            factor, place = emit.broadcast(emit.at(self.hann, n)), self._place(n)
            for i, name in enumerate(("gradient", "logarithms")):
                values = emit.builder.fmul(emit.load(place, i * emit.lanes), factor)
                self._scattered(a[name], starts, n, values)
            return []

        emit.loop(int64(self.window), 1, [], sample)

    def _scattered(self, signal: Value, starts: list[Value], n: Value, values: Value) -> None:
        emit, builder = self.emit, self.emit.builder
        for lane, start in enumerate(starts):
            place = emit.at(signal, builder.add(start, n))
            value = builder.extract_element(values, ir.Constant(INT32, lane))
            total = builder.fadd(builder.load(place, align=4, typ=FLOAT), value)
            builder.store(total, place, align=4)

    def _place(self, n: Value) -> Value:
        number = self.emit.builder.mul(n, int64(2 * self.emit.lanes))
        return self.emit.at(self.emit.arguments["work"], number)


def _clear(emit: Emitter, place: Value, count: int) -> None:
    function = emit.module.declare_intrinsic("llvm.memset", [POINTER, INT64])
    zero, no = ir.Constant(ir.IntType(8), 0), ir.Constant(ir.IntType(1), 0)
    emit.builder.call(function, [place, zero, int64(4 * count), no])
