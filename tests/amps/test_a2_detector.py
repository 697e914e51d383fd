"""The detector of the A2 pass: every field, one mutation each."""

import copy
import json

import numpy as np
import pytest

from wf_jax.amps import a2, load_nam
from wf_jax.amps.nam_file import parse
from wf_jax.amps.nam_models import model_of
from wf_jax.amps.nam_wavenet import to_config
from wf_jax.amps.wavenet_config import FILMS

REMOVED = object()


def a2_config(size="standard"):
    return to_config(a2.create(size, np.random.default_rng(0)), write=None)


def mutated(config, path, value):
    """Copies a model with another value at `path`; "layers[0]" is implied by a dotted path."""
    config = copy.deepcopy(config)
    *parents, key = path
    target = config
    for parent in parents:
        target = target[parent]
    if value is REMOVED:
        del target[key]
    else:
        target[key] = value
    return config


def layer(*path):
    return ("layers", 0, *path)


def head(**changes):
    return {"out_channels": 1, "kernel_size": 16, "bias": True} | changes


def others(first):
    return [first] + ["none"] * 22


REJECTED = {
    "layers not a list": (("layers",), {}),
    "no layers": (("layers",), []),
    "two arrays": (("layers",), [{}, {}]),
    "array not an object": (layer(), 1),
    "post-stack head": (("head",), {"channels": 1, "out_channels": 1, "kernel_sizes": [1]}),
    "condition_dsp": (("condition_dsp",), {"architecture": "Linear"}),
    "no head_scale": (("head_scale",), REMOVED),
    "head_scale text": (("head_scale",), "0.01"),
    "head_scale true": (("head_scale",), True),
    "head_scale null": (("head_scale",), None),
    "in_channels": (("in_channels",), 2),
    "input_size": (layer("input_size"), 2),
    "no input_size": (layer("input_size"), REMOVED),
    "condition_size": (layer("condition_size"), 2),
    "no condition_size": (layer("condition_size"), REMOVED),
    "channels 4": (layer("channels"), 4),
    "channels 3 of 8": (layer("channels"), 3),
    "channels 8.0": (layer("channels"), 8.0),
    "no channels": (layer("channels"), REMOVED),
    "bottleneck": (layer("bottleneck"), 4),
    "no bottleneck": (layer("bottleneck"), REMOVED),
    "first kernel size": (layer("kernel_sizes", 0), 7),
    "last kernel size": (layer("kernel_sizes", 22), 15),
    "middle kernel size": (layer("kernel_sizes", 14), 6),
    "22 kernel sizes": (layer("kernel_sizes"), list(a2.KERNEL_SIZES[:-1])),
    "no kernel_sizes": (layer("kernel_sizes"), REMOVED),
    "kernel size text": (layer("kernel_sizes", 3), "6"),
    "first dilation": (layer("dilations", 0), 2),
    "last dilation": (layer("dilations", 22), 240),
    "24 dilations": (layer("dilations"), [*a2.DILATIONS, 1]),
    "no dilations": (layer("dilations"), REMOVED),
    "dilation 1.0": (layer("dilations", 0), 1.0),
    "activation once": (layer("activation"), {"type": "LeakyReLU", "negative_slope": 0.01}),
    "activation by name": (layer("activation"), "LeakyReLU"),
    "names of activations": (layer("activation"), ["LeakyReLU"] * 23),
    "one activation Tanh": (layer("activation", 0), {"type": "Tanh"}),
    "one activation ReLU": (layer("activation", 22, "type"), "ReLU"),
    "one PReLU": (layer("activation", 4, "type"), "PReLU"),
    "a slope missing": (layer("activation", 7, "negative_slope"), REMOVED),
    "a slope 0.0100002": (layer("activation", 7, "negative_slope"), 0.0100002),
    "a slope 0.2": (layer("activation", 22, "negative_slope"), 0.2),
    "a slope text": (layer("activation", 1, "negative_slope"), "0.01"),
    "22 activations": (layer("activation"), [{"type": "LeakyReLU", "negative_slope": 0.01}] * 22),
    "gating once": (layer("gating_mode"), "none"),
    "first gated": (layer("gating_mode"), others("gated")),
    "first blended": (layer("gating_mode"), others("blended")),
    "22 gating modes": (layer("gating_mode"), ["none"] * 22),
    "gated": (layer("gated"), True),
    "secondary activation": (layer("secondary_activation", 5), "Sigmoid"),
    "secondary text": (layer("secondary_activation"), "Sigmoid"),
    "head1x1": (layer("head1x1"), {"active": True, "out_channels": 8, "groups": 1}),
    "layer1x1 off": (layer("layer1x1", "active"), False),
    "layer1x1 without active": (layer("layer1x1"), {"groups": 1}),
    "layer1x1 groups": (layer("layer1x1", "groups"), 2),
    "no layer1x1": (layer("layer1x1"), REMOVED),
    "layer1x1 null": (layer("layer1x1"), None),
    "no head": (layer("head"), REMOVED),
    "head outputs": (layer("head"), head(out_channels=2)),
    "head kernel": (layer("head"), head(kernel_size=15)),
    "head dilation": (layer("head"), head(head_dilation=2)),
    "head without bias": (layer("head"), head(bias=False)),
    "head bias 1": (layer("head"), head(bias=1)),
    "legacy head": (layer("head"), None),
    "groups_input": (layer("groups_input"), 2),
    "groups_input_mixin": (layer("groups_input_mixin"), 8),
    "slimmable": (layer("slimmable"), {"method": "slice_channels_uniform"}),
    **{f"{film} active": (layer(film, "active"), True) for film in FILMS},
    **{f"{film} true": (layer(film), True) for film in FILMS[:2]},
}

ACCEPTED = {
    "another head_scale": (("head_scale",), 0.0042),
    "head_scale an integer": (("head_scale",), 1),
    "no post-stack head": (("head",), REMOVED),
    "condition_dsp null": (("condition_dsp",), None),
    "in_channels 1": (("in_channels",), 1),
    "no gating_mode": (layer("gating_mode"), REMOVED),
    "gating_mode null": (layer("gating_mode"), None),
    "gated false": (layer("gated"), False),
    "no secondary_activation": (layer("secondary_activation"), REMOVED),
    "head1x1 null": (layer("head1x1"), None),
    "layer1x1 without groups": (layer("layer1x1"), {"active": True}),
    "head_dilation 1": (layer("head"), head(head_dilation=1)),
    "no groups": (layer("groups_input"), REMOVED),
    "a slope within 1e-7": (layer("activation", 7, "negative_slope"), 0.01 + 5e-8),
    "a float32 slope": (layer("activation", 7, "negative_slope"), float(np.float32(0.01))),
    "film false": (layer("conv_pre_film"), False),
    "film null": (layer("conv_post_film"), None),
    "film without active": (layer("activation_pre_film"), {"shift": True, "groups": 1}),
    "no film": (layer("head1x1_post_film"), REMOVED),
    "no slimmable": (layer("slimmable"), REMOVED),
    "something else": (layer("notes"), "hello"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_one_field_off_is_refused(case):
    config = mutated(a2_config(), *REJECTED[case])
    assert not a2.matches(config)
    said = a2.difference(config)
    key = next(step for step in reversed(REJECTED[case][0]) if isinstance(step, str))
    assert key in said or (key == "layers" and "layers" in said)


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_the_core_accepts_is_accepted(case):
    config = mutated(a2_config(), *ACCEPTED[case])
    assert a2.matches(config), a2.difference(config)


@pytest.mark.parametrize("size", ["nano", "standard"])
def test_both_sizes_are_accepted(size):
    assert a2.matches(json.loads(json.dumps(a2_config(size))))
    assert a2.size_of(a2.create(size, np.random.default_rng(0))) == size


def test_published_model_is_accepted(nam_reference):
    document = json.loads((nam_reference / "A2.nam").read_text())
    submodels = [entry["model"] for entry in document["config"]["submodels"]]
    assert [a2.matches(model["config"]) for model in submodels] == [True, True]
    assert not a2.matches(document["config"])
    model = load_nam(nam_reference / "A2.nam")
    assert [a2.size_of(model.at_size(v)) for v in (0.0, 1.0)] == ["nano", "standard"]


@pytest.mark.parametrize("config", [None, [], "A2", 3, {}, {"layers": None}])
def test_what_is_no_config_is_refused(config):
    assert not a2.matches(config)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (layer("activation"), "LeakyReLU"),  # the same in other words
        (layer("gating_mode"), "none"),
        (layer("bottleneck"), REMOVED),
        (layer("activation", 7, "negative_slope"), 0.2),
        (layer("activation", 7), {"type": "ReLU"}),
        (layer("head", "head_dilation"), 2),
        (layer("dilations", 3), 18),
    ],
)
def test_a_loaded_model_that_is_off_takes_the_general_pass(path, value):
    """Keeps the number of weights, so that only the detector can reject the mutation."""
    model = a2.create("nano", np.random.default_rng(0))
    weights = np.concatenate([np.ravel(array) for array in model.weight_arrays()]).tolist()
    document = {"version": "0.7.0", "architecture": "WaveNet", "weights": weights}
    config = mutated(a2_config("nano"), path, value)
    assert a2.size_of(model_of(parse(document | {"config": config}, "x.nam"))) is None
