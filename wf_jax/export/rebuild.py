"""Rebuilds the functions of a release from its model, where its artifacts cannot be used.

Needs all packages of wf_jax; the rest of this package, but for `write`, does not.
"""

from pathlib import Path

from wf_jax.amps import load_nam
from wf_jax.amps.a2_pass import A2Pass
from wf_jax.amps.jax_form import Playable
from wf_jax.export.artifacts import Function
from wf_jax.export.functions import amp_functions, vocoder_functions
from wf_jax.export.manifest import NAM, AmpFacts, Manifest
from wf_jax.flows.flow import Flow
from wf_jax.flows.model_folder import load_model


def functions_of(folder: Path, manifest: Manifest) -> list[Function]:
    """Makes the functions of the model in a release whose files were checked."""
    model = model_of(folder, manifest)
    if manifest.amp:
        return amp_functions(model, manifest.amp.blocks)
    return vocoder_functions(model)


def model_of(folder: Path, manifest: Manifest) -> Flow | Playable:
    """Loads the model of a release, as it was exported."""
    if manifest.amp:
        return playable(folder / NAM, manifest.amp)
    return load_model(folder)


def playable(path: Path, facts: AmpFacts) -> Playable:
    """Loads the model of a .nam file at the size, and in the form, that a release has."""
    model = load_nam(path).at_size(facts.size)
    return A2Pass.of(model) if facts.a2_pass else model
