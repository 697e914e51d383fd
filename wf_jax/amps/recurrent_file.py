"""The recurrent model in a file that is no .nam: its arrays, checked, and how they are played.

JAX is not imported here, so that what is wrong with a file is said at once.
"""

import dataclasses
import re
from typing import Any

import numpy as np

from wf_jax.amps.nam_file import HIGHEST_RATE, NamFile, kind_of, numbers, shown
from wf_jax.amps.nam_options import MOST_CELLS, Options
from wf_jax.errors import UserError

GATES = {"LSTM": 4, "GRU": 3}  # by the names of PyTorch


@dataclasses.dataclass(frozen=True)
class RecurrentFile(NamFile):
    """A model of one input and one output, with the fields of a NamFile for those who read them.

    Attributes:
        version: the format's name.
        architecture: "LSTM" or "GRU".
        config: `layers`, `input_size` and `hidden_size`, as RecurrentConfig has them.
        weights: in the order in which the model takes them; the file's gains are in them.
        skip: how many times the input is added to the output; 0 for not at all.
    """

    skip: float = 0.0


@dataclasses.dataclass(frozen=True)
class CellArrays:
    """The arrays of one cell, float64, the gates in PyTorch's order.

    These are i, f, g, o of an LSTM (`torch.nn.LSTM`) and r, z, n of a GRU (`torch.nn.GRU`).

    Attributes:
        kernel: [G H, I], of the input.
        hidden_kernel: [G H, H], of h.
        bias: [G H], added to the product with the input.
        hidden_bias: [G H], added to the product with h.
    """

    kernel: np.ndarray
    hidden_kernel: np.ndarray
    bias: np.ndarray
    hidden_bias: np.ndarray

    def weights(self) -> list[np.ndarray]:
        """The arrays in the order in which our cell takes them."""
        hidden = self.hidden_kernel.shape[1]
        if len(self.bias) == GATES["GRU"] * hidden:
            return [self.kernel, self.hidden_kernel, self.bias, self.hidden_bias]
        kernel = np.hstack([self.kernel, self.hidden_kernel])
        return [kernel, self.bias + self.hidden_bias, np.zeros(2 * hidden)]  # h and c begin at 0


@dataclasses.dataclass(frozen=True)
class Playing:
    """y = output_gain (head h + bias + skip u), where h follows from u = input_gain x."""

    skip: int = 0
    input_gain: float = 1.0
    output_gain: float = 1.0


def recurrent_file(
    envelope: NamFile, cells: list[CellArrays], head: np.ndarray, bias: np.ndarray, playing: Playing
) -> RecurrentFile:
    """Makes the file of its parts.

    Args:
        envelope: all but config and weights.
        cells: from the input on.
        head: [1, H].
        bias: [1].
        playing: the gains, which go into the weights, and the skip connection.

    Raises:
        UserError: the gains make weights that no float32 holds.
    """
    first = dataclasses.replace(cells[0], kernel=cells[0].kernel * playing.input_gain)
    arrays = [array for cell in (first, *cells[1:]) for array in cell.weights()]
    arrays += [head * playing.output_gain, bias * playing.output_gain]
    with np.errstate(over="ignore"):
        weights = np.concatenate([np.ravel(array) for array in arrays]).astype(np.float32)
    if not np.isfinite(weights).all():
        raise UserError(f"{envelope.source}: its weights, with its gains, exceed float32")
    return RecurrentFile(
        source=envelope.source,
        version=envelope.version,
        architecture=envelope.architecture,
        config={"layers": len(cells), "input_size": 1, "hidden_size": head.shape[1]},
        weights=weights,
        sample_rate=envelope.sample_rate,
        metadata=envelope.metadata,
        skip=playing.skip * playing.input_gain * playing.output_gain,
    )


def envelope(document: dict, source: str, version: str, architecture: str, rate: float) -> NamFile:
    """Reads what a document says about its model, without the arrays.

    Args:
        document: the file's JSON.
        source: its name, for messages.
        version: the format's name.
        architecture: "LSTM" or "GRU".
        rate: Hz, where the document does not say.

    Raises:
        UserError: the metadata or the rate is malformed.
    """
    metadata = document.get("metadata")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict):
        raise UserError(f'{source}: "metadata" is {kind_of(metadata)}, not an object')
    said = [place["samplerate"] for place in (metadata, document) if place.get("samplerate")]
    rate = _rate(said[0], source) if said else rate
    return NamFile(source, version, architecture, {}, np.zeros(0, np.float32), rate, metadata)


def check_count(layers: int, where: str) -> None:
    """Refuses more cells than a program holds."""
    if layers > MOST_CELLS:
        raise UserError(f"{where}: {layers:,} layers; {MOST_CELLS} are the most")


def flag(options: Options, key: str, default: int) -> int:
    """Returns 0 or 1.

    Raises:
        UserError: it is anything else.
    """
    value = options.values.get(key)
    value = default if value is None else value
    if type(value) in (int, float) and value in (0, 1):
        return int(value)
    raise options.error(key, "0 or 1")


def vector(value: Any, where: str, size: int) -> np.ndarray:
    """Returns a list of `size` numbers as float64 [size].

    Raises:
        UserError: it has another length, or holds what is not a finite float32.
    """
    _check_length(value, where, size, "numbers")
    return numbers(value, where).astype(np.float64)


def matrix(value: Any, where: str, rows: int, columns: int) -> np.ndarray:
    """Returns a list of `rows` lists of `columns` numbers as float64 [rows, columns].

    Raises:
        UserError: as `vector`.
    """
    _check_length(value, where, rows, "lists")
    return np.stack([vector(row, f"{where}[{i}]", columns) for i, row in enumerate(value)])


def _check_length(value: Any, where: str, size: int, what: str) -> None:
    if not isinstance(value, list):
        raise UserError(f"{where}: {shown(value)} is not a list of {size:,} {what}")
    if len(value) != size:
        raise UserError(f"{where}: a list of {len(value):,}; {size:,} {what} are due")


def _rate(value: Any, source: str) -> float:
    """Reads a rate in Hz; published AIDA-X files have it as text."""
    if isinstance(value, str) and re.fullmatch("[0-9]{1,8}(\\.[0-9]{1,8})?", value):
        value = float(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 1 <= value <= HIGHEST_RATE:
        raise UserError(f'{source}: "samplerate" is {shown(value)}; give a rate in Hz or no key')
    return float(value)
