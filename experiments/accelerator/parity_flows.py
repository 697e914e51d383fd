"""Flows against float64: density, inverse, likelihood and round trip in every precision."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.accelerator.parity_checks import ROUNDING, Check, cast, on_host, relative
from wf_jax.audio.mel import MelSettings
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.families import new_flow
from wf_jax.flows.flow import Flow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.flows.waveglow_config import WaveGlowConfig
from wf_jax.flows.wavenet_config import WaveNetConfig
from wf_jax.modules import split

TABLE = "Parity: flows"
Arrays = dict[str, np.ndarray]

PRECISIONS: dict[str, dict[str, str]] = {
    "float32, highest": {"matmul_precision": "highest"},
    "float32, default": {"matmul_precision": "default"},
    "bfloat16": {"matmul_precision": "default", "compute_dtype": "bfloat16"},
}
# What products of float32 factors at the default precision round these to.
DEFAULT_ROUNDS_TO = {"cpu": "float32", "gpu": "TF32", "tpu": "bfloat16"}

# How many roundings of a factor each figure may be off.
AMPLIFICATION = {"z": 200, "log_det": 20, "x": 200, "log-likelihood": 50, "round trip": 200}


def checks(cases: list[tuple[str, FlowConfig, int]], pool: Executor) -> Iterator[Check]:
    """Three rows of every case (name, config, samples), the float64 reference computed once."""
    for name, config, samples in cases:
        inputs = inputs_of(config, samples)
        reference = pool.submit(_reference, config, inputs)
        for precision, changes in PRECISIONS.items():
            yield Check(
                TABLE,
                {"model": name, "precision": precision},
                partial(_errors, dataclasses.replace(config, **changes), inputs, reference),
                tolerances(precision),
            )


def tolerances(precision: str) -> dict[str, float]:
    """Of every figure in one of PRECISIONS."""
    kind = precision
    if kind != "bfloat16":
        default = DEFAULT_ROUNDS_TO.get(jax.default_backend(), "TF32")
        kind = default if precision.endswith("default") else "float32"
    return {name: count * ROUNDING[kind] for name, count in AMPLIFICATION.items()}


def cases(small: bool) -> dict[str, tuple[str, FlowConfig, int]]:
    """The models by a short name: what tables call them, their config, and samples of a clip."""
    if small:
        mel = MelSettings(8000, fft_size=64, hop=16, window_length=64, bands=4, high_hz=4000.0)
        sizes = {"flows": 2, "layers": 2, "channels": 8, "mel": mel}
        rows, samples = {**sizes, "upsample_factors": (4, 4)}, 512
        configs = {
            "h16": WaveFlowConfig(**rows),
            "h64": WaveFlowConfig(**rows, height=64),
            "waveglow": WaveGlowConfig(**{**sizes, "flows": 3, "early_every": 2}),
            "wavenet": WaveNetConfig(**{**rows, "flows": 1}),
        }
    else:
        samples = 22 * 256  # a quarter of a second
        configs = {
            "h16": WaveFlowConfig(),
            "h64": WaveFlowConfig(height=64),
            "waveglow": WaveGlowConfig(channels=64),
            "wavenet": WaveNetConfig(layers=6, cycle=6, channels=64),
        }
    return {
        key: (config.describe(), config, 2048 if key == "wavenet" and not small else samples)
        for key, config in configs.items()
    }


def inputs_of(config: FlowConfig, samples: int) -> Arrays:
    """Audio and a latent [1, T], mel [1, M, F], of numbers that float32 can hold."""
    rng, frames = np.random.default_rng(1), config.mel.frames(samples)
    return {
        "audio": 0.1 * rng.standard_normal((1, samples), np.float32),
        "latent": rng.standard_normal((1, samples), np.float32),
        "mel": rng.standard_normal((1, config.mel.bands, frames), np.float32),
    }


def random_flow(config: FlowConfig) -> Flow:
    """A model whose flows do something: each net's last product is no longer zero."""
    rng = np.random.default_rng(0)
    definition, params = split(new_flow(config, rng))
    for name, value in params.items():
        if name.endswith("end/kernel"):
            scale = 0.2 / value.shape[-2] ** 0.5
            params[name] = scale * rng.standard_normal(value.shape, np.float32)
    return definition(params)


@jax.jit
def _figures(model: Flow, inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
    audio, latent, mel = inputs["audio"], inputs["latent"], inputs["mel"]
    z, log_det = model.forward(audio, mel)
    # One inverse for both, which halves what is compiled.
    x = model.inverse(jnp.concatenate([latent, z]), jnp.concatenate([mel, mel]))
    samples, nats = audio.shape[1], model.log_prob(audio, mel)
    figures = {"z": z, "log_det": log_det / samples, "x": x[:1], "log-likelihood": nats}
    return {**figures, "round trip": x[1:]}


def _reference(config: FlowConfig, inputs: Arrays) -> Arrays:
    exact = dataclasses.replace(config, compute_dtype="float64")
    with on_host():
        model, given = cast((random_flow(exact), inputs), "float64")
        return jax.device_get(_figures(model, given))


def _errors(config: FlowConfig, inputs: Arrays, reference: "Future[Arrays]") -> dict[str, float]:
    found = jax.device_get(_figures(random_flow(config), inputs))
    exact = {**reference.result(), "round trip": inputs["audio"]}
    return {name: _error(name, found[name], exact[name]) for name in AMPLIFICATION}


def _error(name: str, found: np.ndarray, exact: np.ndarray) -> float:
    """Against the RMS; of the two that are nats per sample the plain difference."""
    if name in ("log_det", "log-likelihood"):
        return float(np.max(np.abs(found - exact)))
    return relative(found, exact)
