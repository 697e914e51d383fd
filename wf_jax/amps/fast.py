"""Which pass plays a model: the general one, or one written for its architecture alone."""

import os

import jax

from wf_jax.amps import a2, a2_pass
from wf_jax.amps.a2_pass import A2Pass
from wf_jax.amps.model import AmpModel

SWITCH = "WF_JAX_A2_FAST"  # 0 in the environment: the general pass for all
Playable = AmpModel | A2Pass  # what `Player` and `render` take


def fastest(model: AmpModel, a2_fast: bool = True) -> Playable:
    """The quickest form of a model; it plays the same, within rounding.

    Args:
        model: any; of several sizes the one to play, see `AmpModel.at_size`.
        a2_fast: whether A2 models take the A2 pass, where it is the faster one (on CPU, from jax
            0.12 on) and WF_JAX_A2_FAST=0 does not forbid it.
    """
    wanted = a2_fast and os.environ.get(SWITCH, "1") != "0"
    if wanted and a2_pass.IS_FAST and jax.default_backend() == "cpu" and a2.size_of(model):
        return A2Pass.of(model)
    return model


def compiler_options(model: Playable) -> dict[str, int]:
    """What to give `jax.jit` for a program that plays a model."""
    return a2_pass.COMPILER_OPTIONS if isinstance(model, A2Pass) else {}
