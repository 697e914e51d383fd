"""One battery over all families of flows: the contract of `Flow`, in float64."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.flows import small
from tests.quick_jit import quick_jit
from wf_jax.flows.families import MODELS, new_flow
from wf_jax.flows.model_folder import load_model, save_model
from wf_jax.flows.vocoder_task import VocoderTask
from wf_jax.modules import split

VARIANTS = {
    "WaveFlow of height 2": small.config(height=2, height_dilations=(1, 2), permutation="reverse"),
    "WaveFlow of height 8": small.config(flows=3, permutation="reverse"),
    "WaveFlow of height 16": small.config(height=16, flows=6, permutation="bipartite"),
    "SourceFilter": small.source_filter_config(),
    "WaveGlow": small.waveglow_config(),
    "WaveNet": small.wavenet_config(),
    "WaveNet, affine": small.wavenet_config(head="affine", kernel=2),
    "2 WaveNets": small.wavenet_config(head="affine", flows=2),
    "3 WaveNets": small.wavenet_config(flows=3),
    "WaveNet of Gaussians": small.wavenet_config(head="gaussian_mixture"),
    "WaveNet of logistics": small.wavenet_config(head="logistic_mixture"),
    "WaveNet of classes": small.wavenet_config(head="softmax"),
}
WITH_LATENT = [name for name, config in VARIANTS.items() if config.has_latent]
WITHOUT = [name for name, config in VARIANTS.items() if not config.has_latent]
# One of each family; what shows in one WaveFlow or one head shows in all.
FIRST = ("WaveFlow of height 16", "SourceFilter", "WaveGlow", "WaveNet")

# No multiple of any group or of the hop; inside a frame and inside a column; none at all.
SAMPLES, LENGTHS = 48, np.array([35, 21, 5, 0])
SEEDS = np.arange(4, dtype=np.uint32)


def each(names, default):
    """Returns the variants; those outside the default run are marked as exhaustive."""
    return pytest.mark.parametrize(
        "name",
        [pytest.param(n, marks=() if n in default else pytest.mark.exhaustive) for n in names],
    )


def close(actual, expected, tolerance=1e-10):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


# Each is compiled once for every variant, however many tests call it.


@quick_jit
def density(model, x, mel, lengths=None):
    """Returns z, log_det and log_prob; without a latent log_prob alone."""
    latent = model.forward(x, mel, lengths) if model.config.has_latent else ()
    return *latent, model.log_prob(x, mel, lengths)


@quick_jit
def generate(model, noise, mel, lengths=None, seeds=SEEDS):
    return model.generate(noise, seeds, mel, lengths)


@quick_jit
def draw(model, seed, mel, temperature):
    return model.sample(jax.random.key(seed), mel, temperature)


@quick_jit
def jacobians(model, x, mel, lengths):
    """Computes dz/dx of every clip [T, B, T]; clips do not depend on each other."""
    return jax.jacrev(lambda x: jnp.sum(model.forward(x, mel, lengths)[0], axis=0))(x)


@quick_jit
def gradient(values, lengths):
    return jax.value_and_grad(lambda v: jnp.sum(v[0].log_prob(v[1], v[2], lengths)))(values)


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


@functools.cache
def setting(name):
    """Makes a random model, audio, mel, and garbage after each clip's end."""
    config = dataclasses.replace(VARIANTS[name], compute_dtype="float64")
    with jax.enable_x64(True):
        model = small.random_model(config)
    x, mel = small.random_inputs(config, len(LENGTHS), SAMPLES)
    x = np.clip(0.4 * x, -1, 1)
    for b, length in enumerate(LENGTHS):
        x[b, length:] = 1e3
        mel[b, :, config.mel.frames(length) :] = -50.0
    return config, model, x, mel


def real(x):
    return np.where(np.arange(SAMPLES) < LENGTHS[:, None], x, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@each(WITH_LATENT, (*FIRST, "2 WaveNets"))
def test_both_directions(name):
    """Checks x -> z -> x, and z -> x -> z, which alone shows a condition in the wrong order."""
    _, model, x, mel = setting(name)
    z, *_ = density(model, x, mel, LENGTHS)
    assert z.dtype == jnp.float64
    assert np.abs(z - real(x))[0].max() > 0.01  # it does something
    close(generate(model, z, mel, LENGTHS), real(x))
    close(density(model, generate(model, x, mel, LENGTHS), mel, LENGTHS)[0], real(x))


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@each(WITH_LATENT, (*FIRST[:2], "2 WaveNets"))
def test_log_det_is_that_of_the_jacobian(name):
    """Catches a lost log scale, or one of a padded sample."""
    _, model, x, mel = setting(name)
    _, log_det, _ = density(model, x, mel, LENGTHS)
    found = jacobians(model, x, mel, LENGTHS)
    for b, length in enumerate(LENGTHS):
        close(np.linalg.slogdet(found[:length, b, :length])[1], log_det[b])
        assert not np.any(found[:length, b, length:])
        assert not np.any(found[length:, b])


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@each(VARIANTS, (*FIRST[:2], "2 WaveNets"))
def test_a_clip_does_not_depend_on_its_batch(name):
    """Catches wrong padding, a neighbor's mel, or samples after the end.

    A clip that only fills up the batch has zeros, never NaN.
    """
    config, model, x, mel = setting(name)
    length, one = LENGTHS[1], slice(1, 2)
    alone, its_mel = x[one, :length], mel[one, :, : config.mel.frames(length)]
    audio = generate(model, x, mel, LENGTHS)
    close(audio[1, :length], generate(model, alone, its_mel, None, SEEDS[one])[0])
    assert not np.any(audio - real(audio))
    found = density(model, x, mel, LENGTHS)
    for ours, its in zip(found, density(model, alone, its_mel), strict=True):
        assert not np.any(ours[3])
        if ours.ndim == 1:  # log_det, log_prob
            close(ours[1], its[0])
        else:
            close(ours[1, :length], its[0])
            assert not np.any(ours - real(ours))


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@each(VARIANTS, (*FIRST, "2 WaveNets", *WITHOUT))
def test_log_prob(name):
    """Checks constant, real sample count and sign, for a random and a fresh model.

    A fresh model copies, or turns the channels of a column without stretching them.
    """
    config, model, x, mel = setting(name)
    count, (*latent, log_prob) = np.maximum(LENGTHS, 1), density(model, x, mel, LENGTHS)
    if not latent:
        total = np.sum(real(densities(model, x, mel, LENGTHS)), axis=1)
        close(log_prob, total / count)
        return
    z, log_det = latent
    total = log_det - 0.5 * np.sum(np.square(z), axis=1) - 0.9189385332046727 * LENGTHS
    close(log_prob, total / count)
    if config.family == "SourceFilter":  # its filter is there from the start
        return
    z, log_det, log_prob = density(small.random_model(config, amount=0.0), x, mel, LENGTHS)
    expected = -0.9189385332046727 * LENGTHS - 0.5 * np.sum(np.square(real(x)), axis=1)
    close(log_prob, expected / count, 1e-6)
    if config.family != "WaveGlow":
        np.testing.assert_array_equal(z, real(x))


@quick_jit
def densities(model, x, mel, lengths):
    return model.head.log_prob(model.parameters(x, mel, lengths), x)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@each(VARIANTS, ("WaveGlow", "2 WaveNets", "WaveNet of classes"))
def test_sample(name):
    """Checks F * hop samples, one result per key, and audio without noise at temperature 0."""
    config, model, _, mel = setting(name)
    mel = np.where(mel < -40, 0.5, mel)
    x = draw(model, 0, mel, 1.0)
    assert x.shape == (4, 3 * config.mel.hop_length)
    np.testing.assert_array_equal(draw(model, 0, mel, 1.0), x)
    assert np.abs(draw(model, 1, mel, 1.0) - x).max() > 0.1
    still = draw(model, 0, mel, 0.0)
    np.testing.assert_array_equal(draw(model, 1, mel, 0.0), still)
    assert np.abs(still).max() > 1e-3
    if config.has_latent:
        close(still, generate(model, np.zeros_like(x), mel, np.full(4, SAMPLES)))


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@each(VARIANTS, FIRST[1:])
def test_gradient(name):
    """Catches a wrong hand-written backward pass, or a value that is cut off from it."""
    config, model, x, mel = setting(name)
    rng = np.random.default_rng(5)
    values = (model, real(x), mel)
    in_x = 1.0 if config.has_latent else 0.0  # classes are steps in x
    direction = tuple(
        jax.tree.map(lambda v, s=s: s * rng.standard_normal(v.shape), part)
        for part, s in zip(values, (1.0, in_x, 1.0), strict=True)
    )
    definition, along = split(direction[0])
    for parameter in along:
        if parameter.startswith(VocoderTask.measured):  # never trained
            along[parameter] *= 0
    direction = (definition(along), *direction[1:])

    def at(step):
        return gradient(jax.tree.map(lambda v, d: v + step * d, values, direction), LENGTHS)

    _, slope = at(0.0)
    expected = (at(1e-5)[0] - at(-1e-5)[0]) / 2e-5
    products = jax.tree.map(lambda g, d: np.sum(g * d), slope, direction)
    close(sum(jax.tree.leaves(products)), expected, 1e-6)
    for parameter, value in split(slope[0])[1].items():
        # The direction of one number is its sign; the guess of a pitch has a loss of its own.
        elsewhere = parameter.endswith("start/kernel")
        elsewhere |= parameter.startswith(("pitch/", *VocoderTask.measured))
        assert np.any(value) or elsewhere, parameter


@pytest.mark.slow
@each(VARIANTS, FIRST)
def test_bfloat16_nets_leave_the_audio_as_it_is(name):
    """Audio, latents and scales stay float32: a fresh flow copies every bit."""
    _, exact, x, mel = setting(name)
    with jax.enable_x64(True):
        expected = density(exact, x, mel, LENGTHS)
    brief = dataclasses.replace(VARIANTS[name], compute_dtype="bfloat16")
    inputs = np.float32(real(x)), np.float32(mel), np.int32(LENGTHS)
    found = density(small.random_model(brief), *inputs)
    for ours, theirs in zip(map(np.asarray, found), map(np.asarray, expected), strict=True):
        assert ours.dtype == jnp.float32
        scale = np.abs(theirs).max()
        assert 1e-5 * scale < np.abs(ours - theirs).max() < 0.02 * scale
    if brief.has_latent and brief.family not in ("WaveGlow", "SourceFilter"):
        z, *_ = density(small.random_model(brief, amount=0.0), *inputs)
        np.testing.assert_array_equal(z, inputs[0])


# Without a computation


@each(VARIANTS, VARIANTS)
def test_a_model_is_its_arrays_and_a_folder(name, tmp_path):
    """Catches clashing names, an unsaved array, or another family's class."""
    model = new_flow(VARIANTS[name], np.random.default_rng(1))
    definition, params = split(model)
    save_model(tmp_path, model.config, params)
    loaded = load_model(tmp_path)
    assert loaded.config == model.config
    for again in (definition(params), loaded):
        assert type(again) is MODELS[model.config.family]
        assert split(again)[0] == definition
        assert list(split(again)[1]) == list(params)
        for key, value in split(again)[1].items():
            np.testing.assert_array_equal(value, params[key], strict=True)
    other = split(new_flow(VARIANTS[name], np.random.default_rng(2)))[1]
    assert any(np.any(other[key] != value) for key, value in params.items())


@pytest.mark.parametrize(
    ("audio", "mel", "message"),
    [
        ((1, 32), (1, 5, 2), "audio (1, 32) and mel (1, 5, 2) are not [B, T] and [B, 4, F]"),
        ((2, 32), (1, 4, 2), "audio (2, 32) and mel (1, 4, 2) are not [B, T] and [B, 4, F]"),
        ((32,), (1, 4, 2), "audio (32,) and mel (1, 4, 2) are not"),
        ((1, 32), (4, 2), "audio (1, 32) and mel (4, 2) are not"),
        ((1, 33), (1, 4, 2), "33 samples are more than 2 mel frames of hop 16 stand for; give 3 f"),
    ],
)
@pytest.mark.parametrize("name", ["WaveFlow of height 8", "WaveGlow", "2 WaveNets", *WITHOUT[:1]])
def test_faults_of_arguments(name, audio, mel, message):
    """Every entry point names the shapes that do not fit together."""
    model = new_flow(VARIANTS[name], np.random.default_rng(0))
    ways = ("forward", "inverse", "log_prob") if model.config.has_latent else ("log_prob",)
    for way in ways:
        with pytest.raises(ValueError, match=re.escape(message)):
            getattr(model, way)(jnp.zeros(audio), jnp.zeros(mel))
    with pytest.raises(ValueError, match=re.escape(message)):
        model.generate(jnp.zeros(audio), jnp.zeros(audio[:1], jnp.uint32), jnp.zeros(mel))
