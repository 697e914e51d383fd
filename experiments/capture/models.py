"""Chooses the initial models: fresh A2, a .nam file's architecture, or its weights as well."""

import dataclasses
from typing import Any

from experiments.capture.config import CaptureConfig
from wf_jax.amps import a2
from wf_jax.amps.container import SlimmableContainer, uniform_max_values
from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_models import load_nam, new_model
from wf_jax.errors import UserError
from wf_jax.random_streams import random_stream


@dataclasses.dataclass(frozen=True)
class CaptureModels:
    """The initial models of one capture at recording level, and their form in one file.

    Attributes:
        models: models by name, smallest first; None for fresh A2 models of the configured sizes.
        max_values: values of their container; None where the file has a single model.
        gear: metadata of the gear, as `CaptureConfig.gear` has them.
    """

    models: dict[str, AmpModel] | None = None
    max_values: tuple[float, ...] | None = None
    gear: dict[str, Any] = dataclasses.field(default_factory=dict)

    def assemble(self, trained: dict[str, AmpModel]) -> AmpModel:
        """Returns the model of the exported file."""
        if self.models is None:
            ordered = sorted(trained.values(), key=lambda model: model.config.arrays[0].channels)
            return SlimmableContainer(ordered, uniform_max_values(len(ordered)))
        models = [trained[name] for name in self.models]
        if self.max_values is None:
            return models[0]
        return SlimmableContainer(models, self.max_values)


def read_models(config: CaptureConfig, sample_rate: float) -> CaptureModels:
    """Reads the models that `config.init_from` and `config.model.nam` ask for.

    Args:
        config: config of the capture.
        sample_rate: Hz, the recording's.

    Raises:
        UserError: the file cannot be used, or the model is not for this recording.
    """
    if not (config.init_from or config.model.nam):
        return CaptureModels(gear=config.gear())
    if config.init_from:
        flag, path = "--config.init_from", config.init_from
        model = load_nam(path, sample_rate)
    else:
        flag, path = "--config.model.nam", config.model.nam
        model = new_model(path, random_stream(config.train.seed), sample_rate)
    if model.sample_rate not in (None, sample_rate):
        remedy = f"recording has {sample_rate:g} Hz: resample it"
        if config.data.teacher:
            remedy = f"teacher has {sample_rate:g} Hz: name a model of that rate"
        raise UserError(f"{flag}={path}: a model for {model.sample_rate:g} Hz; the {remedy}")
    if (model.input_channels, model.output_channels) != (1, 1):
        raise UserError(
            f"{flag}={path}: {model.input_channels} inputs and {model.output_channels} outputs; "
            "only mono models can be trained"
        )
    if not isinstance(model, SlimmableContainer):
        return CaptureModels({_name(model): model}, gear=config.gear())
    models: dict[str, AmpModel] = {}
    for submodel in model.models:
        name = _name(submodel)
        models[name if name not in models else f"{name}_{len(models) + 1}"] = submodel
    return CaptureModels(models, model.max_values, config.gear())


def _name(model: AmpModel) -> str:
    """Returns the name of a model in reports."""
    return a2.size_of(model) or type(model).__name__.lower()
