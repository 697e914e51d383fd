"""The plan of the arena: the places that each step reads and writes.

The arena is one array of float32: weights, one line of header, then a buffer for every signal. A
signal that convolutions look back on is a ring of a power of two of samples, whose beginning is
mirrored behind its end: wherever a block begins, it is contiguous. Others are scratch.
"""

import dataclasses

from wf_jax.amps.native.steps import (
    Buffer,
    ConvKind,
    ConvStep,
    LayerKind,
    LayerStep,
    Plan,
    weights_in,
)
from wf_jax.amps.wavenet_config import LayerArrayConfig, WaveNetConfig
from wf_jax.native.memory import LINE
from wf_jax.native.target import Target

BLOCK = 128  # samples that go through all layers at once; longer blocks are divided


def plan_of(shape: WaveNetConfig, target: Target) -> Plan:
    """Lays out the arena for a shape."""
    return _Planner(shape, target).plan()


class _Planner:
    """Lays buffers out one behind the other, and notes the steps between them."""

    def __init__(self, shape: WaveNetConfig, target: Target):
        self._shape, self._target = shape, target
        self._end = LINE  # behind the header, which begins this part
        self._steps: list[LayerStep | ConvStep] = []

    def plan(self) -> Plan:
        shape = self._shape
        first = shape.arrays[0]
        # A 1x1 convolution that does not narrow is taken into the kernel behind it.
        fold = shape.in_channels <= first.channels
        lookback = (first.kernel_sizes[0] - 1) * first.dilations[0] if fold else 0
        audio = self._buffer(shape.in_channels, lookback, scratch=False)
        residual = audio
        head = self._buffer(first.head_inputs, first.head_lookback)
        for index, array in enumerate(shape.arrays):
            last = index + 1 == len(shape.arrays)
            residual = self._layers(array, residual, head, fold and not index, not index, last)
            kind = ConvKind(
                array.head_inputs,
                array.head_channels,
                array.head_kernel_size,
                shape.post_head.activation if last and shape.post_head else None,
            )
            following = self._after_head(index)
            self._steps.append(ConvStep(kind, array.head_dilation, head, following))
            head = following
        output = self._post_head(head)
        scratch = self._take(self._scratch())
        return self._placed(audio, output, scratch)

    def _layers(
        self,
        array: LayerArrayConfig,
        residual: Buffer,
        head: Buffer,
        fold: bool,
        begins: bool,
        last: bool,
    ) -> Buffer:
        """The layers of one array; returns where the residual output is."""
        count = len(array.dilations)
        lookbacks = [
            (taps - 1) * dilation
            for taps, dilation in zip(array.kernel_sizes, array.dilations, strict=True)
        ]
        if not fold:
            source = self._buffer(array.channels, lookbacks[0])
            kind = ConvKind(array.input_size, array.channels, 1, None)
            self._steps.append(ConvStep(kind, 1, residual, source))
            residual = source
        for i in range(count):
            ends = last and i + 1 == count
            out = None
            if not ends:
                out = self._buffer(array.channels, 0 if i + 1 == count else lookbacks[i + 1])
            kind = LayerKind(
                inputs=residual.rows,
                channels=array.channels,
                bottleneck=array.bottleneck,
                taps=array.kernel_sizes[i],
                gate=array.gate(i),
                activation=array.activations[i],
                secondary=array.secondary(i),
                mixin=0 if fold and i == 0 else array.condition_size,
                first=fold and i == 0,
                layer1x1=bool(array.layer1x1_groups),
                head1x1=array.head1x1_channels,
                begins=begins and i == 0,
                ends=ends,
            )
            self._steps.append(LayerStep(kind, array.dilations[i], residual, out, head))
            residual = out
        return residual

    def _after_head(self, index: int) -> Buffer:
        """The place that the head output of an array goes to."""
        shape = self._shape
        rows = shape.arrays[index].head_channels
        if index + 1 < len(shape.arrays):
            return self._buffer(rows, shape.arrays[index + 1].head_lookback)
        lookback = shape.post_head.kernel_sizes[0] - 1 if shape.post_head else 0
        return self._buffer(rows, lookback)

    def _post_head(self, signal: Buffer) -> Buffer:
        post = self._shape.post_head
        if post is None:
            return signal
        sizes = [*post.kernel_sizes[1:], 1]
        for i, (rows, taps) in enumerate(zip(post.widths, post.kernel_sizes, strict=True)):
            last = i + 1 == len(post.widths)
            out = self._buffer(rows, sizes[i] - 1)
            kind = ConvKind(signal.rows, rows, taps, None if last else post.activation)
            self._steps.append(ConvStep(kind, 1, signal, out))
            signal = out
        return signal

    def _buffer(self, rows: int, lookback: int, scratch: bool = True) -> Buffer:
        span = 0
        if lookback or not scratch:
            # What a block computes beyond its end must not reach what is still looked back on.
            least = max(2 * BLOCK, lookback + BLOCK + self._target.unit)
            span = 1 << (least - 1).bit_length()
        stride = span + (2 * BLOCK if span else BLOCK)
        stride += LINE * (1 + stride // LINE % 2)  # an odd number of lines: rows share no set
        return Buffer(self._take(rows * stride), rows, span, stride)

    def _take(self, size: int) -> int:
        offset = self._end
        self._end += -(-size // LINE) * LINE
        return offset

    def _scratch(self) -> int:
        """Numbers of one tile of the widest convolution, its gate included."""
        widest = 2 * max(array.bottleneck for array in self._shape.arrays)
        return widest * self._target.unit

    def _placed(self, audio: Buffer, output: Buffer, scratch: int) -> Plan:
        """With the weights in front of it all."""
        steps, end = [], 0
        for step in self._steps:
            steps.append(dataclasses.replace(step, weights=end))
            end += weights_in(step.kind)
        header = -(-end // LINE) * LINE

        def moved(buffer: Buffer | None) -> Buffer | None:
            return buffer and dataclasses.replace(buffer, offset=buffer.offset + header)

        for i, step in enumerate(steps):
            changes = {"source": moved(step.source), "out": moved(step.out)}
            if isinstance(step, LayerStep):
                changes["head"] = moved(step.head)
            steps[i] = dataclasses.replace(step, **changes)
        return Plan(
            self._shape.in_channels,
            self._shape.out_channels,
            moved(audio),
            tuple(steps),
            moved(output),
            scratch + header,
            header,
            self._end + header,
        )
