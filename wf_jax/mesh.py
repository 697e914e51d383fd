"""The devices that a batch, and a large model's state, are split over."""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from wf_jax.errors import UserError

DATA_AXIS = "data"
SHARD_AXIS = "shard"
AxisNames = str | tuple[str, ...] | None  # that a loss is summed over
SMALLEST_SHARDED = 2**16  # elements: below, an array costs more in messages than it saves


def data_mesh(batch_size: int, shards: int = 1) -> Mesh:
    """Makes a mesh of every process's devices, as many of each as divide the batch evenly.

    The devices stand in the order of the processes, so that a process holds consecutive rows.

    Args:
        batch_size: rows of a batch that are computed at once, over all processes.
        shards: 1 for the axis "data" alone; above, a second axis "shard" of that size, which
            lies within a process where it can. A batch is split over both, state over the second.

    Raises:
        UserError: the batch or the devices cannot be split like that.
    """
    processes = jax.process_count()
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    each = len(devices) // processes
    if jax.local_device_count() * processes != len(devices):
        raise UserError(
            f"this process has {jax.local_device_count()} of {len(devices)} devices in {processes} "
            "processes; give each the same number"
        )
    counts = [n for n in range(1, each + 1) if batch_size % (n * processes) == 0]
    counts = [n for n in counts if n * processes % shards == 0]
    if not counts:
        wanted = f"{shards} shards" if batch_size % processes == 0 else f"{processes} processes"
        raise UserError(
            f"a batch of {batch_size} cannot be split over {len(devices)} devices in {wanted}; "
            f"choose a multiple of {len(devices)}"
        )
    chosen = np.array(devices).reshape(processes, each)[:, : counts[-1]].ravel()
    if shards == 1:
        return Mesh(chosen, (DATA_AXIS,), axis_types=(AxisType.Auto,))
    return Mesh(
        chosen.reshape(-1, shards), (DATA_AXIS, SHARD_AXIS), axis_types=(AxisType.Auto,) * 2
    )


def local_mesh(batch_size: int) -> Mesh:
    """Makes a mesh, axis "data", of as many of this process's devices as divide a batch."""
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    return Mesh(np.array(devices[:count]), (DATA_AXIS,), axis_types=(AxisType.Auto,))


def state_sharding(array: Any, mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array of the state: "shard" splits large ones, others are copied.

    Args:
        array: anything with a shape.
        mesh: of `data_mesh`.
    """
    shards = mesh.shape.get(SHARD_AXIS, 1)
    fitting = [axis for axis, size in enumerate(array.shape) if size % shards == 0]
    if shards == 1 or not fitting or array.size < SMALLEST_SHARDED:
        return NamedSharding(mesh, PartitionSpec())
    largest = max(fitting, key=lambda axis: array.shape[axis])
    return NamedSharding(mesh, PartitionSpec(*[None] * largest, SHARD_AXIS))


def gather_processes(values: np.ndarray) -> np.ndarray:
    """Gathers the values [...] of every process, [processes, ...], in every process."""
    if jax.process_count() == 1:
        return np.asarray(values)[None]
    return np.asarray(multihost_utils.process_allgather(np.asarray(values)))
