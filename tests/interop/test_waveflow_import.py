"""Published WaveFlow checkpoints: every array arrives at its place; every fault is named."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from wf_jax.errors import UserError
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.interop import from_l0sg, from_parakeet, l0sg_config, parakeet_config
from wf_jax.interop.waveflow import l0sg_params, parakeet_params
from wf_jax.modules import split

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "waveflow"

PARAKEET = {"n_flows": 4, "n_layers": 2, "n_group": 8, "channels": 6, "n_mels": 5}
PARAKEET |= {"upsample_factors": [8, 4]}
L0SG = {"n_flow": 4, "n_layer": 2, "n_height": 8, "res_channels": 6, "cin_channels": 5}
L0SG |= {"n_layer_per_cycle": 1, "coupling_type": "waveflow"}

# Ours: (the name there, how its OIHW kernel is read here).
TAPS, MATRIX, PLANE = "oihw->hwio", "oihw->io", "oihw->hw"
V3 = {
    "upsampler/layers/{j}": ("encoder.{j}", PLANE),
    "flows/start": ("decoder.{k}.input_proj", MATRIX),
    "flows/layers/{l}/conv": ("decoder.{k}.resnet.{l}.conv", TAPS),
    "flows/layers/{l}/condition": ("decoder.{k}.resnet.{l}.condition_proj", MATRIX),
    "flows/layers/{l}/out": ("decoder.{k}.resnet.{l}.out_proj", MATRIX),
    "flows/end": ("decoder.{k}.output_proj", MATRIX),
}
V2019 = {
    "upsampler/layers/{j}": ("conditioner.conv2d_transpose_{j}", PLANE),
    "flows/start": ("flow_{k}.start", MATRIX),
    "flows/layers/{l}/conv": ("flow_{k}.in_layer_{l}", TAPS),
    "flows/layers/{l}/condition": ("flow_{k}.cond_layer_{l}", MATRIX),
    "flows/layers/{l}/out": ("flow_{k}.res_skip_layer_{l}", MATRIX),
    "flows/end": ("flow_{k}.end", MATRIX),
}
NET = "flows.{k}.coupling.net"
OF_L0SG = {
    "upsampler/layers/{j}": ("upsample_conv.{jj}", PLANE),
    "flows/start": (NET + ".front_conv.0.conv", MATRIX),
    "flows/layers/{l}/conv": (NET + ".res_blocks.{l}.filter_gate_conv.conv", TAPS),
    "flows/layers/{l}/condition": (NET + ".res_blocks.{l}.filter_gate_conv_c", MATRIX),
    "flows/layers/{l}/out": (NET + ".res_blocks.{l}.res_skip_conv", MATRIX),
    "flows/end": ("flows.{k}.coupling.proj_log_s_t.conv", MATRIX),
}
SOURCES = {
    "parakeet": (V3, PARAKEET, parakeet_config, parakeet_params, from_parakeet),
    "parakeet 2019": (V2019, PARAKEET, parakeet_config, parakeet_params, from_parakeet),
    "l0sg": (OF_L0SG, L0SG, l0sg_config, l0sg_params, from_l0sg),
}


@pytest.fixture(params=SOURCES)
def source(request):
    return SOURCES[request.param]


def shapes(config: WaveFlowConfig) -> dict[str, tuple[int, ...]]:
    """Returns our layers with the OIHW shape that the sources have."""
    c, m = config.channels, config.mel.n_mels
    found = {
        f"upsampler/layers/{j}": (1, 1, 3, 2 * factor)
        for j, factor in enumerate(config.upsample_factors)
    }
    found |= {"flows/start": (c, 1, 1, 1), "flows/end": (2, c, 1, 1)}
    for n in range(config.layers):
        found[f"flows/layers/{n}/conv"] = (2 * c, c, 3, 3)
        found[f"flows/layers/{n}/condition"] = (2 * c, m, 1, 1)
        found[f"flows/layers/{n}/out"] = (2 * c, c, 1, 1)
    return found


def layer_names(table, ours, config):
    """Returns the names there of one of our layers, one per flow, and its arrangement."""
    numbers = [int(n) for n in re.findall(r"\d+", ours)]
    generic = re.sub(r"(upsampler/layers/)\d+", r"\1{j}", ours)
    generic = re.sub(r"(flows/layers/)\d+", r"\1{l}", generic)
    name, arrangement = table[generic]
    n = numbers[0] if numbers else 0
    flows = range(config.flows) if ours.startswith("flows") else range(1)
    return [name.format(j=n, jj=2 * n, l=n, k=k) for k in flows], arrangement


def checkpoint(table, config, rng, *, style="weight_norm", skip_only=False):
    """Makes a source's random arrays, in a spelling of weight norm, and our expected arrays."""
    arrays, expected, last = {}, {}, f"flows/layers/{config.layers - 1}/out"
    for ours, shape in shapes(config).items():
        names, arrangement = layer_names(table, ours, config)
        if ours == last and skip_only:
            shape = (shape[0] // 2, *shape[1:])
        layers = [random_layer(rng, shape) for _ in names]
        for name, layer in zip(names, layers, strict=True):
            arrays |= spelled(name, layer, "removed" if ours == "flows/end" else style)
        if ours == last and not skip_only:
            layers = [[part[config.channels :] for part in layer] for layer in layers]
        for part, values in zip(("kernel", "gain", "bias"), zip(*layers, strict=True), strict=True):
            if part == "kernel":
                values = [arrange(value, arrangement) for value in values]
            stacked = ours.startswith("flows")
            expected[f"{ours}/{part}"] = np.stack(values) if stacked else np.squeeze(values[0])
    del expected["flows/end/gain"]
    return arrays, expected


def random_layer(rng, shape):
    draw = [shape, shape[:1], shape[:1]]
    kernel, gain, bias = (rng.standard_normal(s).astype(np.float32) for s in draw)
    return kernel, np.abs(gain), bias


def arrange(kernel, arrangement):
    if arrangement == TAPS:
        return np.einsum(TAPS, kernel)
    return kernel[0, 0] if arrangement == PLANE else kernel[:, :, 0, 0].T


def spelled(name, layer, style):
    kernel, gain, bias = layer
    column = gain.reshape(-1, 1, 1, 1)
    parts = {
        "weight_norm": {"weight_g": gain, "weight_v": kernel, "bias": bias},
        "column": {"weight_g": column, "weight_v": kernel, "bias": bias},
        "wrapped": {"weight_g": gain, "weight_v": kernel, "layer.bias": bias},
        "parametrized": {
            "parametrizations.weight.original0": column,
            "parametrizations.weight.original1": kernel,
            "bias": bias,
        },
        "removed": {"weight": kernel, "bias": bias},
    }
    return {f"{name}.{part}": value for part, value in parts[style].items()}


@pytest.mark.parametrize("skip_only", [False, True])
@pytest.mark.parametrize("style", ["weight_norm", "column", "wrapped", "parametrized"])
def test_every_array_arrives_at_its_place(source, rng, style, skip_only):
    table, values, read_config, read_params, _ = source
    config = read_config(values)
    arrays, expected = checkpoint(table, config, rng, style=style, skip_only=skip_only)
    params = read_params(arrays, config)
    assert set(params) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(params[name], value, err_msg=name, strict=True)


def test_names_and_shapes_are_those_of_the_model(source, rng):
    table, values, read_config, _, build = source
    config = read_config(values)
    arrays, expected = checkpoint(table, config, rng)
    model = build(arrays, values)
    assert model.config == config
    _, ours = split(jax.eval_shape(lambda: WaveFlow(config, np.random.default_rng(0))))
    _, params = split(model)
    assert {n: (v.shape, v.dtype) for n, v in params.items()} == {
        n: (v.shape, v.dtype) for n, v in ours.items()
    }
    for name, value in expected.items():
        np.testing.assert_array_equal(params[name], value)


def test_weights_without_weight_norm_are_the_same_weights(source, rng):
    table, values, read_config, read_params, _ = source
    config = read_config(values)
    arrays, expected = checkpoint(table, config, rng, style="removed")
    first = next(name for name, value in arrays.items() if value.shape == (12, 6, 3, 3))
    arrays[first][3] = 0  # an output that is off
    params = read_params(arrays, config)
    assert set(params) == set(expected)
    for layer in (name.removesuffix("/kernel") for name in params if name.endswith("/kernel")):
        kernel = params[f"{layer}/kernel"]
        if layer == "flows/end":
            continue
        axes = (0, 1) if layer.startswith("upsampler") else tuple(range(1, kernel.ndim - 1))
        norm = np.sqrt(np.square(kernel).sum(axes, keepdims=True))
        gain = params[f"{layer}/gain"].reshape(norm.shape)
        weight = expected[f"{layer}/kernel"].copy()
        if layer == "flows/layers/0/conv":
            weight[0, ..., 3] = 0
        np.testing.assert_allclose(kernel * (gain / norm), weight, rtol=1e-6)


def test_data_parallel_names(source, rng):
    table, values, read_config, read_params, _ = source
    config = read_config(values)
    arrays, expected = checkpoint(table, config, rng)
    params = read_params({f"module.{n}": v for n, v in arrays.items()}, config)
    assert set(params) == set(expected)


def test_a_fused_conditioner(rng):
    config = l0sg_config(L0SG)
    arrays, expected = checkpoint(OF_L0SG, config, rng, style="removed")
    for k in range(4):
        net = NET.format(k=k)
        for part in ("weight", "bias"):
            layers = [f"{net}.res_blocks.{n}.filter_gate_conv_c.{part}" for n in range(2)]
            fused = np.concatenate([arrays.pop(name) for name in layers])
            arrays[f"{net}.fused_filter_gate_conv_c.{part}"] = fused
    params = l0sg_params(arrays, config)
    for n in range(2):
        name = f"flows/layers/{n}/condition"
        np.testing.assert_array_equal(params[f"{name}/kernel"], expected[f"{name}/kernel"])
        np.testing.assert_array_equal(params[f"{name}/bias"], expected[f"{name}/bias"])


# Faults


def test_each_missing_array_is_named(source, rng):
    table, values, read_config, read_params, _ = source
    config = read_config(values)
    arrays, _ = checkpoint(table, config, rng)
    for name, value in arrays.items():
        rest = {n: v for n, v in arrays.items() if n != name}
        shape = re.escape(str(value.shape))
        if name.endswith(("weight_g", "weight_v", "bias")) and "res" not in name:
            with pytest.raises(UserError, match=f"^{name}: missing.*{shape}.*--source"):
                read_params(rest, config)
        else:
            with pytest.raises(UserError, match=rf"^{name}: missing"):
                read_params(rest, config)


def test_each_wrong_shape_and_value_is_named(source, rng):
    table, values, read_config, read_params, _ = source
    config = read_config(values)
    arrays, _ = checkpoint(table, config, rng)
    for name, value in arrays.items():
        with pytest.raises(UserError, match=rf"^{name}: shape \(.*\), expected \(.*config"):
            read_params(arrays | {name: np.stack([value, value])}, config)
        broken = value.copy()
        broken.flat[-1] = np.nan
        with pytest.raises(UserError, match=rf"^{name}: .* not finite; take"):
            read_params(arrays | {name: broken}, config)


def test_a_norm_per_input_is_refused(rng):
    config = parakeet_config(PARAKEET)
    arrays, _ = checkpoint(V3, config, rng, style="column")
    name = "decoder.0.input_proj.weight_g"
    arrays[name] = arrays[name].reshape(1, 6, 1, 1)
    with pytest.raises(UserError, match=r"expected \(6,\) or \(6, 1, 1, 1\)"):
        parakeet_params(arrays, config)


def test_what_is_left_over_is_listed(source, rng):
    table, values, read_config, read_params, _ = source
    config = read_config(values)
    arrays, _ = checkpoint(table, config, rng)
    extra = {f"extra.{n}": np.zeros((n, 2)) for n in range(1, 8)}
    with pytest.raises(UserError, match=r"^extra\.1 \(1, 2\), .*extra\.5 .* and 2 more: exp"):
        read_params(arrays | extra, config)
    fewer = read_config(values | {"n_flows": 2, "n_flow": 2})
    with pytest.raises(UserError, match=r"\.?2\..* more: expected none of these"):
        read_params(arrays, fewer)


@pytest.mark.parametrize("read", [from_parakeet, from_l0sg])
def test_an_empty_checkpoint(read):
    values = PARAKEET if read is from_parakeet else L0SG
    with pytest.raises(UserError, match=r"missing, .* has no others"):
        read({}, values)


# Configurations


def test_parakeet_of_2019():
    """Reads the YAML of its first release."""
    text = {"sample_rate": 22050, "fft_window_shift": 256, "fft_window_size": 1024}
    text |= {"fft_size": 1024, "mel_bands": 80, "mel_fmin": 0.0, "mel_fmax": 8000.0, "seed": 1}
    text |= {"n_flows": 8, "n_group": 16, "n_layers": 8, "n_channels": 64, "kernel_h": 3}
    config = parakeet_config(text | {"kernel_w": 3, "sigma": 1.0})
    assert config == WaveFlowConfig(height_dilations=(1,) * 8)
    assert config.permutation == "bipartite"
    assert config.mel.center


def test_parakeet_with_sections():
    data = {"sample_rate": 24000, "n_fft": 2048, "win_length": 1200, "hop_length": 300}
    model = {"upsample_factors": [10, 30], "n_flows": 8, "n_layers": 8, "n_group": 32}
    model |= {"channels": 128, "kernel_size": [3, 3], "sigma": 1.0}
    config = parakeet_config({"data": data | {"n_mels": 80}, "model": model, "training": {}})
    assert config.height_dilations == (1, 2, 4, 1, 2, 4, 1, 2)
    assert config.upsample_factors == (10, 30)
    assert (config.mel.hop_length, config.mel.f_max, config.mel.n_mels) == (300, 12000.0, 80)
    assert config.mel.peak_normalize
    assert not config.mel.center
    more = parakeet_config({"data": data | {"n_mels": 80, "f_max": 8000}, "model": model})
    assert more.mel.f_max == 8000.0


def test_l0sg_with_sections():
    model = {"cin_channels": 80, "res_channels": 128, "n_height": 64, "n_layer": 8, "n_flow": 8}
    model |= {"n_layer_per_cycle": 5, "coupling_type": "waveflow_bipartize"}
    data = {"sampling_rate": 22050, "filter_length": 1024, "hop_length": 256, "win_length": 1024}
    data |= {"mel_fmin": 0.0, "mel_fmax": 8000.0}
    config = l0sg_config({"waveflow_config": model, "data_config": data, "train_config": {}})
    assert config.height_dilations == (1, 2, 4, 8, 16, 1, 2, 4)
    assert config.permutation == "bipartite"
    assert l0sg_config(L0SG).permutation == "reverse"


@pytest.mark.parametrize(
    ("read", "values", "message"),
    [
        (parakeet_config, {"n_group": 12}, "n_group 12, n_layers 2: Parakeet has n_group 8, 16"),
        (parakeet_config, {"n_flows": None}, "n_flows None is not a whole number"),
        (parakeet_config, {"n_flows": True}, "n_flows True is not a whole number"),
        (parakeet_config, {"kernel_size": [3, 5]}, r"kernel_size \[3, 5\]: only square"),
        (parakeet_config, {"kernel_size": 3}, "kernel_size 3: only square"),
        (parakeet_config, {"kernel_size": [4, 4]}, "makes no model: kernel 4 is not odd"),
        (parakeet_config, {"upsample_factors": "16"}, "upsample_factors '16': not a list"),
        (parakeet_config, {"hop_length": 256}, "multiply to 32, but the hop is 256"),
        (parakeet_config, {"f_max": "8k"}, "f_min|f_max '8k' is not a frequency"),
        (l0sg_config, {"coupling_type": "affine"}, "coupling_type 'affine': only waveflow, "),
        (l0sg_config, {"n_height": 7}, "makes no model: height 7"),
        (l0sg_config, {"use_dbmel": True}, "use_dbmel: decibel mels"),
    ],
)
def test_faults_of_configurations(read, values, message):
    base = PARAKEET if read is parakeet_config else L0SG
    with pytest.raises(UserError, match=message) as caught:
        read(base | values)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", [*PARAKEET, *L0SG])
def test_a_missing_value_is_named(name):
    base, read = (PARAKEET, parakeet_config) if name in PARAKEET else (L0SG, l0sg_config)
    if name == "upsample_factors":  # [16, 16] where a source does not say
        assert read({n: v for n, v in base.items() if n != name}).upsample_factors == (16, 16)
        return
    missing = "bipartize" if name == "coupling_type" else name
    with pytest.raises(UserError, match=f"has no {missing}; add it"):
        read({n: v for n, v in base.items() if n != name})


def test_a_configuration_that_is_no_table():
    with pytest.raises(UserError, match="not a table"):
        parakeet_config([1])


# The reference vectors


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # With weight norm, the last layer's residual half dropped.
        ("parakeet_h8_c32", 8),
        ("parakeet_h32_c16_small", 4),
        ("l0sg_h16_c32_bipartize", 4),
        ("l0sg_h32_c16_reverse", 4),
    ],
)
def test_reference_checkpoints(name, count):
    if not (REFERENCE / f"{name}.npz").is_file():
        pytest.skip("the reference vectors are not here (../shared/reference/waveflow)")
    values = json.loads((REFERENCE / f"{name}.json").read_text())
    with np.load(REFERENCE / f"{name}.npz") as file:
        arrays = {n.removeprefix("param."): file[n] for n in file.files if n.startswith("param.")}
    build = from_parakeet if name.startswith("parakeet") else from_l0sg
    model = build(arrays, values)
    c, m, config = model.config.channels, model.config.mel.n_mels, model.config
    per_layer = 18 * c * c + 2 * c + 2 * m * c + 2 * c + 2 * c * c + 2 * c + 6 * c
    per_flow = 3 * c + 8 * per_layer - (c * c + 2 * c) + 2 * c + 2
    upsampler = sum(3 * 2 * factor + 2 for factor in config.upsample_factors)
    _, params = split(model)
    assert config.flows == count
    assert sum(v.size for v in params.values()) == count * per_flow + upsampler
