"""Compares flows with float64: density, inverse, likelihood and round trip in every precision."""

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.accelerator.flows import BFLOAT16, DEFAULT, HIGHEST, PRECISIONS, random_flow
from experiments.accelerator.parity_checks import (
    Check,
    Errors,
    Jit,
    cast,
    device_jit,
    host_jit,
    on_host,
    relative,
)
from wf_jax.audio.mel import MelSettings
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.flow import LOG_2PI, Flow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.flows.waveglow_config import WaveGlowConfig
from wf_jax.flows.wavenet_config import WaveNetConfig

TABLE = "Parity: flows"
Arrays = dict[str, np.ndarray]

# Relative rounding of a product's factors: 8 significant bits, and at the default precision of
# float32 products 11 on a GPU (TF32), 8 on a TPU, and all of them on a CPU.
EIGHT_BITS = 2.0**-8
DEFAULT_ROUNDING = {"cpu": 0.0, "gpu": 2.0**-11, "tpu": EIGHT_BITS}
NATS = ("log_det", "log-likelihood")  # per sample
# In float32, ten times what a CPU shows.
EXACT = {"z": 2e-5, "log_det": 5e-7, "x": 2e-5, "log-likelihood": 1e-6, "round trip": 5e-5}
# Beside that, times the rounding: five times what a CPU shows of bfloat16, and of imitated TF32.
AMPLIFIED = {"z": 45, "log_det": 1.2, "x": 15, "log-likelihood": 1.2, "round trip": 60}


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, a clip length in samples, and some of PRECISIONS."""

    config: FlowConfig
    samples: int
    precisions: tuple[str, ...] = tuple(PRECISIONS)

    def inputs(self) -> Arrays:
        """Makes audio and a latent [1, T] and mel [1, M, F]: noise that float32 can represent."""
        rng, mel, one = np.random.default_rng(1), self.config.mel, (1, self.samples)
        frames = mel.frames(self.samples)
        return {
            "audio": np.float32(0.1) * rng.standard_normal(one, np.float32),
            "latent": rng.standard_normal(one, np.float32),
            "mel": rng.standard_normal((1, mel.n_mels, frames), np.float32),
        }

    def checks(self, pool: Executor, small: bool) -> Iterator[Check]:
        """Returns a row for every precision; the pool computes the float64 references."""
        reference, jit = pool.submit(_reference, self), device_jit(small)
        for precision in self.precisions:
            config = dataclasses.replace(self.config, **PRECISIONS[precision])
            case = dataclasses.replace(self, config=config)
            cells = {"model": config.describe(), "precision": precision}
            errors = partial(_errors, case, reference, jit)
            yield Check(TABLE, cells, errors, tolerances(precision))


def cases(small: bool) -> dict[str, Case]:
    """Returns the cases by a short name."""
    return _small() if small else _large()


def _large() -> dict[str, Case]:
    clip = 22 * MelSettings().hop_length  # a quarter of a second
    return {
        "h16": Case(WaveFlowConfig(), clip),
        "h64": Case(WaveFlowConfig(height=64), clip),
        "waveglow": Case(WaveGlowConfig(channels=64), clip),
        # Sample after sample: one evaluation of the net each.
        "wavenet": Case(
            WaveNetConfig(layers=6, cycle=6, channels=64), 8 * MelSettings().hop_length
        ),
    }


def _small() -> dict[str, Case]:
    """Returns cases that compile fast, with very few layers."""
    mel = MelSettings(8000, n_fft=64, hop_length=16, win_length=64, n_mels=4, f_max=4000.0)
    sizes: dict[str, Any] = {"layers": 1, "channels": 4, "mel": mel}
    rows, one = {**sizes, "upsample_factors": (16,)}, (HIGHEST,)
    return {
        "h16": Case(WaveFlowConfig(flows=2, **rows), 512),
        "waveglow": Case(WaveGlowConfig(flows=2, early_every=0, **sizes), 512, one),
        "wavenet": Case(WaveNetConfig(**rows), 128, one),
    }


def tolerances(precision: str) -> Errors:
    """Returns the tolerance of every figure in one of PRECISIONS."""
    rounding = {
        HIGHEST: 0.0,
        DEFAULT: DEFAULT_ROUNDING.get(jax.default_backend(), EIGHT_BITS),
        BFLOAT16: EIGHT_BITS,
    }[precision]
    return {name: exact + AMPLIFIED[name] * rounding for name, exact in EXACT.items()}


def _figures(model: Flow, inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
    audio, latent, mel = inputs["audio"], inputs["latent"], inputs["mel"]
    z, log_det = model.forward(audio, mel)
    # One inverse for both: half to compile.
    x = model.inverse(jnp.concatenate([latent, z]), jnp.concatenate([mel, mel]))
    log_det = log_det / audio.shape[1]
    nats = log_det - 0.5 * jnp.mean(jnp.square(z), axis=1) - 0.5 * LOG_2PI
    return {"z": z, "log_det": log_det, "x": x[:1], "log-likelihood": nats, "round trip": x[1:]}


def _reference(case: Case) -> Arrays:
    config = dataclasses.replace(case.config, compute_dtype="float64")
    with on_host():
        model, inputs = cast((random_flow(config), case.inputs()), "float64")
        return jax.device_get(host_jit(_figures)(model, inputs))


def _errors(case: Case, reference: "Future[Arrays]", jit: Jit) -> Errors:
    inputs = case.inputs()
    found = jax.device_get(jit(_figures)(random_flow(case.config), inputs))
    exact = {**reference.result(), "round trip": inputs["audio"]}
    measures: dict[str, Callable[..., float]] = dict.fromkeys(NATS, _difference)
    return {name: measures.get(name, relative)(found[name], exact[name]) for name in EXACT}


def _difference(value: np.ndarray, reference: np.ndarray) -> float:
    return float(np.max(np.abs(value - reference)))
