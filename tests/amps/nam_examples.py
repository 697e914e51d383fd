"""Small .nam documents, at least one for every feature of the format.

`EXAMPLES[name]()` gives a document, anew each time. Receptive fields are below 200 samples but for
linear_long (4096 taps) and identity_wavenet_standard (4093).
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from tests.amps.nam_documents import (
    array,
    batchnorm_convnet,
    container,
    convnet,
    document,
    head,
    head1x1,
    linear,
    loud,
    lstm,
    one,
    sequential,
    slices,
    stereo,
    wavenet,
)

LEGACY = {"head_size": 1, "head_bias": True, "gated": False}
LIMITS = {"min_val": -0.5, "max_val": 0.25, "min_slope": 0.1, "max_slope": 0.3}
FILMS = [f"{place}_film" for place in ("conv_pre", "conv_post", "input_mixin_pre")]
FILMS += [f"{place}_film" for place in ("input_mixin_post", "activation_pre", "activation_post")]
FILMS += ["layer1x1_post_film", "head1x1_post_film"]
ACTIVATIONS = {
    **{name: {"type": name} for name in ("Tanh", "Hardtanh", "Fasttanh", "ReLU", "LeakyReLU")},
    **{name: name for name in ("PReLU", "Sigmoid", "SiLU", "Hardswish", "Softsign")},
    **{name: name for name in ("LeakyHardtanh", "LeakyHardTanh")},
    "Hardtanh_limits": {"type": "Hardtanh", "min_val": -0.3, "max_val": 0.2},
    "LeakyReLU_slope": {"type": "LeakyReLU", "negative_slope": 0.25},
    "PReLU_slope": {"type": "PReLU", "negative_slope": 0.25},
    "PReLU_slopes": {"type": "PReLU", "negative_slopes": [0.1, -0.2, 0.3, 0.5]},
    "LeakyHardtanh_limits": {"type": "LeakyHardtanh", **LIMITS},
}


def slim_pair() -> dict:
    films = {name: {"shift": True} for name in FILMS[:7]} | {
        "activation_post_film": {"shift": False}
    }
    first = array(channels=6, bottleneck=3, slimmable=slices(), head=head(4), **films)
    first |= {"gating_mode": ["gated", "blended"], "head1x1": head1x1(4)}
    second = array(input_size=6, gating_mode="gated", slimmable=slices(2, 4), **films)
    return wavenet(first, second)


def everything() -> dict:
    """Returns a document with nearly all WaveNet keys, the condition model included."""
    films = {name: {"shift": i % 2 == 0, "groups": 1} for i, name in enumerate(FILMS)}
    prelu = {"type": "PReLU", "negative_slopes": [0.04, 0.3]}
    mixed = {"gating_mode": ["blended", "none"], "secondary_activation": ["Hardswish", None]}
    below = array(channels=3, bottleneck=6, groups_input=3, gating_mode="gated", **films)
    below |= {"head1x1": head1x1(4, 2), "layer1x1": {"active": True, "groups": 3}}
    above = array(input_size=3, bottleneck=2, activation=[prelu, "Softsign"], **mixed, **films)
    above |= {"head": head(4, 2, head_dilation=3), "head1x1": head1x1(4, 2)}
    condition = wavenet(below | {"head": head(4)}, above)
    grouped = {name: {"active": True, "groups": 2} for name in FILMS}
    top = array(condition_size=4, kernel_sizes=[4, 2], groups_input_mixin=4, groups_input=2)
    top |= grouped | {"head1x1": head1x1(4, 2), "head": head(2), "activation": "SiLU"}
    post = {"channels": 3, "out_channels": 1, "kernel_sizes": [2, 3], "activation": "LeakyReLU"}
    return wavenet(top, condition_dsp=condition, head=post)


def identity_standard() -> dict:
    """Returns the A1 standard shape that plays x + 1 > 0 through one channel, minus 1."""
    shape = {"dilations": [2**i for i in range(10)], "activation": "ReLU"}
    first = array(channels=16, head_size=8, head_bias=False, **shape)
    second = array(input_size=16, channels=8, head_size=1, head_bias=True, **shape)
    weights = np.zeros(13802)
    weights[[784, 800, 10736, 13792, 13801]] = 1  # bias, mixin, both heads, head_scale
    weights[13800] = -1
    config = {"layers": [first, second], "head": None, "head_scale": 1.0}
    return document("WaveNet", config, weights.tolist(), rate=None)


EXAMPLES: dict[str, Callable[[], dict]] = {
    "legacy": lambda: wavenet(
        array(channels=3, **LEGACY | {"head_size": 2, "head_bias": False}),
        array(input_size=3, channels=2, dilations=[8], **LEGACY),
    ),
    "legacy_gated": one(**LEGACY | {"gated": True}),
    "per_layer": one(kernel_sizes=[2, 5], activation=["ReLU", {"type": "Sigmoid"}]),
    **{f"activation_{name}": loud(activation=value) for name, value in ACTIVATIONS.items()},
    "gated": one(gating_mode="gated", secondary_activation={"type": "Hardtanh"}),
    "gated_default": one(gating_mode="gated", activation="Softsign"),
    "blended": one(gating_mode="blended", secondary_activation="SiLU"),
    "blended_prelu": one(gating_mode="blended", activation=ACTIVATIONS["PReLU_slopes"]),
    "gating_none": one(gating_mode="none", secondary_activation=""),
    "gating_mixed": one(
        dilations=[1, 2, 3],
        gating_mode=["gated", "none", "blended"],
        secondary_activation=["Sigmoid", None, {"type": "LeakyHardtanh", **LIMITS}],
    ),
    "bottleneck_narrow": one(bottleneck=2),
    "bottleneck_wide": one(bottleneck=6, gating_mode="gated"),
    "groups_input": one(groups_input=2, gating_mode="gated"),
    "groups_depthwise": one(groups_input=4),
    "groups_mixin": stereo(groups_input_mixin=2),
    "groups_layer1x1": one(bottleneck=2, layer1x1={"active": True, "groups": 2}),
    "groups_head1x1": one(head1x1=head1x1(6, 2)),
    "groups_film": stereo(
        head1x1=head1x1(2), **{name: {"active": True, "shift": True, "groups": 2} for name in FILMS}
    ),
    **{f"film_{name}": one(head1x1=head1x1(3), **{name: {}}) for name in FILMS},
    **{
        f"film_{name}_no_shift": one(
            head1x1=head1x1(3), gating_mode="gated", **{name: {"active": True, "shift": False}}
        )
        for name in FILMS
    },
    "film_off": one(conv_pre_film=False, conv_post_film={"active": False, "shift": True}),
    "head1x1": one(head1x1=head1x1(3), bottleneck=2),
    "layer1x1_off": one(dilations=[1, 2, 4], layer1x1={"active": False, "groups": 1}),
    "head_kernel": one(head=head(kernel_size=4, head_dilation=3)),
    "head_kernel_between": lambda: wavenet(
        array(head=head(4, kernel_size=3, bias=False)), array(input_size=4, dilations=[3])
    ),
    "post_stack_head": lambda: wavenet(
        array(head=head(2)),
        head={"channels": 3, "out_channels": 1, "kernel_sizes": [3, 1, 2], "activation": "Tanh"},
    ),
    "condition_wavenet": lambda: wavenet(
        array(condition_size=3, channels=3, head=head(4)),
        array(input_size=3, condition_size=3, dilations=[4], activation_pre_film={}),
        condition_dsp=wavenet(array(head=head(3))),
    ),
    "condition_lstm": lambda: wavenet(
        array(condition_size=2), condition_dsp=lstm(in_channels=1, out_channels=2)
    ),
    "channels_2_in_3_out": stereo(head=head(3)),
    "three_arrays": lambda: wavenet(
        array(channels=3, head=head(4)),
        array(input_size=3, head=head(2), dilations=[4]),
        array(input_size=4, channels=2, dilations=[2], activation="ReLU"),
    ),
    "slimmable": one(slimmable=slices(1, 3, 4), dilations=[1, 2, 4]),
    "slimmable_bottleneck": one(channels=5, bottleneck=3, slimmable=slices(), activation="SiLU"),
    "slimmable_no_layer1x1": one(slimmable=slices(2, 4), layer1x1={"active": False, "groups": 1}),
    "slimmable_two_arrays": slim_pair,
    "lstm": lstm,
    "lstm_two_layers": partial(lstm, num_layers=2, hidden_size=4),
    "lstm_no_rate": partial(lstm, rate=None),
    "lstm_channels": partial(lstm, input_size=2, in_channels=2, out_channels=2),
    "convnet": convnet,
    "convnet_batchnorm": batchnorm_convnet,
    "convnet_groups": partial(convnet, groups=2, in_channels=2, out_channels=3),
    "linear": linear,
    "linear_bias": partial(linear, 7, True, in_channels=1, out_channels=1),
    "linear_long": partial(linear, 4096, implementation="auto"),
    "linear_fft": partial(linear, 40, True, implementation="fft"),
    "linear_2_to_2": partial(linear, bias=True, in_channels=2, out_channels=2),
    "linear_1_to_3": partial(linear, bias=True, in_channels=1, out_channels=3),
    "linear_2_to_1": partial(linear, bias=True, in_channels=2, out_channels=1),
    "sequential": lambda: sequential("models", [one()(), linear(9, True)]),
    "sequential_lstm": lambda: sequential("models", [lstm(), convnet()]),
    "sequential_layers": lambda: sequential("layers", [{"model": linear()}, {"model": one()()}]),
    "sequential_nested": lambda: sequential("models", [EXAMPLES["sequential"](), convnet()]),
    "container": lambda: container((0.3, linear()), (0.6, lstm()), (1.0, one()())),
    "container_nested": lambda: container(
        (0.4, container((0.2, linear()), (1.0, convnet()))),
        (0.7, EXAMPLES["slimmable"]()),
        (1.5, EXAMPLES["sequential"]()),
    ),
    "everything": everything,
    "identity_linear": lambda: document("Linear", {"receptive_field": 1, "bias": False}, [1.0]),
    "identity_linear_10": lambda: document(
        "Linear", {"receptive_field": 10, "bias": False}, [1.0] + 9 * [0.0]
    ),
    "identity_wavenet": lambda: document(
        "WaveNet",
        {"layers": [array(channels=1, kernel_size=1, dilations=[1], activation="ReLU")]},
        [1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 1.0],
    ),
    "identity_wavenet_standard": identity_standard,
}


def sizes(document: dict) -> list[float | None]:
    """Returns sizes worth testing: none, the range limits, and both sides of every breakpoint."""
    config, breaks = document["config"], []
    if document["architecture"] == "SlimmableContainer":
        breaks = [entry["max_value"] for entry in config["submodels"][:-1]]
    elif document["architecture"] == "WaveNet":
        for layers in config["layers"]:
            if layers.get("slimmable"):
                allowed = layers["slimmable"]["kwargs"].get("allowed_channels")
                number = len(allowed) if allowed else layers["channels"]
                breaks += [i / number for i in range(1, number)]
    near = [value for middle in sorted(set(breaks)) for value in (middle - 1e-6, middle)]
    return [None, 0.0, *near, 1.0] if breaks else [None]
