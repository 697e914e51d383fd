"""Memory that compiled code works on."""

import numpy as np

LINE = 16  # float32 numbers in a cache line


def empty(size: int) -> np.ndarray:
    """Zeros, float32 [size], that begin on a cache line."""
    numbers = np.zeros(size + LINE, np.float32)
    skip = -address(numbers) % (4 * LINE) // 4
    return numbers[skip : skip + size]


def address(array: np.ndarray) -> int:
    """The address of an array's first number."""
    return array.__array_interface__["data"][0]
