"""Plays a decoded .nam document as NAM's C++ core does, in float64 numpy.

Written from the description of the format, so that wf_jax is checked without wf_jax. A signal here
is [C, 1 + T]: column 0 holds the value after endless silence, which every look back before the
first sample returns. This is the core's prewarming without its rounding. Only an LSTM
has a beginning: its stored state, and half a second of silence from there.
"""

from collections.abc import Callable
from math import floor, prod

import numpy as np

from tests.amps.slow_activations import activate, sigmoid

Signal = np.ndarray
Width = tuple[int, int]  # channels in the file, and how many of them (the first ones) are used


def play(document: dict, x: np.ndarray, *, size: float | None = None) -> np.ndarray:
    """Plays x [T] or [I, T]; returns [T] if x is [T] and the model has one output, else [O, T].

    `size` is a player's size knob. As in the core it reaches a container or a slimmable WaveNet
    at the top of the document only; whatever is nested plays at its full size.
    """
    x = np.asarray(x, np.float64)
    y = respond(document, np.pad(np.atleast_2d(x), ((0, 0), (1, 0))), size)[:, 1:]
    return y[0] if x.ndim == 1 and len(y) == 1 else y


def respond(document: dict, x: Signal, size: float | None = None) -> Signal:
    """Plays one model on any signal, also on another's output: [I, 1 + T] -> [O, 1 + T]."""
    weights = FlatWeights(document["weights"])
    y = ARCHITECTURES[document["architecture"]](document, weights, x, size)
    assert weights.position == len(document["weights"]), "weights are left over"
    return y


def weight_count(document: dict) -> int:
    """Counts the document's own weights; those of nested documents do not count."""
    if document["architecture"] in ("Sequential", "SlimmableContainer"):
        return 0
    weights = FlatWeights(None)
    silence = np.zeros((document["config"].get("in_channels", 1), 1))
    ARCHITECTURES[document["architecture"]](document, weights, silence, None)
    return weights.position


class FlatWeights:
    """Reads the flat weight list from front to back; without values it counts."""

    def __init__(self, values: list[float] | None):
        self.values = None if values is None else np.asarray(values, np.float64)
        self.position = 0

    def take(self, *shape: int) -> np.ndarray:
        start, self.position = self.position, self.position + prod(shape)
        if self.values is None:
            return np.full(shape, 1e-3)
        assert self.position <= len(self.values), "weights are missing"
        return self.values[start : self.position].reshape(shape)


def conv(
    weights: FlatWeights, inputs: Width, outputs: Width, taps=1, *, dilation=1, groups=1, bias=True
) -> Callable[[Signal], Signal]:
    """Sums y[o, t] = bias[o] + weight[o, i, k] x[i, t - (K - 1 - k) dilation] over i and k."""
    (i, i_used), (o, o_used) = inputs, outputs
    assert i % groups == o % groups == 0, f"{groups} groups of {i} -> {o} channels"
    assert groups == 1 or inputs + outputs == (i, i, o, o), "groups cannot be sliced"
    weight = weights.take(o, i // groups, taps)[:o_used, :i_used]
    offset = weights.take(o, 1)[:o_used] if bias else 0.0
    weight = weight.reshape(groups, -1, *weight.shape[1:])  # [G, O/G, I/G, K]

    def apply(x: Signal) -> Signal:
        x = x.reshape(groups, -1, x.shape[1])
        lags = [(taps - 1 - k) * dilation for k in range(taps)]
        y = sum(weight[..., k] @ delayed(x, lag) for k, lag in enumerate(lags))
        return y.reshape(o_used, -1) + offset

    return apply


def delayed(x: np.ndarray, lag: int) -> np.ndarray:
    lag = min(lag, x.shape[-1])
    past = np.repeat(x[..., :1], lag, axis=-1)
    return np.concatenate([past, x[..., : x.shape[-1] - lag]], axis=-1)


# Architectures: document, its weights, x [I, 1 + T], size -> [O, 1 + T]


def wavenet(document: dict, weights: FlatWeights, x: Signal, size: float | None) -> Signal:
    config, arrays = document["config"], document["config"]["layers"]
    condition = respond(config["condition_dsp"], x) if config.get("condition_dsp") else x
    used = [used_channels(array, size) for array in arrays]
    signal, total = x, None
    for i, array in enumerate(arrays):
        inputs = (array["input_size"], used[i - 1] if i else array["input_size"])
        head_used = used[i + 1] if i + 1 < len(arrays) else None
        widths = inputs, (array["channels"], used[i]), head_used
        signal, total = layer_array(array, widths, weights, signal, total, condition)
    post = config.get("head") or {"kernel_sizes": []}
    convs, inputs = [], (len(total), len(total))
    for i, taps in enumerate(post["kernel_sizes"]):
        outputs = post["channels" if i + 1 < len(post["kernel_sizes"]) else "out_channels"]
        convs.append(conv(weights, inputs, (outputs, outputs), taps))
        inputs = (outputs, outputs)
    y = weights.take(1) * total
    for apply in convs:
        y = apply(activate(post["activation"], y))
    return y


def used_channels(array: dict, size: float | None) -> int:
    if not array.get("slimmable") or size is None:
        return array["channels"]
    allowed = (array["slimmable"].get("kwargs") or {}).get("allowed_channels")
    allowed = allowed or range(1, array["channels"] + 1)
    return allowed[min(floor(size * len(allowed)), len(allowed) - 1)]


def layer_array(
    array: dict,
    widths: tuple,
    weights: FlatWeights,
    signal: Signal,
    total: Signal | None,
    c: Signal,
) -> tuple[Signal, Signal]:
    """Returns the residual signal, and the head sum after its convolution."""
    inputs, channels, head_used = widths
    full, used = channels
    b = array.get("bottleneck", full)
    middle = (b, max(1, b * used // full) if array.get("layer1x1", ON)["active"] else used)
    h = conv(weights, inputs, channels, bias=False)(signal)
    for i in range(len(array["dilations"])):
        h, skip = layer(array, i, channels, middle, weights, h, c)
        assert total is None or len(total) == len(skip), "the head sum changes its width"
        total = skip if total is None else total + skip
    legacy = {"out_channels": array.get("head_size"), "bias": array.get("head_bias")}
    head = array.get("head") or {**legacy, "kernel_size": 1}
    outputs = (head["out_channels"], head_used or head["out_channels"])
    options = {"dilation": head.get("head_dilation", 1), "bias": head["bias"]}
    sums = head1x1_width(array) or middle
    return h, conv(weights, sums, outputs, head["kernel_size"], **options)(total)


ON, OFF = {"active": True, "groups": 1}, {"active": False}


def head1x1_width(array: dict) -> Width | None:
    options = array.get("head1x1", OFF)
    return (options["out_channels"],) * 2 if options["active"] else None


def layer(
    array: dict, i: int, channels: Width, middle: Width, weights: FlatWeights, h: Signal, c: Signal
) -> tuple[Signal, Signal]:
    """Returns the input of the next layer, and what goes to the head sum."""
    mode, secondary = gating(array, i)
    before = middle if mode == "none" else (2 * middle[0], 2 * middle[1])
    conditions, heads = (array["condition_size"],) * 2, head1x1_width(array)
    options = {"dilation": array["dilations"][i], "groups": array.get("groups_input", 1)}
    taps = array["kernel_sizes"][i] if "kernel_sizes" in array else array["kernel_size"]
    convolve = conv(weights, channels, before, taps, **options)
    options = {"groups": array.get("groups_input_mixin", 1), "bias": False}
    mixin = conv(weights, conditions, before, **options)
    residual, head1x1 = array.get("layer1x1", ON), array.get("head1x1", OFF)
    if residual["active"]:
        layer1x1 = conv(weights, middle, channels, groups=residual["groups"])
    if heads:
        to_head = conv(weights, middle, heads, groups=head1x1["groups"])
    widths = [  # in the order of the weights
        ("conv_pre_film", channels),
        ("conv_post_film", before),
        ("input_mixin_pre_film", conditions),
        ("input_mixin_post_film", before),
        ("activation_pre_film", before),
        ("activation_post_film", middle),
        ("layer1x1_post_film", channels),
        ("head1x1_post_film", heads),
    ]
    film = {name: film_of(array.get(name), width, weights, c) for name, width in widths}
    z = film["conv_post_film"](convolve(film["conv_pre_film"](h)))
    z = z + film["input_mixin_post_film"](mixin(film["input_mixin_pre_film"](c)))
    a = gate(mode, each(array["activation"], i), secondary, film["activation_pre_film"](z))
    a = film["activation_post_film"](a)
    if residual["active"]:
        h = h + film["layer1x1_post_film"](layer1x1(a))
    return h, film["head1x1_post_film"](to_head(a)) if heads else a


def gating(array: dict, i: int) -> tuple[str, str | dict]:
    if array.get("gating_mode") is None:
        return ("gated" if array.get("gated") else "none"), "Sigmoid"
    return each(array["gating_mode"], i), each(array.get("secondary_activation", "Sigmoid"), i)


def each(value: object, i: int) -> object:
    return value[i] if isinstance(value, list) else value


def gate(mode: str, primary: str | dict, secondary: str | dict, z: Signal) -> Signal:
    if mode == "none":
        return activate(primary, z)
    first, second = np.split(z, 2)
    a, g = activate(primary, first), activate(secondary, second)
    return {"gated": g * a, "blended": g * a + (1 - g) * first}[mode]


def film_of(
    options: dict | bool | None, width: Width, weights: FlatWeights, c: Signal
) -> Callable[[Signal], Signal]:
    """Returns x * scale(c) + shift(c), linear in the condition of the same time; or x itself."""
    if options in (None, False) or not options.get("active", True):
        return lambda x: x
    shifts = options.get("shift", True)
    outputs = (2 * width[0], 2 * width[1]) if shifts else width
    both = conv(weights, (len(c), len(c)), outputs, groups=options.get("groups", 1))(c)
    return lambda x: x * both[: width[1]] + (both[width[1] :] if shifts else 0.0)


def lstm(document: dict, weights: FlatWeights, x: Signal, size: float | None) -> Signal:
    config, hidden = document["config"], document["config"]["hidden_size"]
    cells, state = [], []
    for i in range(config["num_layers"]):
        inputs = hidden if i else config["input_size"]
        cells.append((weights.take(4 * hidden, inputs + hidden), weights.take(4 * hidden)))
        state.append((weights.take(hidden), weights.take(hidden)))
    outputs = config.get("out_channels", 1)
    head, bias = weights.take(outputs, hidden), weights.take(outputs)

    def step(value: np.ndarray) -> np.ndarray:
        for i, (weight, offset) in enumerate(cells):
            h, c = state[i]
            gates = (weight @ np.concatenate([value, h]) + offset).reshape(4, hidden)
            enter, forget, leave = sigmoid(gates[[0, 1, 3]])
            c = forget * c + enter * np.tanh(gates[2])
            value = leave * np.tanh(c)
            state[i] = value, c
        return head @ value + bias

    y = np.empty((outputs, x.shape[1]))
    for _ in range(max(1, int(0.5 * document.get("sample_rate", -1)))):
        last = np.array(state)
        y[:, 0] = step(x[:, 0])
        if np.array_equal(last, state):
            break  # a fixed point: the rest of the half second would repeat it
    for t in range(1, x.shape[1]):
        y[:, t] = step(x[:, t])
    return y


def convnet(document: dict, weights: FlatWeights, x: Signal, size: float | None) -> Signal:
    config, width = document["config"], (document["config"]["channels"],) * 2
    options = {"groups": config.get("groups", 1), "bias": not config["batchnorm"]}
    inputs = (config.get("in_channels", 1),) * 2
    for dilation in config["dilations"]:
        x = conv(weights, inputs, width, 2, dilation=dilation, **options)(x)
        if config["batchnorm"]:
            mean, variance, weight, bias = weights.take(4, width[0], 1)
            x = weight * (x - mean) / np.sqrt(variance + weights.take(1)) + bias
        x, inputs = activate(config["activation"], x), width
    return conv(weights, width, (config.get("out_channels", 1),) * 2)(x)


def linear(document: dict, weights: FlatWeights, x: Signal, size: float | None) -> Signal:
    """Convolves; the first weight meets the current sample, outputs and inputs share a kernel."""
    config = document["config"]
    inputs, outputs = config.get("in_channels", 1), config.get("out_channels", 1)
    if inputs != outputs and 1 not in (inputs, outputs):
        raise ValueError(f"Linear has no rule for {inputs} -> {outputs} channels")
    paths = max(inputs, outputs)
    kernels = weights.take(1 if inputs == outputs else paths, config["receptive_field"])
    bias = weights.take(1 if inputs == outputs else outputs, 1) if config["bias"] else 0.0
    y = np.zeros((outputs, x.shape[1])) + bias
    for path in range(paths):
        kernel, row = kernels[path % len(kernels)], x[path % inputs]
        y[path % outputs] += np.convolve(row - row[0], kernel)[: len(row)] + row[0] * kernel.sum()
    return y


def sequential(document: dict, weights: FlatWeights, x: Signal, size: float | None) -> Signal:
    config = document["config"]
    assert config.get("weights_version") == 2, "the core refuses weights_version 1, its default"
    for entry in config["models"] if "models" in config else config["layers"]:
        x = respond(entry.get("model", entry), x)
    return x


def container(document: dict, weights: FlatWeights, x: Signal, size: float | None) -> Signal:
    entries = document["config"]["submodels"]
    fitting = [e for e in entries if size is not None and size < e["max_value"]]
    return respond((fitting or entries[-1:])[0]["model"], x)


ARCHITECTURES = {
    "WaveNet": wavenet,
    "LSTM": lstm,
    "ConvNet": convnet,
    "Linear": linear,
    "Sequential": sequential,
    "SlimmableContainer": container,
}
