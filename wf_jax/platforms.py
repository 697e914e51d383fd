"""Everything that depends on the kind of device, in one place.

The CPU's choices are measured (BUILD_NOTES). Those for accelerators are so in part, on one H200;
`experiments.accelerator` finds out the rest. Left as JAX has them on every device: preallocation
of memory, and the order in which scatters add.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import jax


@dataclasses.dataclass(frozen=True)
class Choices:
    """The settings that suit one kind of device.

    Attributes:
        sequences: how many training sequences go through a network together: one, where its
            activations then fit a core's cache, or as many as fit a small memory (64 MiB each).
        transformed_rows: whether synthesis goes from row to row by Toom-Cook transforms, which
            save multiplications and cost memory traffic; only where products are exact.
        a2_pass: whether A2 models in a release are their own pass, which is written for a CPU's
            vector registers.
        substeps: training steps per dispatch, where a run leaves that open.
        clips: number that each device synthesizes or evaluates at once.
        chunk: samples of a file that a model computes at once: as many as fit a core's cache, or
            enough to keep a device busy with each.
        captures: trained together where there are many: one, after which the next begins, where
            the work of each is the same either way, or enough to keep a device busy.
        autotuning: whether a GPU's compiler times variants of every product; see
            `compiler_options`.
    """

    sequences: int
    transformed_rows: bool
    a2_pass: bool
    substeps: int
    clips: int
    chunk: int
    captures: int
    autotuning: bool = True

    @property
    def compiler_options(self) -> dict[str, int]:
        """Compiler options for programs with many products, such as training steps."""
        return {} if self.autotuning else {"xla_gpu_autotune_level": 0}

    def describe(self) -> str:
        """Says the choices in words."""
        return (
            f"sequences at once {self.sequences}, steps per dispatch {self.substeps}, "
            f"clips at once {self.clips}, samples at once {self.chunk}, "
            f"captures at once {self.captures}, "
            f"{'transformed' if self.transformed_rows else 'plain'} rows in synthesis, "
            f"{'A2' if self.a2_pass else 'general'} pass for A2 models"
        )


_CPU = Choices(
    sequences=1,
    transformed_rows=True,
    a2_pass=True,
    substeps=1,
    clips=1,
    chunk=1 << 13,
    captures=1,
)
_ACCELERATOR = Choices(
    sequences=128,
    transformed_rows=True,
    a2_pass=False,
    substeps=8,
    clips=8,
    chunk=1 << 17,
    captures=16,
)
_PLATFORMS = {"cpu": _CPU, "gpu": _ACCELERATOR, "tpu": _ACCELERATOR}
_changes: dict[str, int | bool] = {}


def choices() -> Choices:
    """Returns those for JAX's default devices."""
    return dataclasses.replace(_PLATFORMS.get(jax.default_backend(), _ACCELERATOR), **_changes)


@contextlib.contextmanager
def chosen(**changes: int | bool) -> Iterator[None]:
    """Changes `choices` inside a `with` block, for programs traced there: measurements and tests.

    Args:
        **changes: fields of Choices.
    """
    before = dict(_changes)
    _changes.update(changes)
    try:
        yield
    finally:
        _changes.clear()
        _changes.update(before)


def available_cores() -> int:
    """CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
