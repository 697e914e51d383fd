"""The choice between compiled code and JAX, as users make it."""

import importlib.util
import sys
from pathlib import Path

from wf_jax.errors import UserError

AUTO, NATIVE, JAX = ENGINES = ("auto", "native", "jax")


def natively(engine: str, reason: str, what: str) -> bool:
    """Decides whether compiled code plays.

    Args:
        engine: "auto" for compiled code where it can, "native" to insist on it, "jax" for JAX.
        reason: why it cannot; "" where it can.
        what: is to be played, with its verb, as "play this model".

    Raises:
        UserError: it is insisted on, and cannot.
        ValueError: there is no such engine.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} does not exist; choose one of {', '.join(ENGINES)}")
    if engine == JAX:
        return False
    if reason and engine == NATIVE:
        raise UserError(f"the native engine does not {what}: {reason}; use engine auto")
    return not reason


def why_not_here() -> str:
    """Says why compiled code cannot play here, whatever the model; "" where it can."""
    import jax

    if jax.default_backend() != "cpu":
        return f"it runs on CPUs, JAX's device is a {jax.default_backend()}"
    if importlib.util.find_spec("llvmlite") is None:
        return "llvmlite is not installed"
    return ""


def why_no_calls() -> str:
    """Says why XLA cannot call compiled code here; "" where it can."""
    import jax

    if reason := why_not_here():
        return reason
    if sys.platform == "win32":
        return "it starts threads as Windows does not"
    header = Path(jax.ffi.include_dir()) / "xla/ffi/api/c_api.h"
    try:
        known = "#define XLA_FFI_API_MAJOR 0\n" in header.read_text()
    except OSError:
        known = False
    return "" if known else f"jax {jax.__version__} has another foreign function interface"
