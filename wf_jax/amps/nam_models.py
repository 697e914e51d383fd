"""`load_nam` and `save_nam`: from a .nam file to a model and back."""

import datetime
import os
import warnings
from typing import Any

import numpy as np

from wf_jax.amps import nam_wavenet
from wf_jax.amps.container import SlimmableContainer
from wf_jax.amps.loudness import loudness_and_gain
from wf_jax.amps.nam_file import NamFile, NamFileError, parse, read_nam, write_nam
from wf_jax.amps.wavenet import WaveNet
from wf_jax.audio.loudness_probe import loudness_probe as built_in_probe

FILE_VERSION = "0.7.0"
USER_KEYS = (
    "name",
    "modeled_by",
    "gear_make",
    "gear_model",
    "gear_type",
    "tone_type",
    "input_level_dbu",
    "output_level_dbu",
)

AmpModel = WaveNet | SlimmableContainer


def load_nam(path: str | os.PathLike) -> AmpModel:
    """The model in a .nam file, playing as the C++ core plays it.

    Raises:
        NamFileError: one line naming file, key and expectation.
    """
    return _build(read_nam(path))


def save_nam(
    model: AmpModel,
    path: str | os.PathLike,
    metadata: dict[str, Any] | None = None,
    *,
    loudness_probe: np.ndarray | None = None,
) -> None:
    """Writes a model as a .nam file, whole or not at all.

    Args:
        model: what to write; a container is written with all its sizes.
        path: the file to make or replace.
        metadata: joined to the measured `date`, `loudness` and `gain`; where it names one of
            these three it wins, with a warning.
        loudness_probe: [T] float, the signal that loudness and gain are measured with; our own
            one-second probe if None.

    Raises:
        ValueError: a weight is not finite.
    """
    probe = built_in_probe() if loudness_probe is None else loudness_probe
    write_nam(_to_document(model, dict(metadata or {}), probe), path)


def _build(file: NamFile) -> AmpModel:
    if file.architecture == "WaveNet":
        return nam_wavenet.from_nam(file)
    if file.architecture == "SlimmableContainer":
        return _build_container(file)
    raise NamFileError(
        f"{file.source}: architecture {file.architecture!r} is not supported; "
        "WaveNet and SlimmableContainer are"
    )


def _build_container(file: NamFile) -> SlimmableContainer:
    submodels = file.config.get("submodels")
    if not isinstance(submodels, list) or not submodels:
        raise NamFileError(f"{file.source}: config.submodels: expected a list of models")
    models, max_values = [], []
    for i, entry in enumerate(submodels):
        where = f"{file.source}: submodels[{i}]"
        value = entry.get("max_value") if isinstance(entry, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NamFileError(f"{where}: max_value {value!r} is not a number")
        model = _build(parse(entry.get("model"), where))
        if not isinstance(model, WaveNet):
            raise NamFileError(f"{where}: a container inside a container is not supported yet")
        if file.sample_rate and model.sample_rate and file.sample_rate != model.sample_rate:
            raise NamFileError(
                f"{where}: {model.sample_rate:g} Hz in a container of {file.sample_rate:g} Hz"
            )
        models.append(model)
        max_values.append(value)
    try:
        return SlimmableContainer(models, tuple(max_values))
    except ValueError as error:
        raise NamFileError(f"{file.source}: {error}") from None


def _to_document(model: AmpModel, metadata: dict[str, Any], probe: np.ndarray) -> dict[str, Any]:
    if isinstance(model, WaveNet):
        return _wavenet_document(model, metadata, probe)
    entries = [
        {"max_value": max_value, "model": _wavenet_document(submodel, {}, probe)}
        for submodel, max_value in zip(model.models, model.max_values, strict=True)
    ]
    largest = entries[-1]["model"]["metadata"]
    return _envelope(
        "SlimmableContainer",
        {"submodels": entries},
        [],
        model.sample_rate,
        _merge(largest, metadata),
    )


def _wavenet_document(
    model: WaveNet, metadata: dict[str, Any], probe: np.ndarray
) -> dict[str, Any]:
    weights = nam_wavenet.to_weights(model)
    if not np.isfinite(weights).all():
        raise ValueError("the model has weights that are not finite: its training diverged")
    loudness, gain = loudness_and_gain(model, probe)
    measured = {"date": _now(), "loudness": loudness, "gain": gain}
    config = nam_wavenet.to_config(model)
    return _envelope("WaveNet", config, weights, model.sample_rate, _merge(measured, metadata))


def _envelope(
    architecture: str,
    config: dict[str, Any],
    weights: list[float],
    sample_rate: float | None,
    metadata: dict[str, Any],
) -> dict[str, Any]:
    document = {
        "version": FILE_VERSION,
        "metadata": metadata,
        "architecture": architecture,
        "config": config,
        "weights": weights,
    }
    # The core refuses a null rate: an unknown one is left out.
    return document if sample_rate is None else {**document, "sample_rate": sample_rate}


def _merge(measured: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    overwritten = sorted(set(measured) & set(metadata))
    if overwritten:
        warnings.warn(
            f"the metadata given replaces the measured {', '.join(overwritten)}", stacklevel=4
        )
    return {**measured, **metadata}


def _now() -> dict[str, int]:
    now = datetime.datetime.now()
    keys = ("year", "month", "day", "hour", "minute", "second")
    return {key: getattr(now, key) for key in keys}
