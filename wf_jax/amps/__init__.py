"""Amp models: those of Neural Amp Modeler (NAM) and the .nam file, and files of others."""

from typing import TYPE_CHECKING

from wf_jax.lazy_names import lazy_names

if TYPE_CHECKING:
    from wf_jax.amps.amp_files import load_amp as load_amp
    from wf_jax.amps.container import SlimmableContainer as SlimmableContainer
    from wf_jax.amps.nam_models import load_nam as load_nam
    from wf_jax.amps.nam_models import save_nam as save_nam
    from wf_jax.amps.wavenet import WaveNet as WaveNet

__getattr__ = lazy_names(
    __name__,
    {
        "SlimmableContainer": "container",
        "load_amp": "amp_files",
        "load_nam": "nam_models",
        "save_nam": "nam_models",
        "WaveNet": "wavenet",
    },
)
