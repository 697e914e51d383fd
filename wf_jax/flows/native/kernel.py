"""The sizes that the code of a WaveFlow is compiled for."""

import dataclasses

from wf_jax.flows.toom_cook import column_transform
from wf_jax.native.memory import LINE
from wf_jax.native.target import Target

OUTPUTS = 6  # columns of a group
TRANSFORM = column_transform(3, transformed=True, outputs=OUTPUTS)
POINTS = len(TRANSFORM.kernel)
GROUPS = 24  # of the largest tile: what it works on is then 150 KB at C = 64


@dataclasses.dataclass(frozen=True)
class Kernel:
    """The sizes of a net, and the processor.

    Attributes:
        target: the processor, with vectors that divide the channels.
        channels: C.
        conditions: D.
    """

    target: Target
    channels: int
    conditions: int

    @property
    def lanes(self) -> int:
        """Float32 numbers in a vector."""
        return self.target.lanes

    @property
    def parts(self) -> int:
        """Vectors that the channels fill."""
        return self.channels // self.lanes

    @property
    def vectors(self) -> int:
        """Vectors of channels that are computed together where that is possible."""
        return 2 if self.parts % 2 == 0 else 1

    @property
    def rows(self) -> int:
        """Rows of a product whose sums, of two vectors, stay in registers; divides GROUPS."""
        return 6 * ((self.target.registers - 4) // 12)

    @property
    def product(self) -> int:
        """Numbers from the inputs of one product to the next; not a multiple of 1024."""
        return GROUPS * self.channels + LINE

    @property
    def scratch(self) -> dict[str, int]:
        """The float32 numbers of each thing that a thread needs in a tile."""
        pair = 2 * self.lanes
        return {
            "v": 3 * POINTS * self.product,
            "s": POINTS * GROUPS * pair,
            "d": POINTS * GROUPS * pair,
            "y": OUTPUTS * GROUPS * pair,
            "g": OUTPUTS * GROUPS * self.channels,
            "columns": 2 * OUTPUTS * GROUPS,  # as int64
        }


def kernel_of(target: Target, channels: int, conditions: int) -> Kernel:
    """Returns the kernel for channels that are a multiple of 4."""
    lanes = next(n for n in (target.lanes, 8, 4) if n <= target.lanes and channels % n == 0)
    return Kernel(dataclasses.replace(target, lanes=lanes), channels, conditions)
