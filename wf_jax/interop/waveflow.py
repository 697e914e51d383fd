"""Converts published WaveFlow checkpoints: Parakeet (Baidu's release) and L0SG/WaveFlow.

Both are weight-normed nets of the same shapes under other names; kernels there are OIHW, here the
inputs and outputs come last and all flows are stacked. Parakeet and L0SG also give the last layer
a residual half that nothing reads: it is dropped.
"""

import dataclasses
import math
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from wf_jax.audio.mel import MelSettings
from wf_jax.errors import UserError
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import HEIGHT_DILATIONS, WaveFlowConfig
from wf_jax.interop.source_values import SourceValues, as_import_errors, tacotron_mel
from wf_jax.interop.state_dict import (
    Arrays,
    StateDict,
    matrix,
    module,
    residual_and_skip,
    stacked,
)


def parakeet_config(source: Mapping[str, Any]) -> WaveFlowConfig:
    """Reads Parakeet's or PaddleSpeech's configuration, flat or in its sections.

    Args:
        source: as parsed from YAML or JSON. Model: n_flows, n_layers, n_group, channels (2019:
            n_channels), kernel_size (kernel_h, kernel_w), n_mels (mel_bands), upsample_factors.
            Mel: sample_rate, n_fft, win_length, hop_length, f_max (2019: mel_fmax ...). What
            training alone needs is not looked at.

    Raises:
        UserError: a value is missing or describes another model.
    """
    values = SourceValues(source, ("model", "data"))
    height, layers = values.integer("n_group"), values.integer("n_layers")
    if height not in HEIGHT_DILATIONS or layers > 8:
        known = ", ".join(map(str, HEIGHT_DILATIONS))
        raise UserError(
            f"n_group {height}, n_layers {layers}: Parakeet has n_group {known} and up to 8 layers"
        )
    sizes = values.get("kernel_size", default=None) or [
        values.integer(name, default=3) for name in ("kernel_h", "kernel_w")
    ]
    if not isinstance(sizes, list | tuple) or len(sizes) != 2 or sizes[0] != sizes[1]:
        shown = reprlib.repr(sizes)
        raise UserError(f"kernel_size {shown}: only square kernels are known, like [3, 3]")
    factors = _factors(values)
    with as_import_errors():
        return WaveFlowConfig(
            height=height,
            flows=values.integer("n_flows"),
            layers=layers,
            channels=values.integer("channels", "n_channels"),
            kernel=sizes[0],
            permutation="bipartite",
            height_dilations=HEIGHT_DILATIONS[height][:layers],
            upsample_factors=factors,
            mel=_parakeet_mel(values, math.prod(factors)),
        )


def l0sg_config(source: Mapping[str, Any]) -> WaveFlowConfig:
    """Reads L0SG/WaveFlow's configuration, flat or in its sections.

    Args:
        source: as parsed from JSON: n_height, n_flow, n_layer, n_layer_per_cycle, res_channels,
            cin_channels (or n_mels), coupling_type (or bipartize); for the mel sampling_rate,
            filter_length, win_length, hop_length, mel_fmin, mel_fmax.

    Raises:
        UserError: a value is missing or describes another model.
    """
    values = SourceValues(source, ("waveflow_config", "data_config"))
    layers, cycle = values.integer("n_layer"), values.integer("n_layer_per_cycle")
    coupling = values.get("coupling_type", default=None)
    if coupling is None:
        coupling = "waveflow_bipartize" if values.get("bipartize") else "waveflow"
    permutations = {"waveflow": "reverse", "waveflow_bipartize": "bipartite"}
    if not isinstance(coupling, str) or coupling not in permutations:
        shown = reprlib.repr(coupling)
        raise UserError(f"coupling_type {shown}: only {', '.join(permutations)} exist")
    with as_import_errors():
        return WaveFlowConfig(
            height=values.integer("n_height"),
            flows=values.integer("n_flow"),
            layers=layers,
            channels=values.integer("res_channels"),
            permutation=permutations[coupling],
            height_dilations=tuple(2 ** (i % cycle) for i in range(layers)),
            upsample_factors=(16, 16),
            mel=_l0sg_mel(values),
        )


def from_parakeet(arrays: Arrays, config: Mapping[str, Any]) -> WaveFlow:
    """Builds a WaveFlow from a Parakeet checkpoint.

    Args:
        arrays: the state dict of v0.3 or PaddleSpeech (`decoder.0.input_proj...`), or of 2019
            (`flow_0.start...`); with weight norm (`weight_g`, `weight_v`), with PyTorch's newer
            `parametrizations`, or after its removal (`weight`).
        config: the source's own configuration, see `parakeet_config`.

    Raises:
        UserError: naming the parameter that is missing, left over, not finite, or of
            another shape than the configuration's.
    """
    ours = parakeet_config(config)
    return module(ours, parakeet_params(arrays, ours))


def from_l0sg(arrays: Arrays, config: Mapping[str, Any]) -> WaveFlow:
    """Builds a WaveFlow from an L0SG/WaveFlow checkpoint; see `from_parakeet`.

    Args:
        arrays: the state dict (`flows.0.coupling.net...`), its conditioning layers fused or not.
        config: the source's own configuration, see `l0sg_config`.

    Raises:
        UserError: as `from_parakeet`.
    """
    ours = l0sg_config(config)
    return module(ours, l0sg_params(arrays, ours))


def parakeet_params(arrays: Arrays, config: WaveFlowConfig) -> dict[str, np.ndarray]:
    """Converts Parakeet's parameters to our flat ones [...]; see `from_parakeet`."""
    old = any(name.removeprefix("module.").startswith("flow_0.") for name in arrays)
    return _params(StateDict(arrays), _PARAKEET_2019 if old else _PARAKEET, config)


def l0sg_params(arrays: Arrays, config: WaveFlowConfig) -> dict[str, np.ndarray]:
    """Converts L0SG's parameters to our flat ones [...]; see `from_l0sg`."""
    source = StateDict(arrays)
    for k in range(config.flows):
        _unfuse(source, f"flows.{k}.coupling.net.", config)
    return _params(source, _L0SG, config)


@dataclasses.dataclass(frozen=True)
class _Names:
    """The names of a source's layers; j counts upsamplers, k flows, l layers."""

    upsampler: str
    start: str
    conv: str
    condition: str
    out: str
    end: str


_PARAKEET = _Names(
    "encoder.{j}",
    "decoder.{k}.input_proj",
    "decoder.{k}.resnet.{l}.conv",
    "decoder.{k}.resnet.{l}.condition_proj",
    "decoder.{k}.resnet.{l}.out_proj",
    "decoder.{k}.output_proj",
)
_PARAKEET_2019 = _Names(
    "conditioner.conv2d_transpose_{j}",
    "flow_{k}.start",
    "flow_{k}.in_layer_{l}",
    "flow_{k}.cond_layer_{l}",
    "flow_{k}.res_skip_layer_{l}",
    "flow_{k}.end",
)
_L0SG = _Names(
    "upsample_conv.{twice_j}",  # a leaky ReLU follows each
    "flows.{k}.coupling.net.front_conv.0.conv",
    "flows.{k}.coupling.net.res_blocks.{l}.filter_gate_conv.conv",
    "flows.{k}.coupling.net.res_blocks.{l}.filter_gate_conv_c",
    "flows.{k}.coupling.net.res_blocks.{l}.res_skip_conv",
    "flows.{k}.coupling.proj_log_s_t.conv",
)


def _params(source: StateDict, names: _Names, config: WaveFlowConfig) -> dict[str, np.ndarray]:
    params: dict[str, np.ndarray] = {}
    for j, factor in enumerate(config.upsample_factors):
        layer = source.layer(names.upsampler.format(j=j, twice_j=2 * j), (1, 1, 3, 2 * factor))
        params[f"upsampler/layers/{j}/kernel"] = layer.kernel[0, 0]
        params[f"upsampler/layers/{j}/gain"] = layer.gain[0]
        params[f"upsampler/layers/{j}/bias"] = layer.bias[0]
    flows = stacked([_flow(source, names, config, k) for k in range(config.flows)])
    source.finish()
    return params | {f"flows/{name}": value for name, value in flows.items()}


def _flow(
    source: StateDict, names: _Names, config: WaveFlowConfig, k: int
) -> dict[str, np.ndarray]:
    """Converts the parameters of one flow, named as below `flows/`."""
    c, m, t = config.channels, config.mel.n_mels, config.kernel
    flow = source.layer(names.start.format(k=k), (c, 1, 1, 1)).named("start", matrix)
    for n in range(config.layers):
        conv, condition, out = (
            name.format(k=k, l=n) for name in (names.conv, names.condition, names.out)
        )
        prefix, last = f"layers/{n}", n == config.layers - 1
        flow |= source.layer(conv, (2 * c, c, t, t)).named(f"{prefix}/conv", _taps)
        flow |= source.layer(condition, (2 * c, m, 1, 1)).named(f"{prefix}/condition", matrix)
        flow |= residual_and_skip(source, out, c, 2, last).named(f"{prefix}/out", matrix)
    end = names.end.format(k=k)
    flow["end/kernel"] = matrix(source.take(f"{end}.weight", (2, c, 1, 1)))
    flow["end/bias"] = source.take(f"{end}.bias", (2,))
    return flow


def _taps(kernel: np.ndarray) -> np.ndarray:
    """Transposes [O, I, H, W] to [H, W, I, O]."""
    return kernel.transpose(2, 3, 1, 0)


def _unfuse(source: StateDict, prefix: str, config: WaveFlowConfig) -> None:
    """Undoes L0SG's `fuse_conditioning_layers`: one layer for all becomes a slice each."""
    fused = f"{prefix}fused_filter_gate_conv_c"
    if not source.has(f"{fused}.weight"):
        return
    rows = 2 * config.channels * config.layers
    weight = source.take(f"{fused}.weight", (rows, config.mel.n_mels, 1, 1))
    bias = source.take(f"{fused}.bias", (rows,))
    for n in range(config.layers):
        one = slice(2 * config.channels * n, 2 * config.channels * (n + 1))
        layer = f"{prefix}res_blocks.{n}.filter_gate_conv_c"
        source.arrays |= {f"{layer}.weight": weight[one], f"{layer}.bias": bias[one]}


def _factors(values: SourceValues) -> tuple[int, ...]:
    factors = values.get("upsample_factors", default=[16, 16])
    listed = isinstance(factors, list | tuple) and bool(factors)
    if not listed or not all(type(n) is int and 0 < n < 1 << 16 for n in factors):
        shown = reprlib.repr(factors)
        raise UserError(f"upsample_factors {shown}: not a list like [16, 16]")
    return tuple(factors)


def _parakeet_mel(values: SourceValues, hop: int) -> MelSettings:
    rate = values.integer("sample_rate", default=22050)
    # Before its PR 105, v0.3 had no f_max and went up to half the sample rate.
    highest = rate / 2 if "sample_rate" in values.values else 8000.0
    first = "mel_bands" in values.values  # the release of 2019
    return MelSettings(
        sample_rate=rate,
        n_fft=values.integer("n_fft", "fft_size", default=1024),
        hop_length=values.integer("hop_length", "fft_window_shift", default=hop),
        win_length=values.integer("win_length", "fft_window_size", default=1024),
        n_mels=values.integer("n_mels", "mel_bands"),
        f_min=values.frequency("f_min", "fmin", "mel_fmin", default=0.0),
        f_max=values.frequency("f_max", "fmax", "mel_fmax", default=highest),
        center=first,
        peak_normalize=not first,
    )


def _l0sg_mel(values: SourceValues) -> MelSettings:
    if values.get("use_dbmel", default=False):
        raise UserError("use_dbmel: decibel mels are not known here; only natural log is")
    bands = values.integer("cin_channels", "n_mels")
    return tacotron_mel(values, bands, bool(values.get("rescale", default=False)))
