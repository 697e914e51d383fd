"""The gradient before an activation, and transposed convolutions, for one kind of them each."""

import dataclasses
from collections.abc import Callable

from llvmlite import ir

from wf_jax.amps.activations import Activation
from wf_jax.amps.native.layers import CONV_ARGUMENTS, over_time
from wf_jax.amps.native.tiles import Row, Tile
from wf_jax.native.emit import Emitter, Value, int64
from wf_jax.native.target import Target

SLOPE_ARGUMENTS = (
    *("residual*", "stride", "total*", "total_stride", "a*", "a_stride", "weights*", "count"),
)


@dataclasses.dataclass(frozen=True)
class SlopeKind:
    """Takes gradients through an activation: dz = (W^T G + D) act'(z), in the place of a.

    Attributes:
        channels: of G; 0 where nothing but D comes in.
        bottleneck: of z.
        activation: of z.
    """

    channels: int
    bottleneck: int
    activation: Activation


@dataclasses.dataclass(frozen=True)
class BackwardConvKind:
    """A transposed convolution from `outputs` to `inputs` channels; it may add to what is there."""

    outputs: int
    inputs: int
    taps: int
    adds: bool


def slope_function(module: ir.Module, target: Target, kind: SlopeKind, name: str) -> ir.Function:
    """Writes the function of a SlopeKind; its arguments are SLOPE_ARGUMENTS."""
    emit, slope = Emitter(module, target, name, SLOPE_ARGUMENTS), SLOPES[kind.activation.name]

    def write(time: Value) -> None:
        tile, a = Tile(emit, time), emit.arguments

        def outputs(start: Value, rows: int) -> None:
            channels = [emit.builder.add(start, int64(row)) for row in range(rows)]
            sums = [tile.load(tile.row(a["total"], a["total_stride"], each)) for each in channels]
            if kind.channels:
                residual = emit.at(a["residual"], time)
                sums = tile.convolve(sums, kind.channels, a["stride"], 1, lambda _: residual)
            for channel, values in zip(channels, sums, strict=True):
                place = tile.row(a["a"], a["a_stride"], channel)
                pairs = zip(values, tile.load(place), strict=True)
                tile.store([slope(emit, kind.activation, *pair) for pair in pairs], place)

        tile.over_outputs(kind.bottleneck, outputs)

    return over_time(emit, write)


def backward_conv_function(
    module: ir.Module, target: Target, kind: BackwardConvKind, name: str
) -> ir.Function:
    """Writes the function of a BackwardConvKind; its arguments are CONV_ARGUMENTS.

    The dilation is negative: each tap looks ahead where the convolution looked back.
    """
    emit = Emitter(module, target, name, CONV_ARGUMENTS)

    def write(time: Value) -> None:
        tile, a = Tile(emit, time), emit.arguments
        zeros: Row = [emit.constant(0.0)] * tile.vectors

        def outputs(start: Value, rows: int) -> None:
            places = [
                tile.row(a["out"], a["out_stride"], emit.builder.add(start, int64(row)))
                for row in range(rows)
            ]
            sums = [tile.load(place) if kind.adds else zeros for place in places]
            taps = kind.taps
            sums = tile.convolve(sums, kind.outputs, a["stride"], taps, lambda k: tile.tap(k, taps))
            for place, values in zip(places, sums, strict=True):
                tile.store(values, place)

        tile.over_outputs(kind.inputs, outputs)

    return over_time(emit, write)


def _leaky(emit: Emitter, activation: Activation, gradient: Value, a: Value) -> Value:
    slope = activation.negative_slope if activation.name == "LeakyReLU" else 0.0
    positive = emit.builder.fcmp_ordered(">", a, emit.constant(0.0))
    beneath = emit.builder.fmul(gradient, emit.constant(slope))
    return emit.builder.select(positive, gradient, beneath)


def _tanh(emit: Emitter, activation: Activation, gradient: Value, a: Value) -> Value:
    del activation
    builder = emit.builder
    slope = emit.fma(builder.fneg(a), a, emit.constant(1.0))
    return builder.fmul(gradient, slope)


# By name of the activation, a gradient times its slope, which follows from its value a.
SLOPES: dict[str, Callable[[Emitter, Activation, Value, Value], Value]] = {
    "ReLU": _leaky,
    "LeakyReLU": _leaky,
    "Tanh": _tanh,
}
