"""Checks batches from callers, makes them float32, and splits them over devices."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from wf_jax.errors import UserError

AXIS = "rows"


class Rows:
    """Distributes the rows of a batch over devices."""

    def __init__(self, devices: Sequence[jax.Device] | None = None):
        """Computes on these devices, each its share of the rows; on JAX's default one if None."""
        devices = list(devices or jax.devices()[:1])
        self._count = len(devices)
        # One device is named as such: what a program gives back is placed like that, and a program
        # that is given back its own results must not be compiled for them again.
        self._split = self._whole = SingleDeviceSharding(devices[0])
        if self._count > 1:
            mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))
            self._split = NamedSharding(mesh, PartitionSpec(AXIS))
            self._whole = NamedSharding(mesh, PartitionSpec())

    def split(self, *arrays: Any) -> tuple[Any, ...]:
        """Splits arrays [B, ...]; a batch that the devices do not divide goes whole to each."""
        if self._count == 1:  # a program takes them there sooner
            return arrays
        return tuple(map(self.placed, arrays))

    def placed(self, array: Any) -> jax.Array:
        """Places one array, split over the devices."""
        whole = len(array) % self._count
        return jax.device_put(array, self._whole if whole else self._split)

    def everywhere(self, tree: Any) -> Any:
        """Places arrays that all rows share on every device."""
        return jax.device_put(tree, self._whole)


def floats(x: Any, name: str, form: str, sizes: Mapping[int, int], rank: int) -> np.ndarray:
    """Checks an array of audio or mels and returns it as float32.

    Args:
        x: what the caller gave.
        name: of it, for messages.
        form: the shape that is due, for messages: "[B, T]".
        sizes: that its axes must have, by number.
        rank: how many axes.

    Raises:
        UserError: it has another shape, is empty, or is not of floats.
    """
    x = np.asarray(x)
    wrong = x.ndim != rank or any(x.shape[axis] != size for axis, size in sizes.items())
    if wrong or not x.size:
        raise UserError(f"{name} of shape {list(x.shape)}: give {form}, no size of which is 0")
    if not jax.dtypes.issubdtype(x.dtype, np.floating):  # bfloat16 too
        raise UserError(
            f"{name} of type {x.dtype}: give floats (audio at full scale 1: int16 / 32768)"
        )
    return np.asarray(x, np.float32)


def counts(x: Any, name: str, rows: int, most: int) -> np.ndarray:
    """Checks how much of each row is real, int32 [B]; all of it where x is None.

    Raises:
        UserError: not as many whole numbers as rows, or one is below 1 or above `most`.
    """
    if x is None:
        return np.full(rows, most, np.int32)
    x = np.asarray(x)
    if x.shape != (rows,) or x.dtype.kind not in "iu":
        raise UserError(f"{name} of {x.dtype} {list(x.shape)}: give {rows} whole numbers")
    if x.min() < 1 or x.max() > most:
        raise UserError(f"{name} from {x.min()} to {x.max()}: give 1 to {most}")
    return x.astype(np.int32)
