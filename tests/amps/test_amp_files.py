"""GuitarML and AIDA-X files against loops in float64, and how all files are told apart."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.amps import slow_nam
from tests.amps.compiled import block
from tests.amps.differences import assert_gradient
from tests.amps.foreign_documents import EXAMPLES, aida_x, guitarml, layer, play
from tests.amps.nam_examples import EXAMPLES as NAM
from tests.amps.test_every_nam import in_blocks
from wf_jax.amps import load_amp, load_nam, save_nam
from wf_jax.amps.amp_files import model_of, read_amp
from wf_jax.amps.linear import Linear, LinearConfig
from wf_jax.amps.player import Player
from wf_jax.amps.render import render
from wf_jax.amps.skip import Skip
from wf_jax.amps.weights import Uniform
from wf_jax.errors import UserError
from wf_jax.modules import split

SLOW = {"samplerate": 1000}  # Hz, for a short silence before the first sample
BLOCKS = (1, 7, 64, 30)
FEW = ("guitarml_lstm", "guitarml_gru_2_layers", "aida_x_lstm_all", "aida_x_gru_all")


@pytest.fixture
def write(tmp_path):
    def write(document, name="x.json"):
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return path

    return write


def noise(length):
    return np.random.default_rng(7).normal(scale=0.5, size=length).astype(np.float32)


@pytest.mark.parametrize("name", EXAMPLES)
def test_plays_in_blocks_as_the_loops(write, name):
    document = EXAMPLES[name]() | SLOW
    model, x = load_amp(write(document)), noise(200)
    expected = play(document, x, silence=500)
    played = in_blocks(Player(model, engine="jax"), x, BLOCKS)
    np.testing.assert_allclose(played, expected, atol=3e-6 * max(1, np.abs(expected).max()))
    assert np.ptp(expected) > 0.01 or "silence" in name


@pytest.mark.parametrize("name", FEW)
def test_the_whole_and_the_rendered_equal_the_loops(write, name):
    document = EXAMPLES[name]() | SLOW
    model, x = load_amp(write(document)), noise(300)
    expected = play(document, x, silence=500)
    np.testing.assert_allclose(jax.jit(model)(x[None])[0], expected, atol=1e-5)
    rendered = np.concatenate(list(render(model, [x[:100], x[100:]], engine="jax")))
    np.testing.assert_allclose(rendered, expected, atol=1e-5)
    assert model.receptive_field == 1
    assert not model.finite_memory
    assert model.prewarm_samples == 500


@pytest.mark.parametrize("name", FEW)
def test_a_half_empty_block_leaves_what_its_samples_leave(write, name):
    model, x = load_amp(write(EXAMPLES[name]() | SLOW)), noise(40)[None]
    begun = model.state_before_prewarm()
    state, y = block(model, begun, np.pad(x[:, :17], ((0, 0), (0, 3)), constant_values=9.0), 17)
    expected_state, expected = block(model, begun, x[:, :17])
    np.testing.assert_allclose(y[:, :17], expected, atol=1e-6)
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(expected_state), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("unit", ["LSTM", "GRU"])
def test_one_network_in_both_formats_plays_alike(write, unit):
    theirs = guitarml(unit, skip=1) | SLOW
    order = [0, 1, 2, 3] if unit == "LSTM" else [1, 0, 2]  # r, z, n are z, r, h in Keras
    arrays = {key: np.array(value) for key, value in theirs["state_dict"].items()}
    kernel, recurrent, *biases = (
        array.reshape(len(order), 5, -1)[order].reshape(len(order) * 5, -1).T.tolist()
        for key, array in arrays.items()
        if key.startswith("rec")
    )
    biases = [biases[0][0], biases[1][0]]
    bias = np.sum(biases, axis=0).tolist() if unit == "LSTM" else biases
    cell = layer(unit.lower(), 5, [kernel, recurrent, bias])
    head = [arrays["lin.weight"].T.tolist(), arrays["lin.bias"].tolist()]
    ours = {"in_shape": [1], "layers": [cell, layer("dense", 1, head)], "in_skip": 1} | SLOW
    one, other = (load_amp(write(document)) for document in (theirs, ours))
    x = noise(100)[None]
    np.testing.assert_allclose(jax.jit(one)(x), jax.jit(other)(x), atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["guitarml_gru_2_layers", "aida_x_gru_all"])
def test_gradient_equals_float64_differences(write, rng, name):
    with jax.enable_x64(True):
        loaded = load_amp(write(EXAMPLES[name]()))
        model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), loaded)
        definition, params = split(model)
        x = jnp.asarray(rng.normal(size=(1, 12)))

        def loss(params):
            model = definition(params)
            return jnp.sum(jnp.square(model.block(model.state_before_prewarm(), x)[1]))

        assert_gradient(loss, params, rng, rtol=1e-6)


@pytest.mark.parametrize("name", FEW)
def test_scaled_is_a_louder_copy(write, name):
    model, x = load_amp(write(EXAMPLES[name]() | SLOW)), noise(60)[None]
    before = jax.jit(model)(x)
    np.testing.assert_allclose(jax.jit(model.scaled(-2.5))(x), -2.5 * before, atol=1e-5)
    np.testing.assert_array_equal(jax.jit(model)(x), before)


def test_a_skip_connection_adds_the_input():
    config = LinearConfig(3, bias=True, sample_rate=100.0)
    inner = Linear(config, Uniform(np.random.default_rng(0)))
    model, x = Skip(inner, 0.5), noise(20)
    expected = np.convolve(x, inner.kernel[0])[:20] + float(inner.bias[0]) + 0.5 * x
    np.testing.assert_allclose(model(x[None])[0], expected, atol=1e-6)
    np.testing.assert_allclose(model.valid(x), expected[2:], atol=1e-6)
    (state, y), ones = model.steady(jnp.ones((1, 1))), np.ones((1, 1), np.float32)
    np.testing.assert_allclose(y, model.block(state, ones)[1], atol=1e-6)
    assert (model.sample_rate, model.receptive_field, model.lookback) == (100.0, 3, 2)
    with pytest.raises(ValueError, match="around a model of 1 inputs and 2 outputs"):
        Skip(Linear(LinearConfig(3, bias=True, out_channels=2), Uniform(np.random.default_rng(0))))


RATES = [
    (guitarml(), 44100),
    (guitarml() | {"samplerate": 48000}, 48000),
    (aida_x(), 48000),
    (aida_x(samplerate=44100), 44100),
    (aida_x(samplerate=44100, metadata={"samplerate": 96000.0}), 96000),
    (aida_x(metadata={"samplerate": "44100"}), 44100),
    (aida_x(samplerate=None, metadata=None), 48000),
]


@pytest.mark.parametrize("case", range(len(RATES)))
def test_sample_rates(write, case):
    document, rate = RATES[case]
    file = read_amp(write(document))
    assert file.sample_rate == model_of(file).sample_rate == rate


# Files of every format


def test_a_nam_file_is_loaded_as_by_load_nam(write):
    path = write(NAM["lstm"](), "amp.nam")
    for ours, theirs in zip(
        jax.tree.leaves(load_amp(path)), jax.tree.leaves(load_nam(path)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    path = write({key: value for key, value in NAM["lstm"]().items() if key != "sample_rate"})
    assert load_amp(path).sample_rate is None
    assert load_amp(path, 96000.0).sample_rate == load_nam(path, 96000.0).sample_rate == 96000.0


@pytest.mark.parametrize("name", EXAMPLES)
def test_load_nam_takes_nothing_else(write, name):
    with pytest.raises(UserError, match='the key "version" is missing; this is not a'):
        load_nam(write(EXAMPLES[name]()))


def test_an_lstm_without_a_skip_connection_can_be_saved_as_nam(write, tmp_path):
    document, x = EXAMPLES["aida_x_lstm_gains"]() | SLOW, noise(60)
    save_nam(load_amp(write(document)), tmp_path / "y.nam")
    saved = json.loads((tmp_path / "y.nam").read_text())
    np.testing.assert_allclose(slow_nam.play(saved, x), play(document, x, 500), atol=1e-6)


@pytest.mark.parametrize(("name", "kind"), [("aida_x_gru", "GRU"), ("guitarml_lstm", "Skip")])
def test_others_can_not(write, tmp_path, name, kind):
    with pytest.raises(ValueError, match=f"a .nam file holds no {kind}; it holds WaveNet, LSTM"):
        save_nam(load_amp(write(EXAMPLES[name]() | SLOW)), tmp_path / "y.nam")
    assert not (tmp_path / "y.nam").exists()


def test_files_are_read_without_jax(write):
    code = (
        "import sys; from wf_jax.amps.amp_files import read_amp\n"
        "for path in sys.argv[1:]: read_amp(path)\n"
        "assert 'jax' not in sys.modules"
    )
    paths = [write(build(), f"{name}.json") for name, build in EXAMPLES.items()]
    subprocess.run([sys.executable, "-c", code, *map(str, paths)], check=True)
