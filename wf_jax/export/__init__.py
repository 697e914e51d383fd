"""Releases: models as functions that run without their code.

`load` and what it returns need JAX and NumPy (and flatbuffers, by which JAX reads its files); the
modules that make a release, `functions`, `rebuild` and `write`, need the models.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wf_jax.export.amp import Amp as Amp
    from wf_jax.export.manifest import ReleaseError as ReleaseError
    from wf_jax.export.release import load as load
    from wf_jax.export.vocoder import Vocoder as Vocoder

# Imported at their first use: what checks a file here needs no JAX.
_HOMES = {
    "Amp": "amp",
    "ReleaseError": "manifest",
    "load": "release",
    "Vocoder": "vocoder",
}


def __getattr__(name: str) -> Any:
    """The class or function of this name.

    Raises:
        AttributeError: there is none.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
