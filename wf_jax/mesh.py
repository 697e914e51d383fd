"""The devices that a batch is split over."""

import jax

DATA_AXIS = "data"


def data_mesh(batch_size: int) -> jax.sharding.Mesh:
    """One axis, "data", over as many devices as divide the batch evenly."""
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    return jax.make_mesh(
        (count,), (DATA_AXIS,), (jax.sharding.AxisType.Auto,), devices=devices[:count]
    )
