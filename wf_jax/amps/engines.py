"""The choice of the engine that plays a model on streams and files: the native one, or JAX."""

import importlib.util
from typing import TYPE_CHECKING

from wf_jax.errors import UserError

if TYPE_CHECKING:
    from wf_jax.amps.jax_form import Playable

AUTO, NATIVE, JAX = ENGINES = ("auto", "native", "jax")


def plays_natively(model: "Playable", engine: str = AUTO) -> bool:
    """Decides whether the native engine plays a model.

    Args:
        model: of several sizes the one to play.
        engine: "auto" for the native engine where it plays the model, "native" to insist on it,
            "jax" for the general pass.

    Raises:
        UserError: the native engine is insisted on, and does not play it.
        ValueError: there is no such engine.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} does not exist; choose one of {', '.join(ENGINES)}")
    if engine == JAX:
        return False
    reason = why_not_natively(model)
    if reason and engine == NATIVE:
        raise UserError(f"the native engine does not play this model: {reason}; use engine auto")
    return not reason


def why_not_natively(model: "Playable") -> str:
    """Says why the native engine does not play a model here; "" where it does."""
    import jax

    from wf_jax.amps.native.shapes import why_not

    if reason := why_not(model):
        return reason
    if jax.default_backend() != "cpu":
        return f"it plays on CPUs, JAX's device is a {jax.default_backend()}"
    if importlib.util.find_spec("llvmlite") is None:
        return "llvmlite is not installed"
    return ""
