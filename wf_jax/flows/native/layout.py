"""Where everything of a clip stands in its arena, and the phases in which it is decoded."""

import dataclasses

import numpy as np

from wf_jax.flows.native.program import FIELDS, Kind
from wf_jax.flows.native.tiles import GROUPS, Kernel
from wf_jax.flows.toom_cook import OUTPUTS
from wf_jax.flows.native.weights import FlowPlaces


@dataclasses.dataclass(frozen=True)
class Shape:
    """The shape of a clip in a model: what phases depend on.

    Attributes:
        rows: [K, h], for each flow in the order of decoding the rows of the picture in its order.
        dilations: (height, width) of each layer.
        width: W, columns.
        threads: that decode it.
    """

    rows: tuple[tuple[int, ...], ...]
    dilations: tuple[tuple[int, int], ...]
    width: int
    threads: int


class Layout:
    """Offsets in the arena, float32, and the phases, int64 [., len(FIELDS)]."""

    def __init__(self, kernel: Kernel, shape: Shape, places: list[FlowPlaces]):
        """Lays out the arena and lists the phases."""
        self.kernel, self.shape, self.size = kernel, shape, 0
        widest = max(width for _, width in shape.dilations)
        self.height = len(shape.rows[0])
        # Groups may begin at the last column, and behind it those that fill up a tile.
        behind = OUTPUTS * widest + kernel.lanes
        self.columns = -(-(shape.width + behind) // 16) * 16
        self.before = widest * kernel.channels
        row = self.before + (self.columns + widest) * kernel.channels
        self.x = self._take(self.height * self.columns)
        self.mask = self._take(self.height * self.columns)
        self.c = self._take(self.height * self.columns * kernel.conditions)
        self.end = self._take(self.columns * 2 * kernel.lanes)
        self.groups = [self._groups(width) for _, width in shape.dilations]
        begun = [self._begun(groups) for groups in self.groups]
        self.zeros = self._take(max(row, *begun)) + self.before
        self.rings, self.states = [], []
        for (height, _), size in zip(shape.dilations, begun, strict=True):
            kept = min(2 * height + 1, self.height)
            self.rings.append([self._take(row) + self.before for _ in range(kept)])
            self.states.append([self._take(size) for _ in range(min(height, self.height))])
        self._phases: list[list[int]] = []
        self._tickets = 0
        for order, flow in zip(shape.rows, places, strict=True):
            self._flow(order, flow)
        self.phases = np.array(self._phases, np.int64)

    def _take(self, size: int) -> int:
        offset = self.size
        self.size += -(-size // 16) * 16
        return offset

    def _groups(self, dilation: int) -> int:
        whole, rest = divmod(self.shape.width, OUTPUTS * dilation)
        return whole * dilation + min(dilation, rest)

    def _begun(self, groups: int) -> int:
        return (groups + GROUPS) * OUTPUTS * 2 * self.kernel.channels

    def _phase(self, kind: Kind, units: int, tasks: int, **fields: int) -> None:
        threads = self.shape.threads
        fields |= {
            "kind": kind,
            "tasks": tasks,
            "units": units,
            "tickets": self._tickets,
            "arrivals": threads * (len(self._phases) + 1),
            "width": self.shape.width,
        }
        self._tickets += tasks + threads  # every thread finds once that there is nothing left
        self._phases.append([fields.get(name, 0) for name in FIELDS])

    def _flow(self, order: tuple[int, ...], flow: FlowPlaces) -> None:
        blocks = -(-(self.shape.width) // self.kernel.lanes)
        few = min(blocks, 4 * self.shape.threads)
        self._phase(
            Kind.BEGIN, blocks, few,
            row=self.x + order[0] * self.columns, next=self.rings[0][0], weights=flow.ends,
        )
        for i in range(self.height - 1):
            for number in range(len(self.shape.dilations)):
                self._layer(i, number, order[i + 1], flow.layers[number])
            ring = self.rings[0]
            self._phase(
                Kind.FINISH, blocks, few,
                row=self.x + order[i + 1] * self.columns,
                mask=self.mask + order[i + 1] * self.columns,
                next=ring[(i + 1) % len(ring)], weights=flow.ends, end=self.end,
            )

    def _layer(self, i: int, number: int, condition: int, places: tuple[int, int]) -> None:
        height, width = self.shape.dilations[number]
        ring, groups, kernel = self.rings[number], self.groups[number], self.kernel
        last = number + 1 == len(self.rings)
        second = i // height % 2 == 0

        def row(back: int) -> int:
            return ring[(i - back) % len(ring)] if i >= back else self.zeros

        units = -(-groups // kernel.rows)
        most = GROUPS // kernel.rows
        threads = self.shape.threads
        tasks = min(threads * -(-units // (threads * most)), units)
        following = self.rings[0 if last else number + 1]
        self._phase(
            Kind.SECOND if second else Kind.FIRST, units, tasks,
            above2=row(2 * height), above1=row(height), row=row(0),
            begun=self.zeros if i < height else self.states[number][i % height],
            condition=self.c + condition * self.columns * kernel.conditions,
            next=following[i % len(following)],
            end=self.end, weights=places[second], dilation=width, groups=groups, last=last,
        )
