"""Training passes in machine code: output and gradients of the general pass, bit for bit again."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from tests.amps.native_models import Guarded, a1, example, forgetting
from tests.quick_jit import quick_jit
from wf_jax.amps import a2
from wf_jax.amps.activations import Activation
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask
from wf_jax.amps.native.training import passes
from wf_jax.amps.native.training.shapes import why_not
from wf_jax.amps.native.training.valid import valid_windows
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import LayerArrayConfig, WaveNetConfig
from wf_jax.amps.weights import Uniform
from wf_jax.errors import UserError
from wf_jax.modules import split
from wf_jax.native import calls


def array(inputs, channels, head, **changes):
    """A layer array of four layers in which no two numbers are the same."""
    config = LayerArrayConfig(
        input_size=inputs,
        condition_size=1,
        channels=channels,
        bottleneck=channels,
        kernel_sizes=(3, 2, 6, 1),
        dilations=(1, 37, 5, 1),
        activations=(Activation("Tanh"), *[Activation("LeakyReLU", 0.2)] * 3),
        head_channels=head,
    )
    return dataclasses.replace(config, **changes)


def model_of(*arrays):
    return WaveNet(WaveNetConfig(arrays), head_scale=0.3, weights=Uniform(np.random.default_rng(1)))


MODELS = {
    "nano": lambda: a2.create("nano", np.random.default_rng(0)),
    "standard": lambda: a2.create("standard", np.random.default_rng(0)),
    "a1": lambda: a1((16, 8)),
    "a1 of 7 and 5 channels": lambda: a1((7, 5), (1, 2, 64)),
    "narrow bottleneck": lambda: model_of(array(1, 11, 1, bottleneck=3)),
    "wide bottleneck": lambda: model_of(array(1, 2, 1, bottleneck=9)),
    "no 1x1 in layers": lambda: model_of(array(1, 4, 1, layer1x1_groups=0)),
    "taps in all heads": lambda: model_of(
        array(1, 6, 4, head_kernel_size=5, head_dilation=3),
        array(6, 5, 1, bottleneck=4, head_kernel_size=16, head_bias=False),
    ),
    "a head that looks back further than its layers": lambda: model_of(
        array(1, 3, 4, head_kernel_size=40, head_dilation=7), array(3, 4, 1, head_kernel_size=3)
    ),
    "no memory": lambda: model_of(array(1, 3, 1, kernel_sizes=(1,) * 4)),
    "a second array that begins at once": lambda: model_of(
        array(1, 3, 2, head_kernel_size=9), array(3, 2, 1, kernel_sizes=(1, 1, 4, 2))
    ),
    "one channel": lambda: model_of(array(1, 1, 1)),
    "three arrays": lambda: model_of(
        array(1, 8, 3), array(8, 2, 5, bottleneck=3), array(2, 4, 1, bottleneck=5)
    ),
    "relu": lambda: model_of(array(1, 4, 1, activations=(Activation("ReLU"),) * 4)),
}
QUICK = ("a1", "taps in all heads", "one channel", "no memory")  # to compile the other form


def again(value):
    return pytest.param(value, marks=pytest.mark.slow)


def stacked(*models):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)


def windows(model, captures, batch, window, seed=0):
    """Audio x and a gradient of the output."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(captures, batch, model.lookback + window)).astype(np.float32)
    return 0.5 * x, rng.normal(size=(captures, batch, window)).astype(np.float32)


def native(models, x, dy):
    """Output and gradients of sum(dy y)."""
    definition, params = split(models)

    def scalar(params):
        y = valid_windows(definition(params), x)
        return (dy * y).sum(), y

    (_, y), gradients = jax.jit(jax.value_and_grad(scalar, has_aux=True))(params)
    return jax.device_get((y, gradients))


def general(models, x, dy):
    """The same of `WaveNet.valid`, in float64."""
    with jax.enable_x64(True):
        definition, params = split(models)
        params = {name: jnp.asarray(np.asarray(leaf, np.float64)) for name, leaf in params.items()}

        def scalar(params):
            play = jax.vmap(lambda model, x: jax.vmap(model.valid)(x))
            y = play(definition(params), jnp.asarray(x, jnp.float64))
            return (dy * y).sum(), y

        (_, y), gradients = quick_jit(jax.value_and_grad(scalar, has_aux=True))(params)
        return jax.device_get((y, gradients))


def assert_alike(actual, expected, y_tolerance=3e-6, tolerance=2e-5):
    y, gradients = actual
    scale = np.abs(expected[0]).max()
    np.testing.assert_allclose(y, expected[0], rtol=0, atol=y_tolerance * scale)
    assert gradients.keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        scale = max(np.abs(gradient).max(), 1e-6)
        np.testing.assert_allclose(
            gradients[name], gradient, rtol=0, atol=tolerance * scale, err_msg=name
        )


@pytest.fixture
def fresh(monkeypatch):
    """No compiled passes in memory."""
    return forgetting(monkeypatch, passes, "_passes")


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else again(name) for name in MODELS],
)
def test_output_and_gradients_are_those_of_the_general_pass(name):
    model = MODELS[name]()
    assert not why_not(model)
    x, dy = windows(model, 1, 3, 700)
    assert_alike(native(stacked(model), x, dy), general(stacked(model), x, dy))


@pytest.mark.parametrize(
    "window", [1, again(31), again(32), 33, again(511), again(512), 513, again(1500)]
)
def test_any_window(window):
    model = model_of(array(1, 5, 1, head_kernel_size=4))
    x, dy = windows(model, 1, 2, window)
    assert_alike(native(stacked(model), x, dy), general(stacked(model), x, dy))


def test_each_capture_has_its_own_weights():
    models = [
        WaveNet(
            WaveNetConfig((array(1, 4, 1),)),
            head_scale=1.0,
            weights=Uniform(np.random.default_rng(n)),
        )
        for n in range(3)
    ]
    x, dy = windows(models[0], 3, 5, 64)
    y, gradients = native(stacked(*models), x, dy)
    assert_alike((y, gradients), general(stacked(*models), x, dy))
    for n, model in enumerate(models):
        alone, own = native(stacked(model), x[n : n + 1], dy[n : n + 1])
        np.testing.assert_array_equal(alone[0], y[n])
        for key, gradient in own.items():
            np.testing.assert_array_equal(gradient[0], gradients[key][n])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_bits_do_not_depend_on_threads_and_what_was_computed_before(threads, fresh, monkeypatch):
    model = MODELS["taps in all heads"]()
    x, dy = windows(model, 1, 8, 300)
    expected = native(stacked(model), x, dy)
    fresh()
    monkeypatch.setattr(passes, "available_cores", lambda: threads)
    other = windows(model, 1, 8, 300, seed=9)
    native(stacked(model), 1e3 * other[0], other[1])  # leaves its traces in the arenas
    jax.tree.map(np.testing.assert_array_equal, native(stacked(model), x, dy), expected)


@pytest.mark.parametrize("at_end", [True, False])
def test_nothing_is_touched_but_the_arena(at_end, fresh, monkeypatch):
    kept = []

    def guarded(size):
        kept.append(Guarded(size, at_end))
        return kept[-1].array

    monkeypatch.setattr(calls, "empty", guarded)
    monkeypatch.setattr(passes, "available_cores", lambda: 1)
    names = ["taps in all heads", "a head that looks back further than its layers", "no memory"]
    for name in names:
        model = MODELS[name]()
        x, dy = windows(model, 1, 2, 300)
        assert_alike(native(stacked(model), x, dy), general(stacked(model), x, dy))
    assert len(kept) == len(names)


@pytest.mark.parametrize(
    "tiles",
    [
        {"lanes": 8, "registers": 16, "vectors": 4},  # as with AVX2
        again({"lanes": 16, "registers": 32, "vectors": 2}),  # as with AVX-512
        again({"lanes": 4, "registers": 32, "vectors": 4}),  # as with NEON
        again({"lanes": 4, "registers": 16, "vectors": 4}),  # as with SSE2
    ],
)
def test_tiles_of_other_processors_compute_alike(tiles, fresh, monkeypatch):
    """LLVM makes vectors of what this processor has, so they can be run here."""
    target = dataclasses.replace(passes.host(), **tiles)
    monkeypatch.setattr(passes, "host", lambda: target)
    for name in ("taps in all heads", "wide bottleneck"):
        model = MODELS[name]()
        x, dy = windows(model, 1, 2, 100)
        assert_alike(native(stacked(model), x, dy), general(stacked(model), x, dy))


def test_small_numbers_are_zero_to_it():
    model = model_of(array(1, 4, 1))
    x, dy = windows(model, 1, 2, 64)
    tiny, silent = (
        native(stacked(model), each * x, dy) for each in (np.float32(1e-39), 0 * dy[0, 0, 0])
    )
    jax.tree.map(np.testing.assert_array_equal, tiny, silent)
    assert np.float32(1e-39) * np.float32(0.5) > 0  # but not to its caller


@pytest.mark.parametrize("count", [1, 3])
def test_several_devices_compute_at_once(count):
    model = stacked(model_of(array(1, 6, 1)))
    x, dy = windows(model_of(array(1, 6, 1)), 1, 2 * count, 2000)
    expected = native(model, x, dy)
    definition, params = split(model)
    mesh = Mesh(np.array(jax.devices()[:2]), ("device",))
    share = PartitionSpec(None, "device")

    def gradient(params, x, dy):
        varying = jax.tree.map(lambda p: lax.pcast(p, "device", to="varying"), params)
        own = jax.grad(lambda p: (dy * valid_windows(definition(p), x)).sum())(varying)
        return lax.psum(own, "device")

    shared = jax.jit(
        jax.shard_map(
            gradient, mesh=mesh, in_specs=(PartitionSpec(), share, share), out_specs=PartitionSpec()
        )
    )
    for _ in range(20):
        gradients = jax.device_get(shared(params, x, dy))
    for name, gradient in expected[1].items():
        scale = max(np.abs(gradient).max(), 1e-6)
        np.testing.assert_allclose(gradients[name], gradient, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda x: x[0], ValueError, "is not .captures, windows"),
        (lambda x: np.concatenate([x, x]), ValueError, "for models of 1 captures"),
        (lambda x: x[..., :10], ValueError, "samples and more"),
        (lambda x: x.astype(np.int32), TypeError, "of float32, here is int32"),
    ],
)
def test_refuses_arrays_that_do_not_fit(change, error, words):
    model = model_of(array(1, 4, 1))
    x, _ = windows(model, 1, 2, 64)
    with pytest.raises(error, match=words):
        valid_windows(stacked(model), jnp.asarray(change(x)))


def test_numbers_that_are_none_stay_in_their_window():
    model = model_of(array(1, 4, 1))
    x, dy = windows(model, 1, 2, 64)
    clean = native(stacked(model), x, dy)
    spoiled = x.copy()
    spoiled[0, 1, 70] = np.nan
    y, gradients = native(stacked(model), spoiled, dy)
    assert np.isnan(y[0, 1]).any()
    np.testing.assert_array_equal(y[0, 0], clean[0][0, 0])
    assert np.isnan(gradients["arrays/0/rechannel/kernel"]).all()
    jax.tree.map(np.testing.assert_array_equal, native(stacked(model), x, dy), clean)


def test_there_is_no_derivative_with_respect_to_audio():
    model = model_of(array(1, 4, 1))
    x, _ = windows(model, 1, 2, 64)
    with pytest.raises(TypeError, match="no derivative with respect to x"):
        jax.grad(lambda x: valid_windows(stacked(model), x).sum())(x)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gated", "no gated layers"),
        ("post_stack_head", "no head behind the last array"),
        ("head1x1", "no head1x1"),
        ("channels_2_in_3_out", "mono models"),
        ("lstm", "WaveNets"),
        ("activation_SiLU", "no SiLU"),
        ("groups_depthwise", "no groups"),
    ],
)
def test_says_what_it_does_not_train(name, reason):
    model = example(name)
    assert reason in why_not(model)


def audio(seconds=1.0):
    rng = np.random.default_rng(3)
    x = 0.3 * rng.normal(size=(1, int(48000 * seconds))).astype(np.float32)
    return CaptureAudio(x, np.tanh(2 * x), x[:, :30000], np.tanh(2 * x[:, :30000]))


def test_the_capture_task_learns_and_judges_alike():
    by_engine = {}
    for engine in ("native", "jax"):
        task = CaptureTask(audio(), sizes=("nano",), batch_size=2, window=512, engine=engine)
        models = task.init()
        definition, params = split(models)
        batch = {**task.resident, **task.batch(0)}

        def loss(params, task=task, definition=definition, batch=batch):
            return task.loss(definition(params), batch)[0]

        value, gradients = quick_jit(jax.value_and_grad(loss))(params)
        by_engine[engine] = jax.device_get((value, gradients, task.evaluate(models)))
    (value, gradients, esr), (other_value, others, other_esr) = by_engine.values()
    np.testing.assert_allclose(value, other_value, rtol=1e-6)
    for name, gradient in others.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(gradients[name], gradient, rtol=0, atol=1e-3 * scale)
    for name in esr:
        np.testing.assert_allclose(esr[name], other_esr[name], rtol=1e-6)


def test_float64_is_left_to_jax():
    with jax.enable_x64(True):
        x, y = (np.float64(part) for part in (audio().input_train, audio().output_train))
        parts = CaptureAudio(x, y, x[:, :30000], y[:, :30000])
        model = a2.create("nano", np.random.default_rng(0))
        wide = jax.tree.map(lambda leaf: np.float64(leaf), model)
        task = CaptureTask(parts, models={"model": wide}, batch_size=2, window=512)
        batch = {**task.resident, **task.batch(0)}
        assert jax.jit(task.loss)(task.init(), batch)[0].dtype == np.float64


def test_who_insists_on_it_is_told_why_not():
    with pytest.raises(UserError, match="does not train this model: it trains WaveNets"):
        CaptureTask(audio(), models={"model": example("lstm")}, batch_size=1, engine="native")
