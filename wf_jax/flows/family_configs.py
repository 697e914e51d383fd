"""The config class of each family of flows, by the family's name."""

from wf_jax.flows.config import FlowConfig
from wf_jax.flows.source_filter_config import SourceFilterConfig
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.flows.waveglow_config import WaveGlowConfig
from wf_jax.flows.wavenet_config import WaveNetConfig

CONFIGS: dict[str, type[FlowConfig]] = {
    config.family: config
    for config in (WaveFlowConfig, WaveGlowConfig, WaveNetConfig, SourceFilterConfig)
}
