"""Constructors of the families of flows."""

import numpy as np

from wf_jax.flows.config import FlowConfig
from wf_jax.flows.family_configs import CONFIGS as CONFIGS
from wf_jax.flows.flow import Flow
from wf_jax.flows.source_filter import SourceFilterFlow
from wf_jax.flows.source_filter_config import SourceFilterConfig
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.flows.waveglow import WaveGlow
from wf_jax.flows.waveglow_config import WaveGlowConfig
from wf_jax.flows.wavenet import WaveNet
from wf_jax.flows.wavenet_config import WaveNetConfig

MODELS: dict[str, type[Flow]] = {
    WaveFlowConfig.family: WaveFlow,
    WaveGlowConfig.family: WaveGlow,
    WaveNetConfig.family: WaveNet,
    SourceFilterConfig.family: SourceFilterFlow,
}


def new_flow(config: FlowConfig, rng: np.random.Generator) -> Flow:
    """Makes a fresh model of the family that the config belongs to."""
    return MODELS[config.family](config, rng)
