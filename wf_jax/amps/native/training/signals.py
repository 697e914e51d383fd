"""The signals of one window, and the calls that fill them, as they are laid out.

All signals share one axis of time, 0 to `length`, a multiple of a tile; the window's samples end
there. A signal is computed from the tile on in which its first sample lies that the output depends
on. What is before that tile stays 0, so that kernels need not look where a signal begins: before
its first sample a gradient is exactly 0, and the activations it meets there are those of silence.
"""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np

from wf_jax.amps.wavenet_config import WaveNetConfig
from wf_jax.native.memory import LINE
from wf_jax.native.target import Target

ENDLESS = -1  # the mask of a source that is no ring


@dataclasses.dataclass(frozen=True)
class Signal:
    """Rows of samples in the arena; as an argument its place at a call's first sample.

    Attributes:
        offset: of its first number in the arena.
        base: where sample 0 of the first row would stand.
        rows: channels.
        stride: numbers from one row to the next.
    """

    offset: int
    base: int
    rows: int
    stride: int


@dataclasses.dataclass(frozen=True)
class Weights:
    """A place among the weights."""

    offset: int


@dataclasses.dataclass(frozen=True)
class Gradient:
    """A place among the gradients of the weights."""

    offset: int


Argument = Signal | Weights | Gradient | int


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of the function of a kind, in each block that reaches beyond `begin`.

    The function has one argument more, the last: the samples of the block that it computes.
    """

    kind: Hashable
    begin: int
    arguments: tuple[Argument, ...]


class Draft:
    """A plan while it is made: signals, calls, and the order of weights and gradients."""

    def __init__(self, config: WaveNetConfig, window: int, target: Target):
        """Begins with nothing but the axis of time."""
        self.config, self.target, self.window = config, target, window
        self.lookback = config.receptive_field - 1
        self.length = -(-(window + self.lookback) // target.unit) * target.unit
        self.size = 0  # of the arena so far
        self.calls: list[Call] = []
        self.weights: list[np.ndarray] = []
        self.gradients: list[np.ndarray] = []
        self.read = self.written = self.flops = 0  # weights, gradients, of a forward pass
        # Gradients are looked at this far behind the window's end, where they are 0.
        lookbacks = [array.head_lookback for array in config.arrays]
        for array in config.arrays:
            pairs = zip(array.kernel_sizes, array.dilations, strict=True)
            lookbacks += [(taps - 1) * dilation for taps, dilation in pairs]
        self._behind = max(lookbacks)

    def call(self, kind: Hashable, begin: int, *arguments: Argument) -> None:
        """Adds a call."""
        self.calls.append(Call(kind, begin, arguments))

    def tile(self, time: int) -> int:
        """Returns where the tile begins that holds a sample."""
        return time // self.target.unit * self.target.unit

    def signal(self, rows: int, begin: int, behind: int = 0) -> Signal:
        """A signal from the tile of `begin` to the end, and so many samples that stay 0 behind it.

        There is a tile before it, too, since convolutions begin to look back from a tile's start.
        """
        begin = self.tile(begin) - self.target.unit
        stride = _odd_lines(self.length + behind - begin)
        offset = self._take(rows * stride)
        return Signal(offset, offset - begin, rows, stride)

    def gradient_signal(self, rows: int) -> Signal:
        """A signal over all of time, and what is looked at behind it."""
        return self.signal(rows, 0, self._behind)

    def tiles(self, rows: int) -> list[range]:
        """The outputs of each tile of a product."""
        return [range(*tile) for tile in self.target.tiles(rows)]

    def take_weights(self, parts: Sequence[np.ndarray]) -> Weights:
        """A place for weights in this order."""
        place = Weights(self.read)
        self.weights += parts
        self.read += sum(part.size for part in parts)
        return place

    def take_gradients(self, order: np.ndarray) -> Gradient:
        """A place for gradients of weights in this order."""
        place = Gradient(self.written)
        self.gradients.append(order)
        self.written += order.size
        return place

    def _take(self, size: int) -> int:
        offset = self.size
        self.size += -(-size // LINE) * LINE
        return offset


def _odd_lines(size: int) -> int:
    """An odd number of cache lines: rows then share no set."""
    lines = -(-size // LINE)
    return LINE * (lines + 1 - lines % 2)
