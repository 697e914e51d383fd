"""The values that processes exchange with every dispatch: clocks, signals, learning rates.

All processes take the clock and the rates of process 0, and SIGTERM or SIGINT if any has received
it. The exchange is part of the dispatched program, so that all processes get the same values at the
same step. A single process exchanges nothing: on a CPU, devices that meet at the beginning of a
program each hold up a thread that others' work waits for.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

SIGNALS = ("", "SIGINT", "SIGTERM")  # by gravity


class Control:
    """Packs the values of this process into one array, and reads those agreed on."""

    def __init__(self, mesh: Mesh, substeps: int):
        """Prepares the exchange for programs of `substeps` steps on `mesh`."""
        self._substeps = substeps
        self._shape = (mesh.size, 3 + substeps)
        self._rows = mesh.size // jax.process_count()
        spec = PartitionSpec(mesh.axis_names) if jax.process_count() > 1 else PartitionSpec()
        self._sharding = NamedSharding(mesh, spec)

    def pack(self, rates: Sequence[float], minutes: float, signal: str | None) -> jax.Array:
        """Packs one row per device: minutes, signal, count of steps, rates."""
        row = np.zeros(self._shape[1], np.float32)
        row[0], row[1], row[2] = minutes, SIGNALS.index(signal or ""), len(rates)
        row[3 : 3 + len(rates)] = rates
        rows = np.tile(row, (self._rows, 1))
        return jax.make_array_from_process_local_data(self._sharding, rows, self._shape)

    @staticmethod
    def unpack(control: jax.Array) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """Unpacks, inside the program, rates [substeps], count, and the input of `decided`."""
        agreed = {"minutes": control[0, 0], "signal": jnp.max(control[:, 1])}
        return control[0, 3:], control[0, 2].astype(jnp.int32), agreed

    @staticmethod
    def decided(agreed: dict[str, Any], minutes: float, signal: str | None) -> tuple[float, str]:
        """Returns the minutes and signal that all processes act on; a single process uses its own.

        Args:
            agreed: the values that the dispatch before returned.
            minutes: the clock of this process.
            signal: the signal that this process has received.
        """
        if jax.process_count() == 1:
            return minutes, signal or ""
        return float(agreed["minutes"]), SIGNALS[int(agreed["signal"])]
