"""The activations of the .nam format in float64 numpy, with their options: z [C, T] -> [C, T]."""

from collections.abc import Callable

import numpy as np


def activate(activation: str | dict, z: np.ndarray) -> np.ndarray:
    options = {"type": activation} if isinstance(activation, str) else activation
    return ACTIVATIONS[options["type"]](z, options)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def leaky_relu(z: np.ndarray, options: dict) -> np.ndarray:
    slopes = np.array(options.get("negative_slopes", [options.get("negative_slope", 0.01)]))
    return np.where(z > 0, z, slopes[: len(z), None] * z)


def leaky_hardtanh(z: np.ndarray, options: dict) -> np.ndarray:
    low, high = options.get("min_val", -1.0), options.get("max_val", 1.0)
    below = (z - low) * options.get("min_slope", 0.01) + low
    above = (z - high) * options.get("max_slope", 0.01) + high
    return np.where(z < low, below, np.where(z > high, above, z))


def fasttanh(z: np.ndarray, options: dict) -> np.ndarray:
    a, z2 = np.abs(z), z * z
    top = 2.45550750702956 * (1 + a) + (0.893229853513558 + 0.821226666969744 * a) * z2
    bottom = 2.44506634652299 + (2.44506634652299 + z2) * np.abs(z + 0.814642734961073 * z * a)
    return z * top / bottom


ACTIVATIONS: dict[str, Callable[[np.ndarray, dict], np.ndarray]] = {
    "Tanh": lambda z, _: np.tanh(z),
    "Hardtanh": lambda z, _: np.clip(z, -1, 1),  # whatever limits the file gives
    "Fasttanh": fasttanh,
    "ReLU": lambda z, _: np.maximum(z, 0),
    "LeakyReLU": leaky_relu,
    "PReLU": leaky_relu,
    "Sigmoid": lambda z, _: sigmoid(z),
    "SiLU": lambda z, _: z * sigmoid(z),
    "Hardswish": lambda z, _: z * np.clip(z + 3, 0, 6) / 6,
    "Softsign": lambda z, _: z / (1 + np.abs(z)),
    "LeakyHardtanh": leaky_hardtanh,
    "LeakyHardTanh": leaky_hardtanh,
}
