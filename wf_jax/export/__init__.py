"""Releases: models as functions that run without their code.

`load` and what it returns need JAX and NumPy (and flatbuffers, by which JAX reads its files); the
modules that make a release, `functions`, `rebuild` and `write`, need the models.
"""

from typing import TYPE_CHECKING

from wf_jax.lazy_names import lazy_names

if TYPE_CHECKING:
    from wf_jax.export.amp import Amp as Amp
    from wf_jax.export.release import load as load
    from wf_jax.export.vocoder import Vocoder as Vocoder

__getattr__ = lazy_names(
    __name__,
    {
        "Amp": "amp",
        "load": "release",
        "Vocoder": "vocoder",
    },
)
