"""Neural Amp Modeler (NAM) models: the WaveNet, A2, and the .nam file."""

from wf_jax.amps.container import SlimmableContainer as SlimmableContainer
from wf_jax.amps.nam_file import NamFileError as NamFileError
from wf_jax.amps.nam_models import load_nam as load_nam
from wf_jax.amps.nam_models import save_nam as save_nam
from wf_jax.amps.wavenet import WaveNet as WaveNet
