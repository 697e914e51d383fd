"""What the code decides by the kind of device that computes: here, and nowhere else.

The figures behind each choice are in BUILD_NOTES, "Accelerators".
"""

import dataclasses

import jax


@dataclasses.dataclass(frozen=True)
class Choices:
    """How one kind of device is used best.

    Attributes:
        sequences: how many training sequences go through a network together: one, where its
            activations then fit a core's cache, or as many as fit the memory.
        transformed_rows: whether synthesis goes from row to row by Toom-Cook transforms, which
            save multiplications and cost memory traffic; only where products are exact.
        a2_pass: whether A2 models are played by their own pass, which is written for a CPU's
            vector registers.
        substeps: training steps per dispatch, where a run leaves that open.
    """

    sequences: int
    transformed_rows: bool
    a2_pass: bool
    substeps: int

    def describe(self) -> str:
        """The choices in words."""
        rows = "transformed" if self.transformed_rows else "plain"
        return (
            f"up to {self.sequences} sequences at once, {self.substeps} steps per dispatch, {rows} "
            f"rows in synthesis, {'A2' if self.a2_pass else 'general'} pass for A2 models"
        )


_CPU = Choices(sequences=1, transformed_rows=True, a2_pass=True, substeps=1)
_ACCELERATOR = Choices(sequences=1024, transformed_rows=True, a2_pass=False, substeps=1)
CHOICES = {"cpu": _CPU, "gpu": _ACCELERATOR, "tpu": _ACCELERATOR}


def choices() -> Choices:
    """Those for JAX's default devices."""
    return CHOICES.get(jax.default_backend(), _ACCELERATOR)
