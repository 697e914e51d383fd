"""Reads the JSON of GuitarML and Proteus: a `SimpleRNN` of Automated-GuitarAmpModelling.

The rules are those of the code that trains and of the code that plays:

- Sizes, the skip connection, and which arrays there are: CoreAudioML, `networks.py` (`SimpleRNN`,
  `load_model`). The unit is a `torch.nn.LSTM` or `torch.nn.GRU`, both with two biases; `bias_fl`
  is about the linear layer alone. `skip` is how many inputs are added to the output. Proteus
  (`src/RTNeuralLSTM.cpp`) adds the input whatever the file says; all of its own files say 1.
- The rate, which files do not give: 44.1 kHz, to which Proteus resamples
  (`src/PluginProcessor.cpp`).
"""

from typing import Any

import numpy as np

from wf_jax.amps.nam_options import Options
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

VERSION = "SimpleRNN (GuitarML)"
RATE = 44100.0  # Hz


def describes(document: dict[str, Any]) -> bool:
    """Tells by its keys whether a document is of this format."""
    return "model_data" in document or "state_dict" in document


def parse(document: dict[str, Any], source: str) -> RecurrentFile:
    """Validates a decoded file.

    Raises:
        UserError: one line naming file, key and expectation; also for a model with knobs.
    """
    options = Options(document.get("model_data"), f"{source}: model_data")
    options.choice("model", ("SimpleRNN",))
    layers, hidden, skip = _sizes(options)
    unit = options.choice("unit_type", tuple(GATES))
    arrays = Options(document.get("state_dict"), f"{source}: state_dict")
    file = envelope(document, source, VERSION, unit, RATE)
    cells = [_cell(arrays, i, GATES[unit], hidden) for i in range(layers)]
    head = _matrix(arrays, "lin.weight", 1, hidden)
    biased = options.boolean("bias_fl", True)
    bias = _vector(arrays, "lin.bias", 1) if biased else np.zeros(1)
    return recurrent_file(file, cells, head, bias, Playing(skip=skip))


def _sizes(options: Options) -> tuple[int, int, int]:
    """Returns layers, hidden size, and how many inputs are added to the output."""
    inputs = options.channels("input_size", 1)
    if inputs > 1:
        raise UserError(
            f"{options.where}.input_size: {inputs}, a model with knobs; only those without are "
            "played (input_size 1)"
        )
    if options.channels("output_size", 1) > 1:
        raise options.error("output_size", "1, which is the most that is played")
    layers = options.integer("num_layers", 1)
    check_count(layers, f"{options.where}.num_layers")
    return layers, options.channels("hidden_size"), flag(options, "skip", 1)


def _cell(arrays: Options, layer: int, gates: int, hidden: int) -> CellArrays:
    rows, inputs = gates * hidden, hidden if layer else 1
    return CellArrays(
        kernel=_matrix(arrays, f"rec.weight_ih_l{layer}", rows, inputs),
        hidden_kernel=_matrix(arrays, f"rec.weight_hh_l{layer}", rows, hidden),
        bias=_vector(arrays, f"rec.bias_ih_l{layer}", rows),
        hidden_bias=_vector(arrays, f"rec.bias_hh_l{layer}", rows),
    )


def _matrix(arrays: Options, key: str, rows: int, columns: int) -> np.ndarray:
    return matrix(_value(arrays, key), f"{arrays.where}.{key}", rows, columns)


def _vector(arrays: Options, key: str, size: int) -> np.ndarray:
    return vector(_value(arrays, key), f"{arrays.where}.{key}", size)


def _value(arrays: Options, key: str) -> Any:
    if key not in arrays.values:
        raise arrays.error(key, "an array of the model")
    return arrays.values[key]
