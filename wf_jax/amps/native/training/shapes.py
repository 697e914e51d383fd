"""The models whose training passes are written as code of the native engine."""

import numpy as np

from wf_jax.amps.model import AmpModel
from wf_jax.amps.native import shapes
from wf_jax.amps.wavenet import WaveNet

ACTIVATIONS = {"LeakyReLU", "ReLU", "Tanh"}  # their slope follows from their value, see kernels.py


def why_not(model: AmpModel) -> str:
    """Says in a few words why a model's passes cannot be compiled; "" where they can."""
    if not isinstance(model, WaveNet):
        return f"it trains WaveNets, not {type(model).__name__}"
    if reason := shapes.why_not(model):
        return reason
    if model.arrays[0].rechannel.kernel.dtype != np.float32:
        return "it trains in float32"
    if model.config.post_head is not None:
        return "it trains no head behind the last array"
    if model.config.in_channels != 1 or model.config.out_channels != 1:
        return "it trains mono models"
    for array in model.config.arrays:
        if any(array.gate(i) != "none" for i in range(len(array.dilations))):
            return "it trains no gated layers"
        if array.head1x1_channels:
            return "it trains no head1x1"
        if max(array.groups_input, array.groups_input_mixin, array.layer1x1_groups) > 1:
            return "it trains no groups"
        for each in array.activations:
            if each.name not in ACTIVATIONS:
                return f"it trains no {each.name}"
            if each.name == "LeakyReLU" and each.negative_slope <= 0:
                return f"it trains no LeakyReLU of slope {each.negative_slope:g}"
    return ""
