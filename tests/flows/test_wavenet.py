"""WaveNet: sample by sample as all at once, and both as slow loops, for every head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.flows.small import MEL, normed, random_inputs, slow_upsample
from tests.quick_jit import quick_jit
from wf_jax.flows.wavenet import WaveNet
from wf_jax.flows.wavenet_config import HEADS, WaveNetConfig
from wf_jax.modules import split


def config(**changes) -> WaveNetConfig:
    values = {
        "layers": 3,
        "cycle": 2,
        "channels": 4,
        "mixtures": 2,
        "companded_classes": 8,
        "upsample_factors": (4, 4),
        "compute_dtype": "float64",
    }
    return WaveNetConfig(**{**values, "mel": MEL, **changes})


def random_model(settings: WaveNetConfig, amount: float = 0.1) -> WaveNet:
    """Adds noise to every array of a fresh model, float64 where that is enabled."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda v: jnp.asarray(
            v + amount * rng.standard_normal(np.shape(v)), jnp.result_type(float)
        ),
        WaveNet(settings, rng),
    )


def slow_outputs(params, number, x, c, dilations, kernel):
    """Computes net `number` for samples x [T] and conditions c [T, M], in loops over time.

    Hidden units before the first sample are zeros; step t sees the samples before t.
    """
    params = {k.removeprefix(f"nets/{number}/"): v for k, v in params.items()}
    conv = [normed(params, f"layers/{i}/conv")[:, 0] for i in range(len(dilations))]
    condition = [normed(params, f"layers/{i}/condition") for i in range(len(dilations))]
    out = [normed(params, f"layers/{i}/out") for i in range(len(dilations))]
    channels = params["start/bias"].size
    hidden = np.zeros((len(dilations), len(x), channels))  # at t: what has seen sample t - 1
    ends = []
    for t in range(len(x)):
        skips = np.zeros(channels)
        h = x[t - 1] * normed(params, "start")[0] + params["start/bias"]
        for i, (dilation, _) in enumerate(dilations):
            if t:
                hidden[i, t] = h
            a = params[f"layers/{i}/conv/bias"] + params[f"layers/{i}/condition/bias"]
            a = a + c[t] @ condition[i]
            for k in range(kernel):
                seen = t - (kernel - 1 - k) * dilation
                if seen > 0:
                    a = a + hidden[i, seen] @ conv[i][k]
            g = np.tanh(a[:channels]) / (1 + np.exp(-a[channels:]))
            both = g @ out[i] + params[f"layers/{i}/out/bias"]
            skips += both[-channels:]
            h = h + both[:channels]  # at the last layer of no effect
        ends.append(skips @ params["end/kernel"] + params["end/bias"])
    return np.array(ends)


def plain(model, mel):
    """Returns parameters in numpy, and the condition [T, M] of one clip."""
    params = {name: np.asarray(value, np.float64) for name, value in split(model)[1].items()}
    return params, slow_upsample(params, mel, model.config.upsample_factors).T


# Head, taps, layers, samples, and whether the clips' lengths differ. Three layers reach 8 samples
# back, beyond most of these clips; one or two samples leave the ring caches empty.
CASES = [
    ("gaussian", 3, 2, 12, True),
    ("logistic_mixture", 3, 3, 6, True),
    ("gaussian", 3, 2, 1, False),
    *[
        pytest.param(*case, marks=pytest.mark.exhaustive)
        for case in [
            ("softmax", 2, 2, 5, False),
            ("affine", 2, 4, 8, False),
            ("gaussian_mixture", 1, 2, 6, False),
            ("logistic_mixture", 2, 3, 2, False),
            ("softmax", 3, 4, 13, True),
        ]
    ],
]


@pytest.mark.slow
@pytest.mark.parametrize(("head", "kernel", "layers", "samples", "ragged"), CASES)
def test_every_drawn_sample_follows_from_those_before_it(head, kernel, layers, samples, ragged):
    """Catches a cache that is off by a row, or a random number of another sample or clip."""
    with jax.enable_x64(True):
        model = random_model(config(head=head, kernel=kernel, cycle=4, layers=layers), 0.3)
        noise, mel = map(jnp.asarray, random_inputs(model.config, 2, samples))
        lengths = np.array([samples, samples - 4]) if ragged else None
        seeds = jnp.array([3, 4], jnp.uint32)

        def again(model, audio):
            out = model.parameters(audio, mel, lengths)
            keys = jax.vmap(jax.random.key)(seeds)
            number = jnp.arange(samples)
            keys = jax.vmap(lambda k: jax.vmap(lambda n: jax.random.fold_in(k, n))(number))(keys)
            return jax.vmap(lambda *clip: model.head.draw(*clip, 0.8))(out, noise, keys)

        audio = quick_jit(lambda m: m.generate(noise, seeds, mel, lengths, 0.8))(model)
        redrawn = np.array(quick_jit(again)(model, audio))
        if ragged:
            assert np.all(audio[1, lengths[1] :] == 0)
            redrawn[1, lengths[1] :] = 0
        assert np.std(audio) > 0.1 or samples < 3
        np.testing.assert_allclose(audio, redrawn, atol=1e-10)


@pytest.mark.slow
def test_caches_round_no_worse_than_all_at_once():
    """Catches folded weights or ring caches that lose digits in float32."""
    model = random_model(config(compute_dtype="float32", channels=16))
    noise, mel = jnp.float32(random_inputs(model.config, 1, 40)[0]), jnp.ones((1, 4, 3))
    audio = quick_jit(lambda m: m.inverse(noise, mel))(model)
    z, _ = quick_jit(lambda m: m.forward(audio, mel))(model)
    assert np.max(np.abs(z - audio)) > 0.1
    np.testing.assert_allclose(z, noise, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "cycle"), [(3, 2), pytest.param(2, 3, marks=pytest.mark.exhaustive)]
)
def test_the_outputs_are_those_of_slow_loops(kernel, cycle):
    """Catches faults common to both ways through the code: taps, gates, the first sample."""
    with jax.enable_x64(True):
        model = random_model(config(kernel=kernel, cycle=cycle))
        x, mel = random_inputs(model.config, 1, 18)
        out = quick_jit(lambda m: m.parameters(x, mel))(model)[0]
        params, c = plain(model, mel[0])
    slow = slow_outputs(params, 0, x[0], c, model.config.dilations, kernel)
    np.testing.assert_allclose(out, slow, atol=1e-12)


@pytest.mark.parametrize("flows", [2, pytest.param(3, marks=pytest.mark.exhaustive)])
def test_an_autoregressive_flow_is_its_nets_over_turned_samples(flows):
    """Catches a flow or condition that is not turned, or a log det that misses a net."""
    with jax.enable_x64(True):
        model = random_model(config(head="affine", flows=flows))
        x, mel = random_inputs(model.config, 2, 14)
        lengths = np.array([14, 9])
        z, log_det = quick_jit(lambda m: m.forward(x, mel, lengths))(model)
        params, c = plain(model, mel[1][:, :1])  # nine samples are within the first frame
    expected, c, total = x[1, :9], c[:9], 0.0
    for number in range(flows):
        out = slow_outputs(params, number, expected, c, model.config.dilations, 3)
        expected = np.exp(out[:, 0]) * expected + out[:, 1]
        total += np.sum(out[:, 0])
        expected, c = expected[::-1], c[::-1]
    expected = expected if flows % 2 == 0 else expected[::-1]
    np.testing.assert_allclose(z[1], np.pad(expected, (0, 5)), atol=1e-12)
    np.testing.assert_allclose(log_det[1], total, atol=1e-12)


@pytest.mark.parametrize("kernel", [3, pytest.param(2, marks=pytest.mark.exhaustive)])
def test_a_sample_sees_the_receptive_field_and_no_more(kernel):
    """Catches a look into the future or at itself, or another receptive field."""
    with jax.enable_x64(True):
        model = random_model(config(kernel=kernel))
        field = model.config.receptive_field
        assert field == 1 + (kernel - 1) * (1 + 2 + 1)
        x, mel = random_inputs(model.config, 1, field + 6)

        def predicted(x, model):
            return jnp.sum(model.parameters(x, mel)[0, field + 2])

        seen = np.nonzero(quick_jit(jax.grad(predicted))(jnp.asarray(x), model)[0])[0]
    assert seen.tolist() == list(range(2, field + 2))


def test_the_likelihood_is_the_sum_of_the_real_samples():
    """Catches disagreement of log_prob, z and log_det, or counted padding."""
    with jax.enable_x64(True):
        model = random_model(config())
        x, mel = random_inputs(model.config, 2, 14)
        lengths = np.array([14, 9])

        def both(model):
            z, log_det = model.forward(x, mel, lengths)
            return model.log_densities(x, mel, lengths), z, log_det, model.log_prob(x, mel, lengths)

        each, z, log_det, mean = map(np.asarray, quick_jit(both)(model))
    assert np.all(each[1, 9:] == 0)
    constant = 0.5 * np.log(2 * np.pi) * lengths
    total = log_det - 0.5 * np.sum(np.square(z), axis=1) - constant
    np.testing.assert_allclose(np.sum(each, axis=1), total, rtol=1e-12)
    np.testing.assert_allclose(mean, total / lengths, rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "count"),
    [({}, 4_576_838), ({"flows": 3, "layers": 10, "head": "affine"}, 4_544_842)],
)
def test_parameter_counts_are_the_papers(changes, count):
    """Expects 4.57M and 4.54M; catches an extra product or a missing gain."""
    settings = WaveNetConfig(**changes)
    shapes = jax.eval_shape(lambda: WaveNet(settings, np.random.default_rng(0)))
    assert sum(value.size for value in split(shapes)[1].values()) == count


@pytest.mark.parametrize("head", [head for head in HEADS if head not in ("gaussian", "affine")])
def test_heads_without_a_latent_say_so(head):
    """Catches a number that is no latent, or a default that trains no mixture apart."""
    model = WaveNet(config(head=head, compute_dtype="float32"), np.random.default_rng(0))
    x, mel = np.zeros((1, 16), np.float32), np.zeros((1, 4, 1), np.float32)
    for direction in (model.forward, model.inverse):
        with pytest.raises(ValueError, match=f"a {head} head has no latent: use log_prob"):
            direction(x, mel)
    assert np.std(model.nets[0].end.kernel[...]) > 0.1  # equal components would stay equal


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "mixture"}, "head 'mixture' is none of gaussian, "),
        ({"head": "softmax", "flows": 2}, "head 'softmax' has no latent for another flow"),
        ({"companded_classes": 1}, "companded_classes 1 is below 2"),
        ({"cycle": 0}, "cycle 0 is below 1"),
    ],
)
def test_config_errors_name_the_value(changes, message):
    """Catches a wrong value found only where shapes no longer fit."""
    with pytest.raises(ValueError, match=message):
        config(**changes)
