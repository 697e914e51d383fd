"""Lays out the memory that a clip is decoded in, and lists the phases of its decoding."""

import dataclasses

import numpy as np

from wf_jax.flows.native.kernel import GROUPS, OUTPUTS, Kernel
from wf_jax.flows.native.program import FIELDS, Kind
from wf_jax.flows.native.weights import Places
from wf_jax.native.memory import LINE

SHARES = 4  # tasks per thread of phases that are soon over


@dataclasses.dataclass(frozen=True)
class Plan:
    """A model's part of what a layout depends on.

    Attributes:
        kernel: the sizes.
        orders: [K][h], for each flow in the order of decoding the rows of the picture in its order.
        dilations: (height, width) of each layer.
        places: of each flow's weights, in the order of decoding.
    """

    kernel: Kernel
    orders: tuple[tuple[int, ...], ...]
    dilations: tuple[tuple[int, int], ...]
    places: tuple[Places, ...]

    @property
    def height(self) -> int:
        """Rows of the picture."""
        return len(self.orders[0])


class Layout:
    """The arena of a clip of `width` columns for so many threads, and its phases.

    Rows of hidden units have zeros on both sides, as far as the widest layer looks; those of the
    picture, and of its condition and mask, have room on the right.

    Attributes:
        size: float32 numbers.
        columns: of a row of the picture.
        x: offset of the picture [h, columns], latent and then audio.
        mask: offset of the mask [h, columns].
        condition: offset of the condition [h, columns, D].
        phases: int64 [., FIELDS].
    """

    def __init__(self, plan: Plan, width: int, threads: int):
        """Lays out the arena and lists the phases."""
        self.plan, self.width, self.threads, self.size = plan, width, threads, 0
        kernel, height = plan.kernel, plan.height
        widest = max(dilation for _, dilation in plan.dilations)
        # A group that fills up a tile begins behind the last column, and looks one further.
        self.columns = width + (OUTPUTS + 1) * widest + kernel.lanes
        self.x, self.mask = (self._take(height * self.columns) for _ in range(2))
        self.condition = self._take(height * self.columns * kernel.conditions)
        self._end = self._take(self.columns * 2 * kernel.lanes)
        before, row = widest * kernel.channels, (widest + self.columns) * kernel.channels
        begun = [self._begun(dilation) for _, dilation in plan.dilations]
        self._zeros = self._take(max(row, *begun)) + before
        # Of each layer the rows that it looks back on, and what first rows of pairs leave.
        self._rings = [
            [self._take(row) + before for _ in range(min(2 * back + 1, height))]
            for back, _ in plan.dilations
        ]
        self._states = [
            [self._take(size) for _ in range(min(back, height))]
            for (back, _), size in zip(plan.dilations, begun, strict=True)
        ]
        self._phases: list[list[int]] = []
        self._tickets = 0
        for order, places in zip(plan.orders, plan.places, strict=True):
            self._flow(order, places)
        self.phases = np.array(self._phases, np.int64)

    def _take(self, size: int) -> int:
        offset = self.size
        self.size += -(-size // LINE) * LINE
        return offset

    def _groups(self, dilation: int) -> int:
        whole, rest = divmod(self.width, OUTPUTS * dilation)
        return whole * dilation + min(dilation, rest)

    def _begun(self, dilation: int) -> int:
        return (self._groups(dilation) + GROUPS) * OUTPUTS * 2 * self.plan.kernel.channels

    def _phase(self, kind: Kind, units: int, tasks: int, **fields: int) -> None:
        fields |= {"kind": kind, "units": units, "tasks": tasks, "width": self.width}
        fields |= {"tickets": self._tickets, "arrivals": self.threads * (len(self._phases) + 1)}
        self._tickets += tasks + self.threads  # every thread finds once that nothing is left
        self._phases.append([fields.get(name, 0) for name in FIELDS])

    def _flow(self, order: tuple[int, ...], places: Places) -> None:
        for i in range(len(order)):
            if i:
                for layer in range(len(self.plan.dilations)):
                    self._layer(layer, i - 1, order[i], places)
            units = -(-self.width // self.plan.kernel.lanes)
            self._phase(
                Kind.FINISH if i else Kind.BEGIN,
                units,
                min(units, SHARES * self.threads),
                row=self.x + order[i] * self.columns,
                mask=self.mask + order[i] * self.columns,
                next=self._rings[0][i % len(self._rings[0])],
                end=self._end,
                weights=places.ends,
            )

    def _layer(self, layer: int, i: int, condition: int, places: Places) -> None:
        """Adds the phase of a layer at row `i`, under the condition of row `condition`."""
        back, dilation = self.plan.dilations[layer]
        ring, kernel, groups = self._rings[layer], self.plan.kernel, self._groups(dilation)
        last = layer + 1 == len(self._rings)
        following = self._rings[0 if last else layer + 1]
        second, begins = i // back % 2 == 0, i < back

        def row(steps: int) -> int:
            return ring[(i - steps) % len(ring)] if i >= steps else self._zeros

        units = -(-groups // kernel.rows)
        shares = -(-units * kernel.rows // (self.threads * GROUPS))
        self._phase(
            Kind.SECOND if second else Kind.FIRST,
            units,
            min(units, self.threads * shares),
            above2=row(2 * back),
            above1=row(back),
            row=row(0),
            next=following[i % len(following)],
            # The first pair's first row would stand above the picture.
            begun=self._zeros if begins else self._states[layer][i % back],
            condition=self.condition + condition * self.columns * kernel.conditions,
            end=self._end,
            weights=(places.seconds if second else places.firsts)[layer],
            dilation=dilation,
            groups=groups,
            last=last,
        )
