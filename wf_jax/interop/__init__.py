"""Published checkpoints as our models."""

from wf_jax.interop.errors import WeightImportError as WeightImportError
from wf_jax.interop.files import read_arrays as read_arrays
from wf_jax.interop.source_config import read_config as read_config
from wf_jax.interop.waveflow import from_l0sg as from_l0sg
from wf_jax.interop.waveflow import from_parakeet as from_parakeet
from wf_jax.interop.waveflow import l0sg_config as l0sg_config
from wf_jax.interop.waveflow import parakeet_config as parakeet_config
from wf_jax.interop.waveglow import from_nvidia_waveglow as from_nvidia_waveglow
from wf_jax.interop.waveglow import waveglow_config as waveglow_config
