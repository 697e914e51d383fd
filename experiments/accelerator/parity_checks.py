"""How a figure of the device is held against the same in float64 on the host."""

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
    """A row of a table: some figures, and how far each may be off.

    Attributes:
        table: it belongs to.
        cells: that it begins with; the first one names the case.
        errors: computes them.
        tolerances: by column, as the errors.
    """

    table: str
    cells: dict[str, str]
    errors: Callable[[], Errors]
    tolerances: Errors

    @property
    def promise(self) -> dict[str, str | float]:
        """The cells of a row of its tolerances, in which the case has no name."""
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
    """Computes whatever is inside on the CPU, in float64 where the inputs are."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        yield


def host_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit` for a CPU: soon compiled and slow, but large products are a library's."""
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
    """The `jax.jit` of what is examined; a rehearsal on a CPU has no time for the usual one."""
    return host_jit if small and jax.default_backend() == "cpu" else jax.jit


def cast(tree: Tree, dtype: str) -> Tree:
    """A pytree with its arrays as NumPy's, those of floats as `dtype`."""

    def array(leaf: ArrayLike) -> np.ndarray:
        leaf = np.asarray(leaf)
        return leaf.astype(dtype) if np.issubdtype(leaf.dtype, np.floating) else leaf

    return jax.tree.map(array, tree)


def relative(value: ArrayLike, reference: ArrayLike) -> float:
    """The largest difference of two arrays, over the RMS of the second."""
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    return float(np.max(np.abs(value - reference)) / np.sqrt(np.mean(np.square(reference))))


def distance(value: ArrayLike, reference: ArrayLike) -> float:
    """The Euclidean distance of two arrays, over the length of the second."""
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))
