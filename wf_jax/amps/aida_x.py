"""Reads the JSON of AIDA-X: a recurrent Keras model as RTNeural writes it, with gains.

The rules are those of the code that writes and of the code that plays:

- Layers: RTNeural, `RTNeural/model_loader.h` and `RTNeural/lstm`, `gru`, `dense`. Arrays are in
  Keras's layout, [inputs, gates H], the gates of an LSTM in the order i, f, c, o and those of a
  GRU in the order z, r, h. A GRU has two biases, that of h inside the reset gate (Keras's
  `reset_after`). A cell's activations are always tanh and sigmoid: the key `activation` of a cell
  is not read, and AidaDSP's converter (Automated-GuitarAmpModelling, `modelToKeras.py`) leaves it
  empty.
- AIDA-X (`src/aidadsp-plugin.cpp`) and aidadsp-lv2 (`rt-neural-generic.cpp`) play one LSTM or GRU
  and a dense layer of one unit without an activation: u = in_gain x, y = out_gain (f(u) + in_skip
  u), the gains in dB, of which -90 and less are silence.
- The rate: `samplerate` of the metadata, else of the file, else 48 kHz (aidadsp-lv2).
"""

from typing import Any

import numpy as np

from wf_jax.amps.nam_file import shown
from wf_jax.amps.nam_options import Document, Options
from wf_jax.amps.recurrent_file import (
    GATES,
    CellArrays,
    Playing,
    RecurrentFile,
    check_count,
    envelope,
    flag,
    matrix,
    recurrent_file,
    vector,
)
from wf_jax.errors import UserError

VERSION = "RTNeural JSON (AIDA-X)"
RATE = 48000.0  # Hz
SILENCE = -90.0  # dB, a gain of 0
LOUDEST = 120.0  # dB; far above all that make sense
UNITS = {"lstm": "LSTM", "gru": "GRU"}
DENSE = ("dense", "time-distributed-dense")


def describes(document: dict[str, Any]) -> bool:
    """Tells by its keys whether a document is of this format."""
    return "layers" in document and "in_shape" in document


def parse(document: dict[str, Any], source: str) -> RecurrentFile:
    """Validates a decoded file.

    Raises:
        UserError: one line naming file, key and expectation; also for a model with knobs, and for
            layers that AIDA-X does not play.
    """
    options = Document(document, source)
    if (inputs := _units(options, "in_shape")) > 1:
        raise UserError(
            f"{source}: in_shape: {inputs} inputs, a model with knobs; only those without are "
            "played (1 input)"
        )
    *recurrent, dense = _layers(options)
    unit = UNITS[recurrent[0].values["type"]]
    hidden = _units(recurrent[0], "shape")
    file = envelope(document, source, VERSION, unit, RATE)
    cells = [_cell(layer, unit, hidden if i else 1, hidden) for i, layer in enumerate(recurrent)]
    gains = _gain(options, "in_gain"), _gain(options, "out_gain")
    playing = Playing(flag(options, "in_skip", 0), *gains)
    return recurrent_file(file, cells, *_head(dense, hidden), playing)


def _layers(options: Options) -> list[Options]:
    """Returns cells of one kind, and a dense layer."""
    values = options.values["layers"]
    if not isinstance(values, list) or len(values) < 2:
        raise options.error("layers", "a list of an LSTM or GRU and a dense layer")
    check_count(len(values) - 1, options.path("layers"))
    layers = options.objects("layers", "layers")
    kinds = [layer.values.get("type") for layer in layers]
    for i, (layer, kind) in enumerate(zip(layers, kinds, strict=True)):
        due = DENSE if i + 1 == len(layers) else kinds[:1] if i else tuple(UNITS)
        if kind not in due:
            raise UserError(
                f"{layer.where}.type: {shown(kind)}; models of an LSTM or GRU and one dense layer "
                "at the end are played, as by AIDA-X; train one of these"
            )
    return layers


def _cell(layer: Options, unit: str, inputs: int, hidden: int) -> CellArrays:
    """Reads Keras's arrays of one cell."""
    if _units(layer, "shape") != hidden:
        raise UserError(f"{layer.where}.shape: cells of one size, {hidden}, are played")
    layer.choice("activation", ("", "tanh"), "")
    where, columns = f"{layer.where}.weights", GATES[unit] * hidden
    kernel, hidden_kernel, biases = _arrays(layer, 3)
    kernel = matrix(kernel, f"{where}[0]", inputs, columns).T
    hidden_kernel = matrix(hidden_kernel, f"{where}[1]", hidden, columns).T
    if unit == "LSTM":
        bias = vector(biases, f"{where}[2]", columns)
        return CellArrays(kernel, hidden_kernel, bias, np.zeros(columns))
    if isinstance(biases, list) and len(biases) == columns:
        raise UserError(f"{where}[2]: one bias; a GRU with reset_after, that has two, is played")
    bias, hidden_bias = matrix(biases, f"{where}[2]", 2, columns)
    return CellArrays(
        *(_reset_first(array) for array in (kernel, hidden_kernel, bias, hidden_bias))
    )


def _reset_first(array: np.ndarray) -> np.ndarray:
    """Puts the gates z, r, h [3 H, ...] into the order r, z, h."""
    update, reset, new = np.split(array, 3)
    return np.concatenate([reset, update, new])


def _head(layer: Options, hidden: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads the dense layer: [1, H] and its bias [1], zero if it has none."""
    if (units := _units(layer, "shape")) != 1:
        raise UserError(f"{layer.where}.shape: {units} outputs; models of 1 are played")
    if layer.values.get("activation", ""):
        raise UserError(
            f"{layer.where}.activation: {shown(layer.values['activation'])}; AIDA-X plays a last "
            "layer without one, so leave it empty"
        )
    kernel, *bias = _arrays(layer, 1, 2)
    kernel = matrix(kernel, f"{layer.where}.weights[0]", hidden, 1).T
    return kernel, vector(bias[0], f"{layer.where}.weights[1]", 1) if bias else np.zeros(1)


def _arrays(layer: Options, *counts: int) -> list[Any]:
    arrays = layer.values.get("weights")
    if not isinstance(arrays, list) or len(arrays) not in counts:
        raise layer.error("weights", f"a list of {' or '.join(map(str, counts))} arrays")
    return arrays


def _units(options: Options, key: str) -> int:
    """Returns the last number of a shape, [null, null, N]."""
    shape = options.values.get(key)
    if not isinstance(shape, list) or not 1 <= len(shape) <= 4:
        raise options.error(key, "a shape like [null, null, 1]")
    return type(options)({key: shape[-1]}, options.where).channels(key)


def _gain(options: Options, key: str) -> float:
    """Returns a gain in dB as a factor; 1 where the file has none."""
    decibels = options.number(key, 0.0) if options.present(key) else 0.0
    if decibels > LOUDEST:
        raise options.error(key, f"a gain of up to {LOUDEST:g} dB")
    return 10 ** (decibels / 20) if decibels > SILENCE else 0.0
