"""Every architecture and option of the format, against the slow float64 form and itself.

As JAX plays them; test_native.py has the native engine.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from tests.amps.nam_examples import EXAMPLES, sizes
from tests.amps.slow_nam import play
from wf_jax.amps import load_nam
from wf_jax.amps.jax_form import jax_form
from wf_jax.amps.nam_file import parse
from wf_jax.amps.nam_models import model_of, to_document
from wf_jax.amps.player import Player
from wf_jax.amps.render import render
from wf_jax.modules import split


def again(name):
    return pytest.param(name, marks=pytest.mark.exhaustive)


# One of each kind; the others are the same code with another option, and take long to compile.
KINDS = (
    *("groups_film", "gating_mixed", "lstm_two_layers", "convnet_batchnorm", "linear_fft"),
    *("sequential_lstm", "container_nested"),
    *(again(name) for name in ("everything", "slimmable_two_arrays", "post_stack_head")),
    *(again(name) for name in ("condition_wavenet", "channels_2_in_3_out", "slimmable")),
    again("linear_1_to_3"),
)
MIXED = (1, 7, 32, 64, 3, 50, 64)
MODELS = (
    *("A2@0.0", "A2@1.0", "lstm", "wavenet", "wavenet_a1_standard", "wavenet_a2_max"),
    *("wavenet_condition_dsp", "slimmable_container@0.0", "slimmable_container@0.5"),
    *("slimmable_container@1.0", "slimmable_wavenet@0.0", "slimmable_wavenet@0.5"),
    "slimmable_wavenet@1.0",
)


FIRST = ("A2@0.0", "lstm", "wavenet_a2_max", "A2@1.0", "wavenet", "slimmable_wavenet@0.5")


def example(name):
    return model_of(parse(EXAMPLES[name](), f"{name}.nam"))


def noise(model, length):
    x = np.random.default_rng(5).normal(size=(model.input_channels, length)).astype(np.float32)
    return 0.3 * (x[0] if model.input_channels == 1 else x)


def in_blocks(player, x, blocks):
    """Plays x [..., T] in blocks of the given sizes, over and over."""
    outputs, start, i = [], 0, 0
    while start < x.shape[-1]:
        block = x[..., start : start + blocks[i % len(blocks)]]
        outputs.append(np.array(player(block)))
        start, i = start + block.shape[-1], i + 1
    return np.concatenate(outputs, axis=-1)


# Options that differ from another example's by a number or a name; they are all read and written
# again below, and the activations have a test of their own.
SIMILAR = ("_no_shift", "activation_", "identity_", "_default", "_lstm", "_nested", "_layers")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [again(name) if any(s in name for s in SIMILAR) else name for name in EXAMPLES]
)
def test_plays_in_blocks_as_the_slow_form_plays(name):
    document = EXAMPLES[name]()
    model = model_of(parse(document, f"{name}.nam"))
    x = noise(model, 500)
    expected = play(document, x)
    actual = in_blocks(Player(model, engine="jax"), x, MIXED)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected.reshape(actual.shape), atol=2e-6 * scale)
    assert np.ptp(expected) > 1e-3  # the example says something


SIZES = [(name, size) for name in EXAMPLES for size in sizes(EXAMPLES[name]()) if size is not None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(*case, marks=[pytest.mark.exhaustive] * (i % 3 > 0))
        for i, case in enumerate(SIZES)
    ],
)
def test_plays_each_size_as_the_slow_form_plays(name, size):
    model = example(name).at_size(size)
    x = noise(model, 300)
    expected = play(EXAMPLES[name](), x, size=size)
    np.testing.assert_allclose(jax.jit(model)(x[None])[0], expected, atol=2e-6)


@pytest.mark.parametrize("name", EXAMPLES)
def test_written_and_read_again_it_is_the_same(name):
    document = EXAMPLES[name]()
    once = to_document(model_of(parse(document, "a.nam")))
    again = to_document(model_of(parse(json.loads(json.dumps(once)), "b.nam")))
    assert once == again
    assert once["weights"] == [float(np.float32(w)) for w in document["weights"]]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_the_whole_and_the_valid_part_equal_the_blocks(name):
    model = example(name)
    x = noise(model, 300)
    before = np.zeros((*x.shape[:-1], model.lookback), np.float32)
    whole = jax.jit(model)(x[None])[0]
    np.testing.assert_allclose(whole, in_blocks(Player(model, engine="jax"), x, (64,)), atol=2e-6)
    if model.finite_memory:
        valid = jax.jit(model.valid)(np.concatenate([before, x], axis=-1))
        np.testing.assert_allclose(valid, whole, atol=2e-6)
    if model.input_channels == model.output_channels == 1:
        rendered = np.concatenate(list(render(model, [x[:100], x[100:]], 2, "jax")))
        np.testing.assert_allclose(rendered, whole, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("gating_mixed", "lstm", "convnet_batchnorm", "linear_fft", "sequential"),
        again("groups_film"),
        *(again(name) for name in ("everything", "post_stack_head", "condition_wavenet")),
        *(again(name) for name in ("slimmable", "linear_1_to_3", "container", "lstm_two_layers")),
    ],
)
def test_gradient_equals_float64_differences(name):
    with jax.enable_x64(True):
        model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), example(name))
        definition, params = split(model)
        rng = np.random.default_rng(3)
        x = jnp.asarray(noise(model, model.lookback % 4096 + 60), jnp.float64)
        direction = {k: jnp.asarray(rng.normal(size=v.shape)) for k, v in params.items()}

        def loss(params):
            model = definition(params)
            return jnp.sum(jnp.square(model(x[None])))

        value_and_gradient = jax.jit(jax.value_and_grad(loss))
        _, gradients = value_and_gradient(params)
        slope = sum(jnp.vdot(gradients[k], direction[k]) for k in params)
        step = 1e-6
        ahead, behind = (
            value_and_gradient({k: v + s * direction[k] for k, v in params.items()})[0]
            for s in (step, -step)
        )
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=2e-5)
        assert any(jnp.any(gradient != 0) for gradient in gradients.values())


@pytest.mark.slow
def test_scaled_models_are_as_much_louder():
    for name in ("gated", "post_stack_head", "lstm", "convnet", "linear_bias", "sequential"):
        model = example(name)
        x = noise(model, 50)
        once, scaled = (
            in_blocks(Player(each, engine="jax"), x, (50,)) for each in (model, model.scaled(3.0))
        )
        np.testing.assert_allclose(scaled, 3.0 * once, rtol=1e-4, atol=1e-6)


# The C++ core's own output


def reference(folder, name, signal, seconds=2.0):
    """Returns a published model in its fastest form, audio, and the core's output for it."""
    file, _, size = name.partition("@")
    model = load_nam(folder / f"{file}.nam")
    model = model.at_size(float(size)) if size else model
    x, rate = soundfile.read(folder / f"{signal}.wav", dtype="float32")
    expected = np.load(folder / "expected.npz")[f"{signal}__{name}"]
    n = round(seconds * rate)
    return model, x[:n], expected[:n]


def assert_plays(actual, expected):
    tolerance = np.maximum(5e-5, 5e-6 * np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, atol=tolerance)


@pytest.mark.parametrize("signal", ["two_tone_input", again("di_2s")])
@pytest.mark.parametrize("name", [name if name in FIRST else again(name) for name in MODELS])
def test_whole_as_the_core_plays(nam_reference, name, signal):
    model, x, expected = reference(nam_reference, name, signal)
    for form in (model, jax_form(model)) if jax_form(model) is not model else (model,):
        assert_plays(np.concatenate(list(render(form, [x], 1, "jax"))), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name if name in FIRST[:3] else again(name) for name in MODELS])
def test_mixed_blocks_as_the_core_plays(nam_reference, name):
    model, x, expected = reference(nam_reference, name, "di_2s", seconds=0.5)
    player = Player(jax_form(model), 256, "jax")
    assert_plays(in_blocks(player, x, (256, 1, 7, 32, 64, 250)), expected)


@pytest.mark.exhaustive
@pytest.mark.parametrize("signal", ["two_tone_input", "di_2s"])
@pytest.mark.parametrize("name", MODELS)
def test_every_block_size_as_the_core_plays(nam_reference, name, signal):
    model, x, expected = reference(nam_reference, name, signal)
    for form in (model, jax_form(model)) if jax_form(model) is not model else (model,):
        player = Player(form, 2048, "jax")
        for blocks in ((1,), (7,), (32,), (64,), (256,), (2048,), (2048, 1, 7, 500, 32, 64)):
            player.reset()
            assert_plays(in_blocks(player, x, blocks), expected)
