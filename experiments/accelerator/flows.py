"""Makes flows with random weights, in the precisions that the examination compares."""

import numpy as np

from wf_jax.flows.config import FlowConfig
from wf_jax.flows.families import new_flow
from wf_jax.flows.flow import Flow
from wf_jax.modules import split

HIGHEST, DEFAULT, BFLOAT16 = "float32, highest", "float32, default", "bfloat16"
# The options of a config that stand for each; the default of float32 is TF32 on a GPU.
PRECISIONS: dict[str, dict[str, str]] = {
    HIGHEST: {"matmul_precision": "highest"},
    DEFAULT: {"matmul_precision": "default"},
    BFLOAT16: {"matmul_precision": "default", "compute_dtype": "bfloat16"},
}


def random_flow(config: FlowConfig) -> Flow:
    """Makes a non-trivial model: the last product of each net is no longer zero."""
    rng = np.random.default_rng(0)
    definition, params = split(new_flow(config, rng))
    for name, value in params.items():
        if name.endswith("end/kernel"):
            scale = np.float32(0.2 / value.shape[-2] ** 0.5)
            params[name] = scale * rng.standard_normal(value.shape, np.float32)
    return definition(params)
