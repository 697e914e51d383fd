"""WaveGlow against NVIDIA's own code, slow loops, and the properties of its layout."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.flows import small
from tests.quick_jit import quick_jit
from wf_jax.flows.families import new_flow
from wf_jax.flows.waveglow import GlowUpsampler
from wf_jax.flows.waveglow_config import WaveGlowConfig
from wf_jax.interop import from_nvidia_waveglow
from wf_jax.modules import split

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "waveflow"
DOUBLE = {"compute_dtype": "float64"}


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def close(actual, expected, tolerance=1e-10):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@quick_jit
def density(model, x, mel):
    return model.forward(x, mel)


@quick_jit
def generate(model, z, mel):
    return model.inverse(z, mel)


def mixings(model):
    """Returns W of every flow."""
    return [np.float64(w) for flows in model.stages for w in flows.mixing[...]]


# Against others


@pytest.mark.slow
def test_parity_with_nvidia():
    """Catches wrong channel order, condition bands, halves or early outputs.

    The vectors are float32; measured: 3e-7 of scale. The sum of log |det W| is of rotations: zero
    but for rounding, theirs one of float32.
    """
    path = REFERENCE / "waveglow_12flows_c32.npz"
    if not path.is_file():
        pytest.skip("the reference vectors are not here (../shared/reference/waveflow)")
    with np.load(path) as file:
        vectors = {name: file[name] for name in file.files}
    params = {n.removeprefix("param."): v for n, v in vectors.items() if n.startswith("param.")}
    model = from_nvidia_waveglow(params, json.loads(path.with_suffix(".json").read_text()))
    audio = vectors["audio"]
    z, log_det = density(model, audio, vectors["mel"])
    expected = vectors["z"].swapaxes(1, 2).reshape(audio.shape)  # [B, 8, W]: early outputs first
    assert np.abs(expected - audio).max() > 0.1
    np.testing.assert_allclose(z, expected, atol=2e-6 * np.abs(expected).max())
    columns = audio.size // 8
    mixed = columns * sum(np.linalg.slogdet(w)[1] for w in mixings(model))
    assert mixed == pytest.approx(float(vectors["log_det_W_sum"]), abs=1e-7 * columns * 12)
    log_scales = float(vectors["log_s_sum"])
    assert np.float64(log_det).sum() - mixed == pytest.approx(log_scales, rel=1e-5)
    assert abs(log_scales) > 100


def slow_upsample(kernel, bias, mel, hop):
    """Upsamples mel [M, F] -> [M, F * hop]; frame f adds from its sample f * hop on."""
    bands, frames = mel.shape
    found = np.zeros((bands, frames * hop)) + bias[:, None]
    for f in range(frames):
        for k in range(len(kernel)):
            if f * hop + k < frames * hop:
                for m in range(bands):
                    found[:, f * hop + k] += mel[m, f] * kernel[k, m]
    return found


def slow_net(params, x, c, dilations):
    """Computes x [I, W] and c [D, W] -> the net's outputs [W, O]."""
    hidden = x.T @ small.normed(params, "net/start") + params["net/start/bias"]
    width, channels = hidden.shape
    skips = np.zeros((width, channels))
    for number, dilation in enumerate(dilations):
        name = f"net/layers/{number}"
        kernel = small.normed(params, f"{name}/conv")[0]
        a = c.T @ small.normed(params, f"{name}/condition")
        a += params[f"{name}/conv/bias"] + params[f"{name}/condition/bias"]
        for w in range(width):
            for tap in range(3):
                if 0 <= w + (tap - 1) * dilation < width:
                    a[w] += hidden[w + (tap - 1) * dilation] @ kernel[tap]
        gated = np.tanh(a[:, :channels]) / (1 + np.exp(-a[:, channels:]))
        out = gated @ small.normed(params, f"{name}/out") + params[f"{name}/out/bias"]
        skips += out[:, -channels:]
        if number < len(dilations) - 1:
            hidden = hidden + out[:, :channels]
    return skips @ params["net/end/kernel"] + params["net/end/bias"]


@pytest.mark.usefixtures("double")
def test_all_flows_in_slow_loops():
    """Spells out y = W x, shift before log scale, and the channels that leave early."""
    config = small.waveglow_config(
        groups=6, mel=dataclasses.replace(small.MEL, hop_length=12), **DOUBLE
    )
    model = small.random_model(config)
    x, mel = small.random_inputs(config, 1, 36)
    params = small.plain_params(model)
    kernel, bias = params["upsampler/kernel"], params["upsampler/bias"]
    c = slow_upsample(kernel, bias, mel[0], 12)[:, :36]
    c = np.concatenate([c[:, i::6] for i in range(6)])  # sample i of each column, all its bands
    channels, early, total = x[0].reshape(-1, 6).T, [], 0.0
    for k in range(3):
        if k == 2:
            early, channels = [channels[:2]], channels[2:]
        prefix = f"stages/{k // 2}/"
        flow = {n.removeprefix(prefix): v[k % 2] for n, v in params.items() if n.startswith(prefix)}
        y = flow["mixing"] @ channels
        kept, changed = np.split(y, 2)
        shift, log_scale = np.split(slow_net(flow, kept, c, (1, 2)).T, 2)
        channels = np.concatenate([kept, np.exp(log_scale) * changed + shift])
        total += np.sum(log_scale) + 6 * np.log(np.abs(np.linalg.det(flow["mixing"])))
    expected = np.concatenate([*early, channels]).T.reshape(1, -1)
    z, log_det = density(model, x, mel)
    close(z, expected)
    close(log_det, [total])


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("hops", [1, 3])
def test_the_upsampler(hops):
    """Compares with the scatter form; a sample sees `upsampler_frames` frames before its own."""
    config = small.waveglow_config(upsample_hops=hops)
    single = GlowUpsampler(config, rng=np.random.default_rng(0))
    model = jax.tree.map(lambda array: array.astype(jnp.float64), single)
    kernel, bias = (np.float64(p[...]) for p in (model.kernel, model.bias))
    mel = np.random.default_rng(1).standard_normal((2, 4, 5))
    found = model(jnp.asarray(mel), jnp.array([5, 2]))
    close(found[0].T, slow_upsample(kernel, bias, mel[0], 16))
    mel[1, :, 2:] = 0  # frames that are not real
    close(found[1].T, slow_upsample(kernel, bias, mel[1], 16))
    assert found.shape == (2, 80, 4)
    impulse = np.zeros((1, 4, 5))
    impulse[0, :, 1] = 1
    touched = np.any(model(jnp.asarray(impulse))[0] != bias, axis=1).reshape(5, 16)
    assert config.upsampler_frames == hops - 1
    np.testing.assert_array_equal(touched.any(axis=1), [0 <= f - 1 < hops for f in range(5)])
    assert touched[1].all()


# Both directions


@quick_jit
def jacobian(model, x, mel):
    return jax.jacrev(lambda x: model.forward(x, mel)[0][0])(x)[:, 0]


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_mixing_of_negative_determinant_and_a_column_that_is_not_full():
    """Uses log |det W| where torch.logdet is NaN; the last T % groups samples are copied."""
    config = small.waveglow_config(**DOUBLE)
    model = small.random_model(config)
    for flows in model.stages:
        w = flows.mixing[...]
        flows.mixing[...] = w.at[0, 0].multiply(-1.7)
    signs = [np.sign(np.linalg.det(w)) for w in mixings(model)]
    assert -1 in signs
    x, mel = small.random_inputs(config, 1, 27)
    z, log_det = density(model, x, mel)
    close(generate(model, z, mel), x)
    close(density(model, generate(model, x, mel), mel)[0], x)
    np.testing.assert_array_equal(z[:, 24:], x[:, 24:])
    found = jacobian(model, x, mel)
    close(np.linalg.slogdet(found)[1], log_det[0])
    np.testing.assert_array_equal(found[24:], np.eye(27)[24:])
    np.testing.assert_array_equal(found[:24, 24:], 0)
    assert (np.abs(found[:24, :24]) > 0).mean() > 0.9


@quick_jit
def middle_by_all(model, x, mel):
    """Returns how much each sample affects the middle column of latent and audio."""
    groups = model.config.groups
    first = x.shape[1] // groups // 2 * groups

    def both(x):
        results = model.forward(x, mel)[0], model.inverse(x, mel)
        return jnp.stack(results)[:, 0, first : first + groups]

    return jnp.abs(jax.jacrev(both)(x)).max(axis=(1, 2))


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_the_reach_in_both_directions():
    """Needs exactly `context_samples` on each side: with one less, joined chunks would differ."""
    config = small.waveglow_config(groups=8, **DOUBLE)
    assert config.context_samples == 3 * (1 + 2) * 8
    model = small.random_model(config, amount=0.3)
    columns = 2 * 9 + 5
    x, mel = small.random_inputs(config, 1, 8 * columns)
    apart = np.abs(np.arange(columns) - columns // 2)
    for by in middle_by_all(model, x, mel):
        found = by.reshape(columns, 8).max(axis=1)
        np.testing.assert_array_equal(found > 0, 8 * apart <= config.context_samples)


# Configurations


@pytest.mark.parametrize(
    ("flows", "channels", "count"),
    [
        (12, 64, 17_595_752),
        (12, 128, 34_830_440),
        (12, 256, 87_879_272),
        pytest.param(12, 512, 268_294_760, marks=pytest.mark.exhaustive),
        (6, 256, 47_219_652),
    ],
)
def test_parameter_counts_of_the_paper(rng, flows, channels, count):
    """Expects 17.59M, 34.83M, 87.88M, 268.29M and 47.22M: with the gains.

    One flow of each stage is made, of four or fewer.
    """
    config = WaveGlowConfig(channels=channels, flows=3, early_every=1)
    shapes = split(jax.eval_shape(lambda: new_flow(config, rng)))[1]
    stages = WaveGlowConfig(channels=channels, flows=flows).stages
    assert [size for _, size in stages] == [8, 6, 4][: len(stages)]
    sizes = {name: int(np.prod(shape.shape)) for name, shape in shapes.items()}
    total = sum(size for name, size in sizes.items() if name.startswith("upsampler/"))
    for number, (flows_there, _) in enumerate(stages):
        prefix = f"stages/{number}/"
        one = sum(size for name, size in sizes.items() if name.startswith(prefix))
        total += flows_there * one
    assert total == count


def test_stages():
    """Channels leave before flows 4 and 8, four remain; none leave where the config says 0."""
    assert WaveGlowConfig().stages == ((4, 8), (4, 6), (4, 4))
    assert WaveGlowConfig(flows=6).stages == ((4, 8), (2, 6))
    assert WaveGlowConfig(early_every=0).stages == ((12, 8),)
    assert WaveGlowConfig().context_samples == 12 * 255 * 8
    assert WaveGlowConfig().sequential_steps(10**6) == 12


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"groups": 3}, "groups 3 is not an even number above 0"),
        ({"groups": 32}, "the hop 16 is not a multiple of groups 32; choose groups that divide"),
        ({"early_size": 1}, "early_size 1 is not an even number above 0"),
        ({"early_every": -1}, "early_every -1 is below 0; 0 is for none"),
        ({"early_every": 1}, "leave nothing of groups 4; choose early_every=0 or more groups"),
        ({"kernel": 2}, "kernel 2 is not odd; choose 3"),
        ({"upsample_hops": 0}, "upsample_hops 0 is below 1"),
    ],
)
def test_faults_of_configurations(values, message):
    """A net that could not be built is refused with the reason, in one line."""
    with pytest.raises(ValueError, match=message) as caught:
        small.waveglow_config(**values)
    assert len(str(caught.value).splitlines()) == 1
