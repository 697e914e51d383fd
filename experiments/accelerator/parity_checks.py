"""How a figure of the device is held against the same in float64 on the host."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import numpy as np
from numpy.typing import ArrayLike

from experiments.accelerator.report import Report

Tree = TypeVar("Tree")

# Half of the last digit of a factor, against the factor: 24, 11 and 8 significant bits.
ROUNDING = {"float32": 2.0**-24, "TF32": 2.0**-12, "bfloat16": 2.0**-9}


@dataclasses.dataclass(frozen=True)
class Check:
    """A row of a table: some figures, and how far each may be off.

    Attributes:
        table: it belongs to.
        cells: that it begins with.
        errors: computes them, by column.
        tolerances: by column.
    """

    table: str
    cells: dict[str, str]
    errors: Callable[[], dict[str, float]]
    tolerances: dict[str, float]

    def report(self, report: Report, errors: Callable[[], dict[str, float]]) -> bool:
        """Adds the row; returns whether all its figures are within their tolerances.

        Args:
            report: takes the row.
            errors: gives what `self.errors` gives, perhaps from another thread.
        """
        row: dict[str, object] = {}
        for cells in report.in_time(self.table, [self.cells]):
            with report.attempt(self.table, **cells) as row:
                found = errors()
                row.update(found)
                # Not "above": what is no number is not within.
                shares = {name: found[name] / limit for name, limit in self.tolerances.items()}
                worst = max(shares, key=lambda name: np.nan_to_num(shares[name], nan=np.inf))
                row["of its tolerance"] = shares[worst]
                row["ok"] = "yes" if shares[worst] <= 1 else "NO"
        return row.get("ok") == "yes"


@contextlib.contextmanager
def on_host() -> Iterator[None]:
    """Whatever is computed inside is computed by the CPU, in float64 where the inputs are."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        yield


def cast(tree: Tree, dtype: str) -> Tree:
    """The floating-point arrays of a pytree as `dtype`, all its arrays as NumPy's."""

    def array(leaf: ArrayLike) -> np.ndarray:
        leaf = np.asarray(leaf)
        return leaf.astype(dtype) if np.issubdtype(leaf.dtype, np.floating) else leaf

    return jax.tree.map(array, tree)


def relative(value: ArrayLike, reference: ArrayLike) -> float:
    """The largest difference of two arrays, over the RMS of the second."""
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    return float(np.max(np.abs(value - reference)) / np.sqrt(np.mean(np.square(reference))))


def distance(value: np.ndarray, reference: np.ndarray, length: float | None = None) -> float:
    """The Euclidean distance of two vectors, over `length`, by default the second one's."""
    length = float(np.linalg.norm(reference)) if length is None else length
    return float(np.linalg.norm(value - reference)) / length
