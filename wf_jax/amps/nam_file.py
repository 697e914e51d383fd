"""The envelope of a .nam file: JSON with version, architecture, config, weights and metadata.

Follows the rules of NeuralAmpModelerCore (`NAM/get_dsp.cpp`): earliest version 0.5.0, latest
fully supported 0.7.0.
"""

import dataclasses
import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from wf_jax.atomic import write_whole

EARLIEST_VERSION = (0, 5, 0)
LATEST_VERSION = (0, 7, 0)
REQUIRED_KEYS = ("version", "architecture", "config", "weights")


class NamFileError(ValueError):
    """A .nam file that cannot be used; the message names file, key and expectation."""


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
    """

    source: str
    version: str
    architecture: str
    config: dict[str, Any]
    weights: np.ndarray
    sample_rate: float | None
    metadata: dict[str, Any]


def check_version(version: Any, source: str) -> None:
    """Applies the core's version rule.

    Raises:
        NamFileError: the version is malformed, too old or too new.

    Warns:
        UserWarning: a newer patch of the latest version: loaded, but perhaps not fully.
    """
    match = isinstance(version, str) and re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    if not match:
        raise NamFileError(f'{source}: version {version!r} is not of the form "0.7.0"')
    major, minor, patch = (int(part) for part in match.groups())
    if (major, minor, patch) < EARLIEST_VERSION:
        raise NamFileError(f"{source}: version {version} is older than 0.5.0; export it again")
    # As in the core, major and minor are each held against the latest, not compared as a pair.
    if major > LATEST_VERSION[0] or minor > LATEST_VERSION[1]:
        raise NamFileError(
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
        NamFileError: a key is missing or of the wrong type, or the version is unsupported.
    """
    if not isinstance(document, dict):
        raise NamFileError(f"{source}: a .nam file holds one JSON object, not {_kind(document)}")
    for key in REQUIRED_KEYS:
        if key not in document:
            raise NamFileError(f'{source}: the key "{key}" is missing; this is not a .nam model')
    check_version(document["version"], source)
    for key, kind in (("architecture", str), ("config", dict), ("weights", list)):
        if not isinstance(document[key], kind):
            raise NamFileError(f'{source}: "{key}" is {_kind(document[key])}, not {_name(kind)}')
    metadata = document.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise NamFileError(f'{source}: "metadata" is {_kind(metadata)}, not an object')
    return NamFile(
        source,
        document["version"],
        document["architecture"],
        document["config"],
        _weights(document["weights"], source),
        _sample_rate(document, source),
        metadata,
    )


def read_nam(path: str | os.PathLike) -> NamFile:
    """Reads a .nam file without building its model.

    Raises:
        NamFileError: the file is missing, is not JSON, or is not a .nam object.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise NamFileError(f"{path}: cannot be read: {reason}") from None
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise NamFileError(f"{path}: not a complete JSON file: {error}") from None
    return parse(document, str(path))


def write_nam(document: dict[str, Any], path: str | os.PathLike) -> None:
    """Writes a .nam object whole or not at all: under a temporary name, then renamed."""
    text = json.dumps(document, allow_nan=False)
    write_whole(path, lambda file: file.write(text.encode()))


def _weights(values: list, source: str) -> np.ndarray:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise NamFileError(f'{source}: "weights" holds something that is not a number')
    with np.errstate(over="ignore"):
        weights = np.asarray(values, np.float64).astype(np.float32)
    if not np.isfinite(weights).all():
        index = int(np.flatnonzero(~np.isfinite(weights))[0])
        raise NamFileError(
            f"{source}: weights[{index}] is {values[index]}, not a finite float32; "
            "the training diverged or the file is damaged"
        )
    return weights


def _sample_rate(document: dict[str, Any], source: str) -> float | None:
    if "sample_rate" not in document:
        return None
    rate = document["sample_rate"]
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not number or not np.isfinite(rate):
        raise NamFileError(f'{source}: "sample_rate" is {rate!r}; give a rate in Hz or no key')
    return float(rate) if rate > 0 else None  # -1 is the core's own "unknown"


def _name(kind: type) -> str:
    return {str: "a string", dict: "an object", list: "a list"}[kind]


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {str: "a string", dict: "an object", list: "a list", bool: "true or false"}
    return names.get(type(value), "a number")
