"""Documents of GuitarML and AIDA-X with drawn weights, and how they play, in float64 loops.

The loops follow the equations in the documentation of `torch.nn.LSTM` and `torch.nn.GRU`, and
those of Keras's LSTM and GRU (`reset_after=True`), each with the arrays of its own layout, and
not wf_jax.
"""

import numpy as np

GATES = {"LSTM": 4, "GRU": 3}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def drawn(rng, *shape, scale=0.6):
    return rng.normal(scale=scale, size=shape).astype(np.float32).tolist()


def guitarml(unit="LSTM", hidden=5, layers=1, skip=1, bias=True, seed=0, **model_data):
    """Makes a file of CoreAudioML's SimpleRNN."""
    rng, rows, arrays = np.random.default_rng(seed), GATES[unit] * hidden, {}
    for i in range(layers):
        arrays[f"rec.weight_ih_l{i}"] = drawn(rng, rows, hidden if i else 1)
        arrays[f"rec.weight_hh_l{i}"] = drawn(rng, rows, hidden)
        arrays[f"rec.bias_ih_l{i}"] = drawn(rng, rows)
        arrays[f"rec.bias_hh_l{i}"] = drawn(rng, rows)
    arrays["lin.weight"] = drawn(rng, 1, hidden)
    if bias:
        arrays["lin.bias"] = drawn(rng, 1)
    sizes = {"input_size": 1, "output_size": 1, "hidden_size": hidden, "num_layers": layers}
    described = {"model": "SimpleRNN", "unit_type": unit, "skip": skip, "bias_fl": bias}
    return {"model_data": described | sizes | model_data, "state_dict": arrays}


def aida_x(unit="lstm", hidden=5, layers=1, seed=0, **more):
    """Makes a file of AIDA-X; `more` are keys beside the layers."""
    rng, columns, cells = np.random.default_rng(seed), GATES[unit.upper()] * hidden, []
    for i in range(layers):
        bias = drawn(rng, columns) if unit == "lstm" else drawn(rng, 2, columns)
        arrays = [drawn(rng, hidden if i else 1, columns), drawn(rng, hidden, columns), bias]
        cells.append(layer(unit, hidden, arrays))
    dense = layer("dense", 1, [drawn(rng, hidden, 1), drawn(rng, 1)])
    return {"in_shape": [None, None, 1], "layers": [*cells, dense]} | more


def layer(kind, units, arrays, activation=""):
    shape = [None, None, units]
    return {"type": kind, "activation": activation, "shape": shape, "weights": arrays}


def play(document, x, silence=0):
    """Plays x [T] after `silence` zeros: y [T]."""
    x = np.concatenate([np.zeros(silence), np.asarray(x, np.float64)])
    y = _guitarml(document, x) if "model_data" in document else _aida_x(document, x)
    return y[silence:]


def _guitarml(document, x):
    described, arrays = document["model_data"], document["state_dict"]
    step = {"LSTM": _torch_lstm, "GRU": _torch_gru}[described["unit_type"]]
    signal = x[:, None]
    for i in range(described["num_layers"]):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        signal = _run(step, [np.array(arrays[f"rec.{name}_l{i}"]) for name in names], signal)
    y = signal @ np.array(arrays["lin.weight"][0])
    y = y + arrays["lin.bias"][0] if described["bias_fl"] else y
    return y + x if described["skip"] else y


def _aida_x(document, x):
    *cells, dense = document["layers"]
    u = x * _factor(document.get("in_gain"))
    signal = u[:, None]
    for cell in cells:
        step = {"lstm": _keras_lstm, "gru": _keras_gru}[cell["type"]]
        signal = _run(step, [np.array(array) for array in cell["weights"]], signal)
    kernel, bias = dense["weights"]
    y = signal @ np.array(kernel)[:, 0] + bias[0]
    y = y + u if document.get("in_skip") else y
    return y * _factor(document.get("out_gain"))


def _factor(decibels):
    if decibels is None:
        return 1.0
    return 0.0 if decibels <= -90 else 10 ** (decibels / 20)


def _run(step, arrays, signal):
    """Steps over time: signal [T, I] -> h [T, H]."""
    h = c = np.zeros(min(arrays[1].shape))  # the kernel of h is [gates H, H], or [H, gates H]
    outputs = []
    for x in signal:
        h, c = step(arrays, x, h, c)
        outputs.append(h)
    return np.array(outputs)


def _torch_lstm(arrays, x, h, c):
    w_ih, w_hh, b_ih, b_hh = arrays
    i, f, g, o = np.split(w_ih @ x + b_ih + w_hh @ h + b_hh, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def _torch_gru(arrays, x, h, c):
    w_ih, w_hh, b_ih, b_hh = arrays
    w_ir, w_iz, w_in = np.split(w_ih, 3)
    w_hr, w_hz, w_hn = np.split(w_hh, 3)
    b_ir, b_iz, b_in = np.split(b_ih, 3)
    b_hr, b_hz, b_hn = np.split(b_hh, 3)
    r = sigmoid(w_ir @ x + b_ir + w_hr @ h + b_hr)
    z = sigmoid(w_iz @ x + b_iz + w_hz @ h + b_hz)
    n = np.tanh(w_in @ x + b_in + r * (w_hn @ h + b_hn))
    return (1 - z) * n + z * h, c


def _keras_lstm(arrays, x, h, c):
    kernel, recurrent, bias = arrays
    i, f, new, o = np.split(x @ kernel + h @ recurrent + bias, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
    return sigmoid(o) * np.tanh(c), c


def _keras_gru(arrays, x, h, c):
    kernel, recurrent, (input_bias, recurrent_bias) = arrays
    x_z, x_r, x_h = np.split(x @ kernel + input_bias, 3)
    inner_z, inner_r, inner_h = np.split(h @ recurrent + recurrent_bias, 3)
    z, r = sigmoid(x_z + inner_z), sigmoid(x_r + inner_r)
    return z * h + (1 - z) * np.tanh(x_h + r * inner_h), c


EXAMPLES = {
    "guitarml_lstm": lambda: guitarml(),
    "guitarml_lstm_no_skip": lambda: guitarml(skip=0),
    "guitarml_lstm_3_layers": lambda: guitarml(hidden=4, layers=3),
    "guitarml_lstm_no_bias": lambda: guitarml(bias=False, skip=0),
    "guitarml_gru": lambda: guitarml("GRU"),
    "guitarml_gru_2_layers": lambda: guitarml("GRU", hidden=3, layers=2, skip=0),
    "guitarml_one_unit": lambda: guitarml(hidden=1),
    "aida_x_lstm": lambda: aida_x(),
    "aida_x_lstm_skip": lambda: aida_x(in_skip=1),
    "aida_x_lstm_gains": lambda: aida_x(in_gain=-6.0, out_gain=3.5),
    "aida_x_lstm_all": lambda: aida_x(in_skip=1, in_gain=7.25, out_gain=-4.0),
    "aida_x_gru": lambda: aida_x("gru"),
    "aida_x_gru_all": lambda: aida_x("gru", in_skip=1, in_gain=-2.0, out_gain=6.0),
    "aida_x_gru_2_layers": lambda: aida_x("gru", hidden=3, layers=2),
    "aida_x_one_unit": lambda: aida_x(hidden=1),
    "aida_x_silence": lambda: aida_x(in_skip=1, in_gain=-90.0),
}
