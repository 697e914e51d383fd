"""Chooses the JAX program of an amp in a release: the general pass, or the faster one for A2.

Streams and files are played by the native engine (engines.py), which a release does not hold.
"""

import os

from wf_jax.amps import a2, a2_pass
from wf_jax.amps.a2_pass import A2Pass
from wf_jax.amps.model import AmpModel
from wf_jax.platforms import choices

SWITCH = "WF_JAX_A2_FAST"  # 0 in the environment: the general pass for all
Playable = AmpModel | A2Pass  # what `Player` and `render` take


def jax_form(model: AmpModel, a2_fast: bool = True) -> Playable:
    """Returns the quickest JAX program of a model; it plays the same, within rounding.

    Args:
        model: any; of several sizes the one to play, see `AmpModel.at_size`.
        a2_fast: whether A2 models take the A2 pass, where it is the faster one (on CPU, from jax
            0.12 on) and WF_JAX_A2_FAST=0 does not forbid it.
    """
    return A2Pass.of(model) if a2_fast and a2.size_of(model) and not forbidden() else model


def forbidden() -> str:
    """Says why A2 models do not take the A2 pass here; "" where they do."""
    if os.environ.get(SWITCH, "1") == "0":
        return f"{SWITCH}=0 forbids the A2 pass"
    if not choices().a2_pass:
        return "the A2 pass is written for CPUs"
    return "" if a2_pass.IS_FAST else "the A2 pass is fast from jax 0.12 on"


def compiler_options(model: Playable) -> dict[str, int]:
    """The options of `jax.jit` for a program that plays a model."""
    return a2_pass.COMPILER_OPTIONS if isinstance(model, A2Pass) else {}
