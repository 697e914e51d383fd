"""Flows of random weights, in the precisions that the examination compares."""

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.flows.config import FlowConfig
from wf_jax.flows.families import new_flow
from wf_jax.flows.flow import Flow
from wf_jax.flows.waveglow import WaveGlow

# What a config says for each: float32 at full precision, at the device's default, bfloat16.
PRECISIONS = {
    "highest": {"matmul_precision": "highest"},
    "default": {"matmul_precision": "default"},
    "bfloat16": {"matmul_precision": "default", "compute_dtype": "bfloat16"},
}


def random_flow(config: FlowConfig, scale: float = 0.01) -> Flow:
    """A flow that does something: fresh weights, and small ones at the end of each net."""
    rng = np.random.default_rng(0)
    flow = new_flow(config, rng)
    nets = [f.net for f in flow.stages] if isinstance(flow, WaveGlow) else [flow.flows]
    for net in nets:
        net.end.kernel[...] = scale * rng.standard_normal(net.end.kernel.shape)
    return jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), flow)
