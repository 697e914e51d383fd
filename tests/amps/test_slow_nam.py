"""The oracle itself: against the C++ core's output, and against values found by hand."""

import json

import numpy as np
import pytest
import soundfile

from tests.amps.nam_documents import array, document, head, linear, sequential, wavenet
from tests.amps.nam_examples import EXAMPLES, sizes
from tests.amps.slow_activations import activate
from tests.amps.slow_nam import play, weight_count

MODELS = (
    *("A2@0.0", "A2@1.0", "lstm", "wavenet", "wavenet_a1_standard", "wavenet_a2_max"),
    *("slimmable_container@0.0", "slimmable_container@0.5", "slimmable_container@1.0"),
    *("slimmable_wavenet@0.0", "slimmable_wavenet@0.5", "slimmable_wavenet@1.0"),
    "wavenet_condition_dsp",
)


@pytest.mark.parametrize("signal", ["two_tone_input", "di_2s"])
@pytest.mark.parametrize("model", MODELS)
def test_plays_as_the_core_plays(nam_reference, model, signal):
    """The core computes in float32: its error is in proportion to the loudest sample."""
    name, _, size = model.partition("@")
    read = json.loads((nam_reference / f"{name}.nam").read_text())
    x, _ = soundfile.read(nam_reference / f"{signal}.wav", stop=24000)
    expected = np.load(nam_reference / "expected.npz")[f"{signal}__{model}"][: len(x)]
    actual = play(read, x, size=float(size) if size else None)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=3e-6 * max(1, abs(expected).max()))


ACTIVATIONS = [
    ("Tanh", [-1, 0, 1], [-0.76159416, 0, 0.76159416]),
    ({"type": "Hardtanh", "min_val": -0.1, "max_val": 0.1}, [-2, 0.5, 2], [-1, 0.5, 1]),
    ("ReLU", [-2, 0, 2], [0, 0, 2]),
    ("LeakyReLU", [-2, 0, 2], [-0.02, 0, 2]),
    ({"type": "LeakyReLU", "negative_slope": 0.5}, [-2, 2], [-1, 2]),
    ("PReLU", [-2, 2], [-0.02, 2]),
    ({"type": "PReLU", "negative_slope": 0.25}, [-2, 2], [-0.5, 2]),
    ("Sigmoid", [-1, 0, 1], [0.26894142, 0.5, 0.73105858]),
    ("SiLU", [-1, 0, 2], [-0.26894142, 0, 1.76159416]),
    ("Hardswish", [-4, -1, 1, 4], [0, -1 / 3, 2 / 3, 4]),
    ("Softsign", [-1, 0, 3], [-0.5, 0, 0.75]),
    ("LeakyHardtanh", [-2, 0.5, 3], [-1.01, 0.5, 1.02]),
    (
        {"type": "LeakyHardTanh", "min_val": 0, "max_val": 2, "min_slope": 0.5, "max_slope": 0.25},
        [-1, 1, 4],
        [-0.5, 1, 2.5],
    ),
]


@pytest.mark.parametrize(("activation", "z", "expected"), ACTIVATIONS)
def test_activations(activation, z, expected):
    np.testing.assert_allclose(activate(activation, np.array([z])), [expected], atol=1e-8)


def test_prelu_has_a_slope_for_each_channel():
    options = {"type": "PReLU", "negative_slopes": [0.5, 0.25]}
    np.testing.assert_array_equal(activate(options, -np.ones((2, 3))), [[-0.5] * 3, [-0.25] * 3])


def test_fasttanh_is_near_tanh():
    z = np.linspace(-4, 4, 101)[None]
    np.testing.assert_allclose(activate("Fasttanh", z), np.tanh(z), atol=2e-3)
    assert abs(activate("Fasttanh", z) - np.tanh(z)).max() > 1e-5


# Models small enough to play by hand


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("identity")])
def test_identity_models(rng, name):
    x = rng.uniform(-0.9, 0.9, 300)
    np.testing.assert_allclose(play(EXAMPLES[name](), x), x, atol=1e-12)


def test_one_layer_by_hand():
    """Silence makes the residual signal 0 and every tap see it; so does the head bias."""
    layers = [array(channels=1, kernel_size=2, dilations=[2], activation="ReLU")]
    #           in  conv       mixin 1x1       head       scale
    weights = [2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0, 23.0, 0.5]
    model = document("WaveNet", {"layers": layers}, weights)
    x = np.array([1.0, 0.0, 0.0, 0.0])
    a = np.array([5 * 2 + 7 + 11, 7, 3 * 2 + 7, 7])  # the older tap is the first
    np.testing.assert_array_equal(play(model, x), 0.5 * (19 * a + 23))
    gated = layers[0] | {"gating_mode": "blended", "secondary_activation": "ReLU"}
    #           in  conv                 mixin      1x1       head      scale
    weights = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 3.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0]
    model = document("WaveNet", {"layers": [gated]}, weights)
    np.testing.assert_array_equal(play(model, x), 4 * [3 * 0 + (1 - 3) * -1])


def test_silence_reaches_the_second_model():
    """A constant 0.5 from silence, then a sum of four taps, gives 2 from the first sample on."""
    constant = document("Linear", {"receptive_field": 1, "bias": True}, [0.0, 0.5])
    adder = document("Linear", {"receptive_field": 4, "bias": False}, 4 * [1.0])
    np.testing.assert_array_equal(
        play(sequential("models", [constant, adder]), np.ones(6)), 6 * [2]
    )


def test_linear_channels():
    x = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

    def model(inputs, outputs, weights):
        config = {"receptive_field": 2, "bias": True, "in_channels": inputs}
        return document("Linear", config | {"out_channels": outputs}, weights)

    y = play(model(2, 2, [2.0, 3.0, 10.0]), x)
    np.testing.assert_array_equal(y, [[12, 13, 10], [10, 12, 13]])
    y = play(model(1, 2, [2.0, 3.0, 4.0, 5.0, 10.0, 20.0]), x[0])
    np.testing.assert_array_equal(y, [[12, 13, 10], [24, 25, 20]])
    y = play(model(2, 1, [2.0, 3.0, 4.0, 5.0, 10.0]), x)
    np.testing.assert_array_equal(y, [[12, 3 + 4 + 10, 15]])
    with pytest.raises(ValueError, match="no rule for 2 -> 3"):
        linear(in_channels=2, out_channels=3)


# The examples


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_sound(rng, name):
    """Examples are complete, deterministic, audible at every size and steady after silence."""
    example = EXAMPLES[name]()
    assert json.loads(json.dumps(example)) == EXAMPLES[name]()
    assert weight_count(example) == len(example["weights"])
    assert np.array_equal(np.float32(example["weights"]), example["weights"])
    first = example["config"].get("models", [example])[0]
    x = 0.5 * rng.normal(size=(first["config"].get("in_channels", 1), 300))
    played = [play(example, x, size=size) for size in sizes(example)]
    assert all(y.std() > 2e-3 and abs(y).max() < 20 for y in played)
    assert len({y.tobytes() for y in played}) >= min(2, len(played))
    if name != "lstm_no_rate":
        assert np.ptp(play(example, 0 * x), axis=-1).max() < 1e-9


def test_no_history_but_silence(rng):
    """Zeros before the signal change nothing, the receptive field of the condition included."""
    x = np.pad(rng.normal(size=50), (150, 0))
    condition = wavenet(array(head=head(4, kernel_size=3)), array(input_size=4, dilations=[9]))
    model = wavenet(array(activation_pre_film={}), condition_dsp=condition)
    np.testing.assert_allclose(play(model, x)[150:], play(model, x[150:]), atol=1e-12)
