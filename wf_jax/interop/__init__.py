"""Converts published checkpoints to our models."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wf_jax.interop.errors import WeightImportError as WeightImportError
    from wf_jax.interop.files import read_arrays as read_arrays
    from wf_jax.interop.source_config import read_config as read_config
    from wf_jax.interop.waveflow import from_l0sg as from_l0sg
    from wf_jax.interop.waveflow import from_parakeet as from_parakeet
    from wf_jax.interop.waveflow import l0sg_config as l0sg_config
    from wf_jax.interop.waveflow import parakeet_config as parakeet_config
    from wf_jax.interop.waveglow import from_nvidia_waveglow as from_nvidia_waveglow
    from wf_jax.interop.waveglow import waveglow_config as waveglow_config

# Imported at their first use: what checks a file here needs no JAX.
_HOMES = {
    "WeightImportError": "errors",
    "read_arrays": "files",
    "read_config": "source_config",
    "from_l0sg": "waveflow",
    "from_parakeet": "waveflow",
    "l0sg_config": "waveflow",
    "parakeet_config": "waveflow",
    "from_nvidia_waveglow": "waveglow",
    "waveglow_config": "waveglow",
}


def __getattr__(name: str) -> Any:
    """The class or function of this name.

    Raises:
        AttributeError: there is none.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
