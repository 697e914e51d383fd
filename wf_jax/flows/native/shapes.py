"""The WaveFlows that compiled code decodes."""

import jax
import numpy as np

from wf_jax.flows.flow import Flow
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.native.engines import why_not_here

WIDEST = 1 << 10  # dilation: rows have six times as many columns of padding
FEWEST = 8  # channels, and what they are a multiple of


def why_not(model: Flow) -> str:
    """Says why compiled code does not decode a model here; "" where it does."""
    config = model.config
    if not isinstance(model, WaveFlow) or type(model).decode is not WaveFlow.decode:
        return "it is no WaveFlow"
    if config.kernel != 3:
        return f"its kernel is {config.kernel}, not 3"
    if config.channels % FEWEST:
        return f"its {config.channels} channels are not a multiple of {FEWEST}"
    if config.compute_dtype != "float32":
        return f"it computes in {config.compute_dtype}"
    if any(np.dtype(leaf.dtype) != np.float32 for leaf in jax.tree.leaves(model.flows)):
        return "its weights are not float32"
    if max(width for _, width in config.dilations) > WIDEST:
        return f"a dilation is above {WIDEST}"
    return why_not_here() or _why_not_this_processor()


def _why_not_this_processor() -> str:
    from wf_jax.native.machine_code import host

    target = host()
    return "" if target.is_arm or target.lanes >= 8 else "the processor has no AVX2"
