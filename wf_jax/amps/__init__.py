"""Neural Amp Modeler (NAM) models: the WaveNet, A2, and the .nam file."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wf_jax.amps.container import SlimmableContainer as SlimmableContainer
    from wf_jax.amps.nam_file import NamFileError as NamFileError
    from wf_jax.amps.nam_models import load_nam as load_nam
    from wf_jax.amps.nam_models import save_nam as save_nam
    from wf_jax.amps.wavenet import WaveNet as WaveNet

# Imported at their first use: what checks a file or an option here needs no JAX.
_HOMES = {
    "SlimmableContainer": "container",
    "NamFileError": "nam_file",
    "load_nam": "nam_models",
    "save_nam": "nam_models",
    "WaveNet": "wavenet",
}


def __getattr__(name: str) -> Any:
    """The class or function of this name.

    Raises:
        AttributeError: there is none.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
