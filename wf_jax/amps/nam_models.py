"""Loads a model from a .nam file and saves it to one: `load_nam` and `save_nam`."""

import collections
import dataclasses
import datetime
import os
import warnings
from typing import Any

import numpy as np

from wf_jax.amps import a2, nam_convnet, nam_linear, nam_lstm, nam_wavenet
from wf_jax.amps.container import SlimmableContainer
from wf_jax.amps.loudness import loudness_and_gain
from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_file import NamFile, parse, read_json, shown, write_nam
from wf_jax.amps.nam_options import Options
from wf_jax.amps.nam_wavenet import Read
from wf_jax.amps.sequential import Sequential
from wf_jax.amps.wavenet import WaveNet
from wf_jax.audio.loudness_probe import loudness_probe as built_in_probe
from wf_jax.errors import UserError

FILE_VERSION = "0.7.0"

DEEPEST = 8  # models inside models
MOST_MODELS = 64


def load_nam(path: str | os.PathLike, sample_rate: float | None = None) -> AmpModel:
    """Loads the model in a .nam file, which plays as the C++ core plays it.

    Args:
        path: the file.
        sample_rate: Hz, of models whose file does not say.

    Raises:
        UserError: one line naming file, key and expectation.
    """
    return _Builder(sample_rate=sample_rate).build(read_json(path), str(path))


def new_model(
    path: str | os.PathLike, rng: np.random.Generator, sample_rate: float = 48000.0
) -> AmpModel:
    """Makes a model of the architecture that a file describes, with fresh weights.

    Args:
        path: a .nam file, or JSON with "architecture" and "config" alone, also in the models inside
            it.
        rng: draws the weights; their number in the file does not matter.
        sample_rate: Hz, where the file does not say.

    Raises:
        UserError: one line naming file, key and expectation.
    """
    document = read_json(path)
    return _Builder(rng, sample_rate).build(document, str(path))


def model_of(file: NamFile, sample_rate: float | None = None) -> AmpModel:
    """Builds the model that a validated .nam object describes.

    Args:
        file: the object.
        sample_rate: Hz, of models for which it does not say.

    Raises:
        UserError: one line naming file, key and expectation.
    """
    if file.sample_rate is None:
        file = dataclasses.replace(file, sample_rate=sample_rate)
    return _Builder(sample_rate=sample_rate).build_file(file, depth=0)


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
        ValueError: as `to_document`.
    """
    probe = built_in_probe() if loudness_probe is None else loudness_probe
    write_nam(_measured_document(model, dict(metadata or {}), probe), path)


class _Builder:
    """Builds models and the models inside them, with bounds on how many and how deep."""

    def __init__(self, fresh: np.random.Generator | None = None, sample_rate: float | None = None):
        """Takes the weights of the file, or draws fresh ones; see `new_model`."""
        self._fresh, self._blank = fresh, {}
        if fresh is not None:
            self._blank = {"version": FILE_VERSION, "weights": []}
        if sample_rate is not None:
            self._blank["sample_rate"] = sample_rate
        self._models, self._totals = 0, collections.Counter()

    def build(self, document: Any, source: str, depth: int = 0) -> AmpModel:
        if isinstance(document, dict):
            document = {**self._blank, **document}
        file = parse(document, source)
        return self.build_file(dataclasses.replace(file, fresh=self._fresh), depth)

    def build_file(self, file: NamFile, depth: int) -> AmpModel:
        self._models += 1
        if depth > DEEPEST or self._models > MOST_MODELS:
            raise UserError(
                f"{file.source}: more than {MOST_MODELS} models in one file, or nested deeper than "
                f"{DEEPEST}"
            )

        file = dataclasses.replace(file, totals=self._totals)

        def read(document: Any, where: str) -> AmpModel:
            return self.build(document, where, depth + 1)

        if file.architecture == "WaveNet":
            model = nam_wavenet.from_nam(file, read)
            model.a2_as_written = a2.matches(file.config)
            return model
        if file.architecture in _SMALL:
            return _SMALL[file.architecture].from_nam(file)
        if file.architecture in _NESTED:
            return _NESTED[file.architecture](file, read)
        known = ", ".join(sorted({"WaveNet", *_SMALL, *_NESTED} - {"sequential"}))
        raise UserError(
            f"{file.source}: architecture {shown(file.architecture)} is not one of {known}"
        )


def _read_container(file: NamFile, read: Read) -> SlimmableContainer:
    options = Options(file.config, f"{file.source}: config")
    models, max_values = [], []
    for i, entry in enumerate(options.objects("submodels", "models")):
        where = f"{file.source}: submodels[{i}]"
        max_values.append(Options(entry.values, where).number("max_value"))
        model = read(entry.values.get("model"), where)
        if file.sample_rate and model.sample_rate and file.sample_rate != model.sample_rate:
            raise UserError(
                f"{where}: {model.sample_rate:g} Hz in a container of {file.sample_rate:g} Hz"
            )
        models.append(model)
    try:
        return SlimmableContainer(models, tuple(max_values), file.sample_rate)
    except ValueError as error:
        raise UserError(f"{file.source}: {error}") from None


def _read_sequential(file: NamFile, read: Read) -> Sequential:
    options = Options(file.config, f"{file.source}: config")
    # An older form keeps all weights at the top; nothing wrote it that a core ever played.
    if (len(file.weights) and file.fresh is None) or options.integer("weights_version", 2) > 2:
        raise UserError(f"{file.source}: a Sequential whose models hold their own weights is due")
    key = "models" if "models" in options.values else "layers"
    models = []
    for i, entry in enumerate(options.objects(key, "models")):
        document = entry.values.get("model", entry.values)
        models.append(read(document, f"{file.source}: {key}[{i}]"))
    try:
        return Sequential(models, file.sample_rate)
    except ValueError as error:
        raise UserError(f"{file.source}: {error}") from None


_SMALL = {"LSTM": nam_lstm, "ConvNet": nam_convnet, "Linear": nam_linear}
_NESTED = {
    "SlimmableContainer": _read_container,
    "Sequential": _read_sequential,
    "sequential": _read_sequential,  # the core registers both
}


def _measured_document(
    model: AmpModel, metadata: dict[str, Any], probe: np.ndarray
) -> dict[str, Any]:
    if isinstance(model, SlimmableContainer):
        entries = [
            {"max_value": max_value, "model": _measured_document(submodel, {}, probe)}
            for submodel, max_value in zip(model.models, model.max_values, strict=True)
        ]
        measured = entries[-1]["model"]["metadata"]
        return _envelope(model, {"submodels": entries}, [], _merge(measured, metadata))
    document = to_document(model)
    measured = {"date": _now()}
    if model.input_channels == model.output_channels == 1:
        loudness, gain = loudness_and_gain(model, probe)
        measured |= {"loudness": loudness, "gain": gain}
    return {**document, "metadata": _merge(measured, metadata)}


def to_document(model: AmpModel) -> dict[str, Any]:
    """Returns the .nam object of a model, without the date and the measured loudness and gain.

    Raises:
        ValueError: a weight is not finite, or no .nam holds such a model.
    """
    if isinstance(model, SlimmableContainer):
        entries = [
            {"max_value": max_value, "model": to_document(submodel)}
            for submodel, max_value in zip(model.models, model.max_values, strict=True)
        ]
        return _envelope(model, {"submodels": entries}, [], {})
    if isinstance(model, Sequential):
        models = [to_document(child) for child in model.models]
        return _envelope(model, {"models": models, "weights_version": 2}, [], {})
    kind = type(model).__name__
    if kind not in ("WaveNet", *_SMALL):
        raise ValueError(f"a .nam file holds no {kind}; it holds {', '.join(('WaveNet', *_SMALL))}")
    weights = np.concatenate([np.ravel(array) for array in model.weight_arrays()]).astype(
        np.float32
    )
    if not np.isfinite(weights).all():
        raise ValueError("the model has weights that are not finite: its training diverged")
    if isinstance(model, WaveNet):
        config = nam_wavenet.to_config(model, to_document)
    else:
        config = _SMALL[kind].to_config(model)
    return _envelope(model, config, weights.tolist(), {})


def _envelope(
    model: AmpModel, config: dict[str, Any], weights: list[float], metadata: dict[str, Any]
) -> dict[str, Any]:
    document = {
        "version": FILE_VERSION,
        "metadata": metadata,
        "architecture": type(model).__name__,
        "config": config,
        "weights": weights,
    }
    # The core refuses a null rate: an unknown one is left out.
    rate = model.sample_rate
    return document if rate is None else {**document, "sample_rate": rate}


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
