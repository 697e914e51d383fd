"""Compares numbers of the device with the same in float64 on the host."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from experiments.accelerator.report import Report

Tree = TypeVar("Tree")
Errors = dict[str, float]  # column -> error
Jit = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclasses.dataclass(frozen=True)
class Check:
    """A row of a table: some numbers and the largest error allowed for each.

    Attributes:
        table: name of the table.
        cells: first cells; the first one names the case.
        errors: computes them.
        tolerances: tolerances by column, like the errors.
    """

    table: str
    cells: dict[str, str]
    errors: Callable[[], Errors]
    tolerances: Errors

    @property
    def promise(self) -> dict[str, str | float]:
        """Returns the cells of a tolerance row, in which the case has no name."""
        name = next(iter(self.cells))
        return {**self.cells, name: "tolerance", **self.tolerances}

    def report(self, report: Report, errors: Callable[[], Errors]) -> bool:
        """Adds the row; returns whether all its figures are within their tolerances.

        Args:
            report: takes the row.
            errors: gives what `self.errors` gives, which another thread may compute.
        """
        within = False
        with report.attempt(self.table, **self.cells) as row:
            row.update(errors())
            shares = [row[name] / limit for name, limit in self.tolerances.items()]
            row["of its tolerance"] = float(np.max(shares))  # NaN where one is
            within = row["of its tolerance"] <= 1
            row["ok"] = "yes" if within else "NO"
        return within


@contextlib.contextmanager
def on_host() -> Iterator[None]:
    """Computes everything inside on the CPU, in float64 where the inputs are."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        yield


def host_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles for a CPU fast, to slow code; a library still computes large products."""
    return jax.jit(function, compiler_options=_quick())


@functools.cache
def _quick() -> dict[str, int | bool]:
    options = {"xla_backend_optimization_level": 0}
    older = {**options, "xla_cpu_use_fusion_emitters": False}  # a third of the time up to jax 0.10
    try:
        jax.jit(jnp.negative, compiler_options=older).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return options
    return older


def device_jit(small: bool) -> Jit:
    """Compiles for the examined device; fast but not optimized in a rehearsal on a CPU."""
    return host_jit if small and jax.default_backend() == "cpu" else jax.jit


def cast(tree: Tree, dtype: str) -> Tree:
    """Converts the arrays of a pytree to NumPy, floats to `dtype`."""

    def array(leaf: ArrayLike) -> np.ndarray:
        leaf = np.asarray(leaf)
        return leaf.astype(dtype) if np.issubdtype(leaf.dtype, np.floating) else leaf

    return jax.tree.map(array, tree)


def relative(value: ArrayLike, reference: ArrayLike) -> float:
    """Largest difference of two arrays, divided by the RMS of the second."""
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    return float(np.max(np.abs(value - reference)) / np.sqrt(np.mean(np.square(reference))))


def distance(value: ArrayLike, reference: ArrayLike) -> float:
    """Euclidean distance of two arrays, divided by the length of the second."""
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))
