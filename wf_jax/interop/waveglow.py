"""Converts NVIDIA's WaveGlow checkpoints.

Its kernels are [O, I, taps], here the inputs and outputs come last and the flows between early
outputs are stacked. The grouped condition is in the order of bands there, in that of samples here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from wf_jax.flows.waveglow import WaveGlow
from wf_jax.flows.waveglow_config import WaveGlowConfig
from wf_jax.interop.source_values import SourceValues, as_import_errors, tacotron_mel
from wf_jax.interop.state_dict import (
    Arrays,
    Layer,
    StateDict,
    matrix,
    module,
    residual_and_skip,
    stacked,
)


def waveglow_config(source: Mapping[str, Any]) -> WaveGlowConfig:
    """Reads the configuration of NVIDIA's WaveGlow, flat or in its sections.

    Args:
        source: as parsed from JSON: n_mel_channels, n_flows, n_group, n_early_every, n_early_size,
            WN_config with n_layers, n_channels and kernel_size; for the mel sampling_rate,
            filter_length, hop_length, win_length, mel_fmin, mel_fmax. What training alone needs is
            not looked at.

    Raises:
        UserError: a value is missing or describes another model.
    """
    values = SourceValues(source, ("waveglow_config", "data_config", "WN_config"))
    bands = values.integer("n_mel_channels")
    with as_import_errors():
        return WaveGlowConfig(
            groups=values.integer("n_group"),
            flows=values.integer("n_flows"),
            early_every=values.integer("n_early_every"),
            early_size=values.integer("n_early_size"),
            layers=values.integer("n_layers"),
            channels=values.integer("n_channels"),
            kernel=values.integer("kernel_size"),
            mel=tacotron_mel(values, bands, peak_normalize=False),
        )


def from_nvidia_waveglow(arrays: Arrays, config: Mapping[str, Any]) -> WaveGlow:
    """Builds a WaveGlow from a checkpoint of NVIDIA's code.

    The released files hold the model itself, which cannot be read without running it; the module
    docstring of experiments.convert says how to get the arrays.

    Args:
        arrays: the state dict (`WN.0.start...`), the conditions of a flow in one `cond_layer` or in
            `cond_layers`; with weight norm (`weight_g`, `weight_v`), with PyTorch's newer
            `parametrizations`, or after its removal (`weight`).
        config: the source's own configuration, see `waveglow_config`.

    Raises:
        UserError: naming the parameter that is missing, left over, not finite, or of
            another shape than the configuration's.
    """
    ours = waveglow_config(config)
    return module(ours, waveglow_params(arrays, ours))


def waveglow_params(arrays: Arrays, config: WaveGlowConfig) -> dict[str, np.ndarray]:
    """Converts NVIDIA's parameters to our flat ones [...]; see `from_nvidia_waveglow`."""
    source = StateDict(arrays)
    bands, taps = config.mel.n_mels, config.upsample_hops * config.mel.hop_length
    kernel = source.take("upsample.weight", (bands, bands, taps))
    params = {
        "upsampler/kernel": kernel.transpose(2, 0, 1),  # [I, O, taps] as PyTorch's transposed are
        "upsampler/bias": source.take("upsample.bias", (bands,)),
    }
    first = 0
    for stage, (flows, channels) in enumerate(config.stages):
        numbers = range(first, first + flows)
        parts = stacked([_flow(source, config, channels, k) for k in numbers])
        params |= {f"stages/{stage}/{name}": value for name, value in parts.items()}
        first += flows
    source.finish()
    return params


def _flow(
    source: StateDict, config: WaveGlowConfig, channels: int, k: int
) -> dict[str, np.ndarray]:
    """Converts the parameters of flow k over `channels`, named as below a stage."""
    c, net = config.channels, f"WN.{k}"
    mixing = source.take(f"convinv.{k}.conv.weight", (channels, channels, 1))
    flow = {"mixing": mixing[:, :, 0]}
    flow |= source.layer(f"{net}.start", (c, channels // 2, 1)).named("net/start", matrix)
    conditions = _conditions(source, net, config)
    for n in range(config.layers):
        prefix, last = f"net/layers/{n}", n == config.layers - 1
        conv = source.layer(f"{net}.in_layers.{n}", (2 * c, c, config.kernel))
        flow |= conv.named(f"{prefix}/conv", _taps) | conditions[n].named(
            f"{prefix}/condition", lambda kernel: _sample_major(kernel, config)
        )
        out = residual_and_skip(source, f"{net}.res_skip_layers.{n}", c, 1, last)
        flow |= out.named(f"{prefix}/out", matrix)
    flow["net/end/kernel"] = matrix(source.take(f"{net}.end.weight", (channels, c, 1)))
    flow["net/end/bias"] = source.take(f"{net}.end.bias", (channels,))
    return flow


def _conditions(source: StateDict, net: str, config: WaveGlowConfig) -> list[Layer]:
    """Takes every layer's condition: slices of one for all, or one each in older checkpoints."""
    outputs, inputs = 2 * config.channels, config.groups * config.mel.n_mels
    numbers = range(config.layers)
    if any(name.startswith(f"{net}.cond_layers.") for name in source.arrays):
        return [source.layer(f"{net}.cond_layers.{n}", (outputs, inputs, 1)) for n in numbers]
    fused = source.layer(f"{net}.cond_layer", (outputs * config.layers, inputs, 1))
    return [fused.outputs(slice(outputs * n, outputs * (n + 1))) for n in numbers]


def _taps(kernel: np.ndarray) -> np.ndarray:
    """Transposes [O, I, taps] to [1, taps, I, O]."""
    return kernel.transpose(2, 1, 0)[None]


def _sample_major(kernel: np.ndarray, config: WaveGlowConfig) -> np.ndarray:
    """Transposes [O, M * g, 1] to [g * M, O]."""
    parts = kernel.reshape(-1, config.mel.n_mels, config.groups)
    return parts.transpose(2, 1, 0).reshape(-1, len(kernel))
