"""The choice of the engine that plays or trains a model: the native one, or JAX."""

from typing import TYPE_CHECKING

from wf_jax.native.engines import (
    AUTO,
    ENGINES,
    JAX,
    NATIVE,
    natively,
    why_no_calls,
    why_not_here,
)

if TYPE_CHECKING:
    import numpy as np

    from wf_jax.amps.jax_form import Playable
    from wf_jax.amps.model import AmpModel

__all__ = [
    "AUTO",
    "ENGINES",
    "JAX",
    "NATIVE",
    "judged_natively",
    "plays_natively",
    "trained_natively",
    "why_not_natively",
    "why_not_trained_natively",
]


def plays_natively(model: "Playable", engine: str = AUTO) -> bool:
    """Decides whether the native engine plays a model; see `natively`.

    Args:
        model: of several sizes the one to play.
        engine: one of ENGINES.
    """
    return natively(engine, why_not_natively(model), "play this model")


def why_not_natively(model: "Playable") -> str:
    """Says why the native engine does not play a model here; "" where it does."""
    from wf_jax.amps.native.shapes import why_not

    return why_not(model) or why_not_here()


def trained_natively(engine: str, model: "AmpModel") -> bool:
    """Decides whether the native engine computes a model's training passes; see `natively`."""
    return natively(engine, why_not_trained_natively(model), "train this model")


def judged_natively(engine: str, dtype: "np.dtype") -> bool:
    """Decides whether machine code computes losses of signals of a type; see `natively`."""
    reason = "" if dtype == "float32" else "it compares float32"
    return natively(engine, reason or why_no_calls(), f"compute losses of {dtype}")


def why_not_trained_natively(model: "AmpModel") -> str:
    """Says why the native engine does not compute a model's passes here; "" where it does."""
    from wf_jax.amps.native.training.shapes import why_not

    return why_not(model) or why_no_calls()
