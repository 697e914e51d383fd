"""The envelope of a .nam file: JSON with version, architecture, config, weights and metadata.

Follows the rules of NeuralAmpModelerCore (`NAM/get_dsp.cpp`): earliest version 0.5.0, latest
fully supported 0.7.0. Files come from strangers, so whatever is wrong with one ends in one line.
"""

import collections
import dataclasses
import json
import math
import os
import re
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wf_jax.errors import UserError
from wf_jax.whole_files import write_whole

EARLIEST_VERSION = (0, 5, 0)
LATEST_VERSION = (0, 7, 0)
REQUIRED_KEYS = ("version", "architecture", "config", "weights")
LARGEST_FILE = 12 << 20  # bytes, read within a second; an A2 file with both its sizes has 0.3 MiB
MOST_PARTS = 200_000  # objects and lists; four million of them take two seconds
HIGHEST_RATE = 10_000_000  # Hz


@dataclasses.dataclass(frozen=True)
class NamFile:
    """One .nam object, validated as far as every architecture has it in common.

    Attributes:
        source: where it came from, for messages ("amp.nam", "amp.nam: submodels[0]").
        version: as written, e.g. "0.7.0".
        architecture: e.g. "WaveNet".
        config: the architecture's own options.
        weights: float32 [N].
        sample_rate: Hz, or None where the file does not say.
        metadata: as written; {} where there is none.
        fresh: draws weights in the place of those of the file; None to take the file's.
        totals: what all models of the file ask for so far; see nam_limits.
    """

    source: str
    version: str
    architecture: str
    config: dict[str, Any]
    weights: np.ndarray
    sample_rate: float | None
    metadata: dict[str, Any]
    fresh: np.random.Generator | None = None
    totals: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


def shown(value: Any) -> str:
    """Formats a value for messages: one short line, however large it is."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a number of more than 18 digits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_version(version: Any, source: str) -> None:
    """Applies the core's version rule.

    Raises:
        UserError: the version is malformed, too old or too new.

    Warns:
        UserWarning: a newer patch of the latest version: loaded, but perhaps not fully.
    """
    # Nine digits are what the core's integers hold.
    number = "([0-9]{1,9})"
    match = isinstance(version, str) and re.fullmatch(rf"{number}\.{number}\.{number}", version)
    if not match:
        raise UserError(f'{source}: version {shown(version)} is not of the form "0.7.0"')
    major, minor, patch = (int(part) for part in match.groups())
    if (major, minor, patch) < EARLIEST_VERSION:
        raise UserError(f"{source}: version {version} is older than 0.5.0; export it again")
    # As in the core, major and minor are each held against the latest, not compared as a pair.
    if major > LATEST_VERSION[0] or minor > LATEST_VERSION[1]:
        raise UserError(
            f"{source}: version {version} is newer than 0.7.0, the latest that wf_jax knows; "
            "update wf_jax"
        )
    if (major, minor, patch) > LATEST_VERSION:
        warnings.warn(
            f"{source}: version {version} is newer than 0.7.0; it is read as 0.7.0", stacklevel=2
        )


def parse(document: Any, source: str) -> NamFile:
    """Validates a decoded .nam object, e.g. a submodel of a container.

    Raises:
        UserError: a key is missing or of the wrong type, or the version is unsupported.
    """
    if not isinstance(document, dict):
        raise UserError(f"{source}: a .nam file holds one JSON object, not {kind_of(document)}")
    for key in REQUIRED_KEYS:
        if key not in document:
            raise UserError(f'{source}: the key "{key}" is missing; this is not a .nam model')
    check_version(document["version"], source)
    for key, kind in (("architecture", str), ("config", dict), ("weights", list)):
        if not isinstance(document[key], kind):
            raise UserError(f'{source}: "{key}" is {kind_of(document[key])}, not {_name(kind)}')
    metadata = document.get("metadata")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict):
        raise UserError(f'{source}: "metadata" is {kind_of(metadata)}, not an object')
    return NamFile(
        source,
        document["version"],
        document["architecture"],
        document["config"],
        numbers(document["weights"], f"{source}: weights"),
        _sample_rate(document, source),
        metadata,
    )


def read_nam(path: str | os.PathLike) -> NamFile:
    """Reads a .nam file without building its model.

    Raises:
        UserError: as `read_json`; or what it holds is not a .nam object.
    """
    return parse(read_json(path), str(path))


def read_json(path: str | os.PathLike) -> Any:
    """Decodes a JSON file, strictly.

    Raises:
        UserError: the file is missing, is larger than LARGEST_FILE, has more parts than
            MOST_PARTS, is not JSON, or has what JSON readers disagree on: a key twice in one
            object, NaN, integers without end.
    """
    path = Path(path)
    data = _read_bytes(path)
    if data.count(b"[") + data.count(b"{") > MOST_PARTS:
        raise UserError(f"{path}: more than {MOST_PARTS:,} lists and objects; models have fewer")
    try:
        document = json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_refuse_constant
        )
        if _SURROGATE.search(data) and not _encodes(document):
            raise UserError("a string holds half a surrogate pair")
        return document
    except UnicodeDecodeError:
        raise UserError(f"{path}: cannot be read: not UTF-8 text") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not a complete JSON file: {error}") from None
    except RecursionError:
        raise UserError(f"{path}: not a complete JSON file: nested too deeply") from None
    except ValueError:  # Python's limit of 4300 digits
        raise UserError(f"{path}: holds an integer of thousands of digits") from None


def write_nam(document: dict[str, Any], path: str | os.PathLike) -> None:
    """Writes a .nam object whole or not at all: under a temporary name, then renamed."""
    text = json.dumps(document, allow_nan=False)
    write_whole(path, lambda file: file.write(text.encode()))


# The escape of half a character, at least; most files have none.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _read_bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a terminal might never end
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise UserError(f"{path}: cannot be read: it is {kind}")
        with path.open("rb") as file:
            data = b"" if status.st_size > LARGEST_FILE else file.read(LARGEST_FILE + 1)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path"
        shown_path = path if str(path).isprintable() else repr(str(path))
        raise UserError(f"{shown_path}: cannot be read: {reason}") from None
    if max(status.st_size, len(data)) > LARGEST_FILE:
        raise UserError(
            f"{path}: larger than {LARGEST_FILE >> 20} MiB, the most that is read; models have far "
            "less"
        )
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        key = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise UserError(f"the key {shown(key)} occurs twice in one object")
    return result


def _refuse_constant(name: str) -> None:
    raise UserError(f"{name} is not a number that JSON knows")


def _encodes(value: Any) -> bool:
    """Returns True if UTF-8 can hold every string in a decoded document."""
    if isinstance(value, str):
        return value.isascii() or value == value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return all(_encodes(key) and _encodes(inner) for key, inner in value.items())
    if isinstance(value, list) and not set(map(type, value)) <= {int, float}:
        return all(map(_encodes, value))
    return True


def numbers(values: list, where: str) -> np.ndarray:
    """Returns a list as float32 [N].

    Raises:
        UserError: one of them is no number, or not a finite float32.
    """
    if not set(map(type, values)) <= {int, float}:
        index = _first(lambda value: type(value) not in (int, float), values)
        raise UserError(f"{where}[{index}] is {kind_of(values[index])}, not a number")
    try:
        with np.errstate(over="ignore"):
            weights = np.asarray(values, np.float64).astype(np.float32)
        finite = np.isfinite(weights)
        index = None if finite.all() else int(finite.argmin())
    except OverflowError:
        index = _first(lambda value: abs(value) > 1 << 128, values)
    if index is not None:
        raise UserError(
            f"{where}[{index}] is {shown(values[index])}, not a finite float32; "
            "the training diverged or the file is damaged"
        )
    return weights


def _first(wrong: Callable[[Any], bool], values: list) -> int:
    return next(i for i, value in enumerate(values) if wrong(value))


def _sample_rate(document: dict[str, Any], source: str) -> float | None:
    if "sample_rate" not in document:
        return None
    rate = document["sample_rate"]
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not number or rate > HIGHEST_RATE or 0 < rate < 1 or math.isnan(rate):
        raise UserError(f'{source}: "sample_rate" is {shown(rate)}; give a rate in Hz or no key')
    return float(rate) if rate > 0 else None  # -1 is the core's own "unknown"


def _name(kind: type) -> str:
    return {str: "a string", dict: "an object", list: "a list"}[kind]


def kind_of(value: Any) -> str:
    """Names the kind of a JSON value, for messages."""
    if value is None:
        return "null"
    names = {str: "a string", dict: "an object", list: "a list", bool: "true or false"}
    return names.get(type(value), "a number")
