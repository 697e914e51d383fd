"""Converts published checkpoints to our models."""

from typing import TYPE_CHECKING

from wf_jax.lazy_names import lazy_names

if TYPE_CHECKING:
    from wf_jax.interop.files import read_arrays as read_arrays
    from wf_jax.interop.source_config import read_config as read_config
    from wf_jax.interop.waveflow import from_l0sg as from_l0sg
    from wf_jax.interop.waveflow import from_parakeet as from_parakeet
    from wf_jax.interop.waveflow import l0sg_config as l0sg_config
    from wf_jax.interop.waveflow import parakeet_config as parakeet_config
    from wf_jax.interop.waveglow import from_nvidia_waveglow as from_nvidia_waveglow
    from wf_jax.interop.waveglow import waveglow_config as waveglow_config

__getattr__ = lazy_names(
    __name__,
    {
        "read_arrays": "files",
        "read_config": "source_config",
        "from_l0sg": "waveflow",
        "from_parakeet": "waveflow",
        "l0sg_config": "waveflow",
        "parakeet_config": "waveflow",
        "from_nvidia_waveglow": "waveglow",
        "waveglow_config": "waveglow",
    },
)
