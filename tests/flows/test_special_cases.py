"""Families that contain one another: WaveFlow as WaveNet and as coupling, WaveGlow as WaveNet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.flows.small import config, plain_params, random_inputs, random_model, slow_upsample
from tests.quick_jit import quick_jit
from wf_jax.flows.gated_net import GatedNet, NetShape
from wf_jax.flows.heads import Gaussian
from wf_jax.flows.wavenet import WaveNet
from wf_jax.flows.wavenet_config import WaveNetConfig
from wf_jax.modules import split


def as_wavenet(waveflow):
    """Converts a WaveFlow of one flow and one column to the same affine WaveNet.

    There are no neighboring columns: only the middle column of each kernel is used. Its norm is a
    part of the whole kernel's, and the gain shrinks with it.
    """
    settings = waveflow.config
    same = ("mel", "layers", "channels", "upsample_factors", "compute_dtype")
    values = {name: getattr(settings, name) for name in same}
    net = WaveNet(WaveNetConfig(head="affine", cycle=2, **values), np.random.default_rng(0))
    assert [d for d, _ in net.config.dilations] == [d for d, _ in settings.dilations]
    definition, fresh = split(net)
    params = {}
    for name, value in plain_params(waveflow).items():
        params[name.replace("flows/", "nets/0/")] = value if "upsampler" in name else value[0]
    for number in range(settings.layers):
        name = f"nets/0/layers/{number}/conv"
        kernel = params[f"{name}/kernel"]
        kept = kernel[:, 1:2]
        share = np.sum(kept**2, axis=(0, 1, 2)) / np.sum(kernel**2, axis=(0, 1, 2))
        params[f"{name}/kernel"] = kept
        params[f"{name}/gain"] = params[f"{name}/gain"] * np.sqrt(share)
    assert {k: np.shape(v) for k, v in params.items()} == {k: v.shape for k, v in fresh.items()}
    return definition({name: jnp.asarray(value) for name, value in params.items()})


@pytest.mark.slow
def test_a_waveflow_as_high_as_the_clip_is_long_is_a_wavenet():
    """Catches rows that see other samples than a WaveNet, or other densities.

    The WaveFlow copies the first sample, of which the WaveNet has a density of its own.
    """
    samples = 10
    with jax.enable_x64(True):
        settings = config(
            height=samples,
            flows=1,
            height_dilations=(1, 2),
            permutation="reverse",
            compute_dtype="float64",
        )
        waveflow = random_model(settings)
        wavenet = as_wavenet(waveflow)
        x, mel = map(jnp.asarray, random_inputs(settings, 1, samples))

        def of_waveflow(model, x):
            # The clip, and as many more in each of which one sample is larger by one.
            clips = x + jnp.eye(samples + 1, samples, -1)
            mels = jnp.broadcast_to(mel, (samples + 1, *mel.shape[1:]))
            z, log_det = model.forward(clips, mels)
            return z[0], log_det[0], jnp.log(jnp.diag(z[1:] - z[0]))

        def of_wavenet(model, x):
            return model.forward(x, mel), model.parameters(x, mel)[0], model.log_densities(x, mel)

        z, log_det, log_slopes = quick_jit(of_waveflow)(waveflow, x)
        (same_z, same_log_det), out, densities = quick_jit(of_wavenet)(wavenet, x)
        log_scale, shift = out[:, 0], out[:, 1]
        assert jnp.max(jnp.abs(z - x[0])[1:]) > 0.1
        np.testing.assert_allclose(z[1:], same_z[0, 1:], atol=1e-12)
        assert abs(same_z[0, 0] - z[0]) > 0.01  # copied there, predicted here
        np.testing.assert_allclose(log_slopes[1:], log_scale[1:], atol=1e-12)
        np.testing.assert_allclose(same_log_det[0] - log_scale[0], log_det, atol=1e-12)

        def normal(x, mean, log_deviation):
            z = (x - mean) / np.exp(log_deviation)
            return -0.5 * z**2 - log_deviation - 0.5 * np.log(2 * np.pi)

        np.testing.assert_allclose(
            densities[0, 1:], normal(z, 0, 0)[1:] + log_slopes[1:], atol=1e-12
        )
        mean, log_deviation = -shift * np.exp(-log_scale), -log_scale
        np.testing.assert_allclose(densities[0], normal(x[0], mean, log_deviation), atol=1e-12)
        gaussian = Gaussian(affine=False).log_prob(jnp.stack([mean, log_deviation], -1), x[0])
        np.testing.assert_allclose(densities[0], gaussian, atol=1e-12)

        # The same noise; the first so that the first sample of both is the same.
        noise = random_inputs(settings, 1, samples, seed=5)[0]
        audio = quick_jit(lambda m, z: m.inverse(z, mel))(waveflow, jnp.asarray(noise))
        noise[0, 0] = np.exp(log_scale[0]) * audio[0, 0] + shift[0]
        drawn = quick_jit(lambda m, z: m.generate(z, jnp.zeros(1, jnp.uint32), mel))(
            wavenet, jnp.asarray(noise)
        )
        np.testing.assert_allclose(drawn, audio, atol=1e-12)


def slow_columns_net(params, x, c, dilations, kernel_row):
    """Computes a gated net over columns alone, in loops: x [W, I] and c [W, D] -> [W, O].

    Every dilated layer is a plain convolution of three taps, centered, with zeros around it.
    """

    def weight(name):
        kernel = params[f"{name}/kernel"]
        norm = np.sqrt(np.sum(kernel**2, axis=tuple(range(kernel.ndim - 1))))
        return kernel * params[f"{name}/gain"] / norm

    width, h, skips = len(x), x @ weight("start") + params["start/bias"], 0.0
    channels = h.shape[1]
    for number, dilation in enumerate(dilations):
        name = f"layers/{number}"
        kernel, out = weight(f"{name}/conv")[kernel_row], weight(f"{name}/out")
        a = c @ weight(f"{name}/condition") + params[f"{name}/condition/bias"]
        a = a + params[f"{name}/conv/bias"]
        for w in range(width):
            for tap in range(3):
                seen = w + (tap - 1) * dilation
                if 0 <= seen < width:
                    a[w] += h[seen] @ kernel[tap]
        g = np.tanh(a[:, :channels]) / (1 + np.exp(-a[:, channels:]))
        both = g @ out + params[f"{name}/out/bias"]
        skips = skips + both[:, -channels:]
        h = h + both[:, :channels]  # at the last layer of no effect
    return skips @ params["end/kernel"] + params["end/bias"]


@pytest.mark.parametrize("flows", [1, 2])
def test_a_waveflow_of_height_two_is_a_coupling_of_even_and_odd_samples(flows):
    """Maps odd samples from all even ones, and in the second flow the other way round."""
    with jax.enable_x64(True):
        settings = config(height=2, flows=flows, permutation="reverse", compute_dtype="float64")
        model = random_model(settings)
        x, mel = random_inputs(settings, 1, 30)
        z, log_det = quick_jit(lambda m: m.forward(x, mel))(model)
        params = plain_params(model)
    c = slow_upsample(params, mel[0], settings.upsample_factors).T[:30]
    halves, conditions, total = [x[0, ::2], x[0, 1::2]], [c[::2], c[1::2]], 0.0
    for number in range(flows):
        kept, changed = (0, 1) if number == 0 else (1, 0)
        own = {k.removeprefix("flows/"): v[number] for k, v in params.items() if "flows/" in k}
        out = slow_columns_net(own, halves[kept][:, None], conditions[changed], (1, 2), 2)
        halves[changed] = np.exp(out[:, 0]) * halves[changed] + out[:, 1]
        total += np.sum(out[:, 0])
    if flows == 1:
        np.testing.assert_array_equal(z[0, ::2], x[0, ::2])
    assert np.max(np.abs(halves[1] - x[0, 1::2])) > 0.1
    np.testing.assert_allclose(z[0], np.stack(halves, axis=1).ravel(), atol=1e-12)
    np.testing.assert_allclose(log_det[0], total, atol=1e-12)


def test_waveglows_net_is_a_plain_convolution_over_columns(rng):
    """One code serves all gated layers; a single row must use no height tap."""
    with jax.enable_x64(True):
        shape = NetShape(
            inputs=2,
            conditions=5,
            channels=4,
            outputs=4,
            taps=(1, 3),
            dilations=((1, 1), (1, 2), (1, 4)),
            dtype="float64",
            precision="highest",
        )
        net = jax.tree.map(
            lambda v: jnp.asarray(v + 0.3 * rng.standard_normal(np.shape(v))),
            GatedNet(shape, rng=rng),
        )
        x, c = rng.standard_normal((11, 2)), rng.standard_normal((11, 5))
        out = quick_jit(lambda net: net(jnp.asarray(x)[None, None], jnp.asarray(c)[None, None]))(
            net
        )
        params = plain_params(net)
    slow = slow_columns_net(params, x, c, (1, 2, 4), 0)
    assert np.std(slow) > 0.1
    np.testing.assert_allclose(out[0, 0], slow, atol=1e-12)
