"""NVIDIA's WaveGlow checkpoints: every array arrives at its place; every fault is named."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from wf_jax.errors import UserError
from wf_jax.flows.families import new_flow
from wf_jax.flows.model_folder import load_model
from wf_jax.flows.waveglow_config import WaveGlowConfig
from wf_jax.interop import from_nvidia_waveglow, read_arrays, waveglow_config
from wf_jax.interop.waveglow import waveglow_params
from wf_jax.modules import split

BANDS, GROUPS, CHANNELS, LAYERS, HOP = 3, 4, 6, 2, 8
VALUES = {
    "waveglow_config": {
        "n_mel_channels": BANDS,
        "n_flows": 3,
        "n_group": GROUPS,
        "n_early_every": 2,
        "n_early_size": 2,
        "WN_config": {"n_layers": LAYERS, "n_channels": CHANNELS, "kernel_size": 3},
    },
    "data_config": {"hop_length": HOP, "filter_length": 32, "win_length": 32, "segment_length": 1},
    "train_config": {"sigma": 1.0},
}
# Flow: stage, its number there, its channels.
FLOWS = {0: (0, 0, 4), 1: (0, 1, 4), 2: (1, 0, 2)}


def drawn(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def layers(net, channels):
    """Returns the weight-normed layers of one net: our name, theirs, their kernel's shape."""
    yield "start", f"{net}.start", (CHANNELS, channels // 2, 1)
    for n in range(LAYERS):
        outputs = CHANNELS if n == LAYERS - 1 else 2 * CHANNELS
        yield f"layers/{n}/conv", f"{net}.in_layers.{n}", (2 * CHANNELS, CHANNELS, 3)
        shape = (2 * CHANNELS, BANDS * GROUPS, 1)
        yield f"layers/{n}/condition", f"{net}.cond_layers.{n}", shape
        yield f"layers/{n}/out", f"{net}.res_skip_layers.{n}", (outputs, CHANNELS, 1)


def arranged(ours, kernel):
    """Rearranges their [O, I, taps] as ours, in slow loops for the condition."""
    if ours.endswith("conv"):
        return np.einsum("oit->tio", kernel)[None]
    if not ours.endswith("condition"):
        return kernel[:, :, 0].T
    found = np.zeros((GROUPS * BANDS, len(kernel)), np.float32)
    for m in range(BANDS):  # theirs at m * groups + i
        for i in range(GROUPS):
            found[i * BANDS + m] = kernel[:, m * GROUPS + i, 0]
    return found


def spelled(name, kernel, gain, bias, style):
    column = gain.reshape(-1, 1, 1)
    parts = {
        "weight_norm": {"weight_g": column, "weight_v": kernel},
        "parametrized": {
            "parametrizations.weight.original0": column,
            "parametrizations.weight.original1": kernel,
        },
        "removed": {"weight": kernel},
    }
    return {f"{name}.{part}": value for part, value in parts[style].items()} | {
        f"{name}.bias": bias
    }


def checkpoint(rng, *, style="weight_norm", fused=True):
    """Makes random arrays of NVIDIA's code, and the expected ones of ours."""
    arrays = {"upsample.weight": drawn(rng, BANDS, BANDS, 4 * HOP)}
    arrays["upsample.bias"] = drawn(rng, BANDS)
    expected = {"upsampler/kernel": np.einsum("iot->tio", arrays["upsample.weight"])}
    expected["upsampler/bias"] = arrays["upsample.bias"]
    for k, (stage, number, channels) in FLOWS.items():
        net, conditions, ours = f"WN.{k}", [], {}
        for name, theirs, shape in layers(net, channels):
            layer = drawn(rng, *shape), np.abs(drawn(rng, shape[0])), drawn(rng, shape[0])
            if fused and "cond_layers" in theirs:
                conditions.append(layer)
            else:
                arrays |= spelled(theirs, *layer, style)
            parts = arranged(name, layer[0]), *layer[1:]
            ours |= {
                f"net/{name}/{part}": value
                for part, value in zip(("kernel", "gain", "bias"), parts, strict=True)
            }
        if fused:
            parts = (np.concatenate(part) for part in zip(*conditions, strict=True))
            arrays |= spelled(f"{net}.cond_layer", *parts, style)
        arrays[f"{net}.end.weight"] = drawn(rng, channels, CHANNELS, 1)
        arrays[f"{net}.end.bias"] = drawn(rng, channels)
        arrays[f"convinv.{k}.conv.weight"] = drawn(rng, channels, channels, 1)
        ours["net/end/kernel"] = arrays[f"{net}.end.weight"][:, :, 0].T
        ours["net/end/bias"] = arrays[f"{net}.end.bias"]
        ours["mixing"] = arrays[f"convinv.{k}.conv.weight"][:, :, 0]
        for name, value in ours.items():
            expected[f"stages/{stage}/{name}", number] = value
    return arrays, expected


def check(params, expected):
    """Checks that all arrays of ours match, and that there are no others."""
    names = {name if isinstance(name, str) else name[0] for name in expected}
    assert set(params) == names
    for key, value in expected.items():
        found = params[key] if isinstance(key, str) else params[key[0]][key[1]]
        np.testing.assert_array_equal(found, value, err_msg=str(key), strict=True)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("style", ["weight_norm", "parametrized"])
def test_every_array_arrives_at_its_place(rng, style, fused):
    """Catches a transposed matrix, swapped bands and samples, or a flow at a wrong place."""
    arrays, expected = checkpoint(rng, style=style, fused=fused)
    check(waveglow_params(arrays, waveglow_config(VALUES)), expected)


@pytest.mark.parametrize("fused", [True, False])
def test_weights_without_weight_norm_are_the_same_weights(rng, fused):
    """Catches a gain unlike the norm of each output, which slices of the fused layer keep."""
    arrays, expected = checkpoint(rng, style="removed", fused=fused)
    params = waveglow_params(arrays, waveglow_config(VALUES))
    for key, value in expected.items():
        name, number = (key, slice(None)) if isinstance(key, str) else key
        found = params[name][number]
        if f"{name.removesuffix('/kernel')}/gain" in params and name.endswith("kernel"):
            gain = params[f"{name.removesuffix('/kernel')}/gain"][number]
            norm = np.sqrt(np.square(found).sum(tuple(range(found.ndim - 1))))
            found = found * gain / norm
        if not name.endswith("gain"):
            np.testing.assert_allclose(found, value, rtol=1e-6, err_msg=name)


@pytest.mark.slow
def test_a_checkpoint_becomes_a_model_folder(rng, tmp_path):
    """Follows the command's path: files, model, folder and back, with family and names."""
    arrays, expected = checkpoint(rng)
    np.savez(tmp_path / "a.npz", **{f"module.{name}": value for name, value in arrays.items()})
    (tmp_path / "a.json").write_text(json.dumps(VALUES))
    files = {"input": "a.npz", "source_config": "a.json", "output": "model"}
    options = [f"--{name}={tmp_path}/{file}" for name, file in files.items()]
    result = subprocess.run(
        [sys.executable, "-m", "experiments.convert", "--source=nvidia", *options],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=300,
    )
    assert result.stdout.startswith(f"{tmp_path}/model: WaveGlow with "), result.stderr
    model = load_model(tmp_path / "model")
    assert model.config == waveglow_config(VALUES)
    check(split(model)[1], expected)
    fresh = jax.eval_shape(lambda: new_flow(model.config, rng))
    assert split(fresh)[0] == split(model)[0]


def test_each_fault_of_an_array_is_named(rng):
    """The message tells missing, misshapen and non-finite arrays apart."""
    config = waveglow_config(VALUES)
    arrays, _ = checkpoint(rng)
    for name, value in arrays.items():
        known = f"^{re.escape(name.removesuffix('_g').removesuffix('_v'))}"
        with pytest.raises(UserError, match=rf"{known}.*: missing, .*--source"):
            waveglow_params({n: v for n, v in arrays.items() if n != name}, config)
        with pytest.raises(UserError, match=rf"^{re.escape(name)}: shape .*, expected \("):
            waveglow_params(arrays | {name: np.stack([value, value])}, config)
        with pytest.raises(UserError, match=rf"^{re.escape(name)}: .* not finite; take"):
            waveglow_params(arrays | {name: value * np.nan}, config)


@pytest.mark.parametrize("style", ["weight_norm", "removed"])
def test_what_is_left_over_is_listed(rng, style):
    """Both spellings of the conditions at once, or an extra flow, are another model."""
    arrays, _ = checkpoint(rng, fused=False, style=style)
    other, _ = checkpoint(rng, style=style)
    both = arrays | {name: value for name, value in other.items() if "cond_layer." in name}
    with pytest.raises(UserError, match=r"^WN\.0\.cond_layer\..*: expected none of these"):
        waveglow_params(both, waveglow_config(VALUES))
    fewer = VALUES | {"waveglow_config": VALUES["waveglow_config"] | {"n_flows": 2}}
    with pytest.raises(UserError, match=r"WN\.2\..* more: expected none of these"):
        waveglow_params(arrays, waveglow_config(fewer))


def test_a_pickled_model_is_refused_with_the_remedy(tmp_path):
    """The released files hold NVIDIA's model object: reading it would run code."""
    (tmp_path / "released.pt").write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2))
    with pytest.raises(UserError, match=r"torch\.save its state_dict\(\) again"):
        read_arrays(tmp_path / "released.pt")


# Configurations


def test_the_released_configuration():
    """NVIDIA's config.json is the default of `WaveGlowConfig`; the mel has centered frames."""
    net = {"n_layers": 8, "n_channels": 256, "kernel_size": 3}
    model = {"n_mel_channels": 80, "n_flows": 12, "n_group": 8, "n_early_every": 4}
    model |= {"n_early_size": 2, "WN_config": net}
    data = {"training_files": "train_files.txt", "segment_length": 16000, "sampling_rate": 22050}
    data |= {"filter_length": 1024, "hop_length": 256, "win_length": 1024}
    data |= {"mel_fmin": 0.0, "mel_fmax": 8000.0}
    config = waveglow_config({"waveglow_config": model, "data_config": data})
    assert config == WaveGlowConfig()
    assert config.mel.center
    assert not config.mel.peak_normalize
    assert waveglow_config(model | data) == config  # flat


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_group": 3}, "makes no model: groups 3 is not an even number"),
        ({"n_group": 16}, r"makes no model: the hop 8 is not a multiple of groups 16"),
        ({"n_early_size": 4}, "leave nothing of groups 4"),
        ({"n_flows": "3"}, "n_flows '3' is not a whole number"),
        ({"WN_config": None}, "the source configuration has no n_layers; add it"),
    ],
)
def test_faults_of_configurations(values, message):
    """Configurations that are no WaveGlow's are refused in the source's words, in one line."""
    with pytest.raises(UserError, match=message) as caught:
        waveglow_config(VALUES | {"waveglow_config": VALUES["waveglow_config"] | values})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", [n for n in VALUES["waveglow_config"] if n != "WN_config"])
def test_a_missing_value_is_named(name):
    """No size of the net has a default that a checkpoint may not have."""
    model = {n: v for n, v in VALUES["waveglow_config"].items() if n != name}
    with pytest.raises(UserError, match=f"has no {name}; add it"):
        waveglow_config(VALUES | {"waveglow_config": model})


def test_the_model_is_the_configuration_s(rng):
    """The model that comes back is the one that the source describes."""
    arrays, _ = checkpoint(rng)
    assert from_nvidia_waveglow(arrays, VALUES).config == waveglow_config(VALUES)
