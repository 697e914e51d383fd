"""Part `export`: releases made on a host's CPU for all platforms, loaded and compared here.

As users do it: `python -m experiments.export` without an accelerator, `wf_jax.export.load` with it.
"""

import contextlib
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import soundfile

from experiments.accelerator.commands import Command
from experiments.accelerator.flows import random_flow
from experiments.accelerator.report import Options, Report, Row
from experiments.releases.writing import TOLERANCE
from wf_jax.amps import a2, lstm, save_nam
from wf_jax.amps.model import AmpModel
from wf_jax.amps.recurrent import RecurrentConfig
from wf_jax.audio.mel import mel_spectrogram
from wf_jax.export import Amp, Vocoder, load
from wf_jax.export.artifacts import platform_of
from wf_jax.flows.flow import Flow
from wf_jax.flows.model_folder import save_model
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.modules import split

LOADED, COMPARED = "Made on the CPU, loaded here", "Functions of the releases against the models"
HERE = TOLERANCE["float32"]
ON_CPU = 1e-4  # of scale: there exp, tanh and FFT are others
CALLS, BATCH, BLOCK, TEMPERATURE = 5, 2, 64, 0.7
NOTE = (
    f"Differences are the greatest of {CALLS} calls over the greatest value; of mels, as "
    "magnitudes. The second call is the median of all but the first."
)
Call = Callable[[], np.ndarray]


class Function(NamedTuple):
    """A function of a release and the model's own; both may keep a state between calls.

    Attributes:
        name: name of the function.
        own: the model -> a call.
        released: the release -> the same call.
    """

    name: str
    own: Callable[[Any], Call]
    released: Callable[[Any], Call]


class Examined(NamedTuple):
    """A model that a release is made of.

    Attributes:
        path: the model folder or .nam file; its stem is the name.
        model: the model in it.
        sample_rate: Hz.
        functions: the compared functions.
    """

    path: Path
    model: Flow | AmpModel
    sample_rate: int
    functions: Sequence[Function]


class Outcome(NamedTuple):
    """Results of consecutive calls, and the seconds of the first call and of the others."""

    values: np.ndarray
    first: float
    median: float


def measure(report: Report, options: Options) -> None:
    """Adds rows for A2 standard (small: an LSTM) and a WaveFlow."""
    with contextlib.ExitStack() as stack:
        making = []
        for make in (_vocoder, _amp):  # in their own time, beside what follows
            examined = make(options)
            making.append((examined, stack.enter_context(_export(examined))))
        on_cpu = [_compiled(examined) for examined, _ in making]
        for (examined, command), expected in reversed(list(zip(making, on_cpu, strict=True))):
            with report.attempt(LOADED, release=examined.path.stem) as row:
                command.wait(max(report.seconds_left, 1))
                release = _loaded(row, _folder(examined))
            if "error" not in row:
                _compare(report, release, examined, expected)
    report.note(NOTE)


def _vocoder(options: Options) -> Examined:
    config = WaveFlowConfig(channels=32, flows=4, layers=3)
    if options.small:
        config = WaveFlowConfig(channels=8, height=2, flows=1, layers=1)
    model, path = random_flow(config), options.folder / "voice"
    save_model(path, config, split(model)[1])
    functions = _voice_functions(config, frames=20 if options.small else 128)
    return Examined(path, model, config.mel.sample_rate, functions)


def _amp(options: Options) -> Examined:
    rng, path = np.random.default_rng(0), options.folder / "amp.nam"
    if options.small:
        model: AmpModel = lstm.create(RecurrentConfig(1, input_size=1, hidden_size=4), rng)
    else:
        model = a2.create("standard", rng).scaled(50.0)
    save_nam(model, path, {"name": "amp"})
    samples = model.chunk + 100 if options.small else 240_000
    return Examined(path, model, 48000, _amp_functions(samples))


def _export(examined: Examined) -> Command:
    """Starts making a release, on the CPU."""
    path, rate = examined.path, examined.sample_rate
    example = path.with_name(f"{path.stem}.wav")
    soundfile.write(example, np.random.default_rng(1).uniform(-0.1, 0.1, rate // 2), rate)
    arguments = [f"--model={path}", f"--output={_folder(examined)}", f"--example={example}"]
    arguments += ["--platforms=cpu,cuda,tpu"]
    log = path.with_name(f"{path.stem}.txt")
    return Command("export", arguments, log, {"JAX_PLATFORMS": "cpu"})


def _folder(examined: Examined) -> Path:
    return examined.path.with_name(f"{examined.path.stem}_release")


def _loaded(row: Row, folder: Path) -> Vocoder | Amp:
    """Loads a release whose artifacts are used as they are, without a rebuild from the model."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        release = load(folder)
    row |= {
        "model": release.manifest.model,
        "platforms": ", ".join(release.manifest.platforms),
        "here": platform_of(),
        "MB": sum(entry.bytes for entry in release.manifest.files.values()) / 1e6,
        "load and check, s": time.perf_counter() - start,
    }
    return release


def _compiled(examined: Examined) -> list[np.ndarray]:
    """Compiles the model's own functions here; returns their results on the host's CPU."""
    here = [_outcome(function.own(examined.model)).values for function in examined.functions]
    if jax.default_backend() == "cpu":
        return here
    cpu = jax.local_devices(backend="cpu")[0]
    with jax.default_device(cpu):
        moved = jax.device_put(examined.model, cpu)
        return [_outcome(function.own(moved)).values for function in examined.functions]


def _compare(
    report: Report,
    release: Vocoder | Amp,
    examined: Examined,
    on_cpu: Sequence[np.ndarray],
) -> None:
    for function, expected in zip(examined.functions, on_cpu, strict=True):
        case = {"release": examined.path.stem, "function": function.name}
        with report.attempt(COMPARED, **case) as row:
            found = _outcome(function.released(release))
            own = _outcome(function.own(examined.model))
            here, there = (_difference(found.values, v) for v in (own.values, expected))
            row |= {
                "difference": here,
                "tolerance": HERE,
                "difference from the CPU": there,
                "tolerance there": ON_CPU,
                "ok": here <= HERE and there <= ON_CPU,
                "first call, s": found.first,
                "second call, ms": 1e3 * found.median,
                "the model's own, ms": 1e3 * own.median,
            }


def _voice_functions(config: WaveFlowConfig, frames: int) -> list[Function]:
    settings = config.mel
    noise = np.random.default_rng(2).standard_normal((BATCH, frames * settings.hop_length - 1))
    audio = np.float32(0.1 * noise)
    mel = np.asarray(_mel(audio, settings))
    return [
        Function(
            "mel",
            lambda model: lambda: np.exp(np.asarray(_mel(audio, settings))),
            lambda release: lambda: np.exp(release.mel(audio)),
        ),
        Function(
            "synthesize",
            lambda model: lambda: np.asarray(_sample(model, jax.random.key(1), mel)),
            lambda release: lambda: release.synthesize(mel, jax.random.key(1), TEMPERATURE),
        ),
        Function(
            "log_prob",
            lambda model: lambda: np.asarray(_log_prob(model, audio, mel)),
            lambda release: lambda: release.log_prob(audio, mel),
        ),
    ]


def _amp_functions(samples: int) -> list[Function]:
    x = np.float32(0.3 * np.random.default_rng(3).standard_normal((BATCH, samples)))

    def stepping(player: AmpModel | Amp) -> Call:
        state = player.init_state(BATCH)

        def step() -> np.ndarray:
            nonlocal state
            state, y = player.step(state, x[:, :BLOCK])
            return np.asarray(y)

        return step

    return [
        Function(
            "render",
            lambda model: lambda: np.asarray(model(x)),
            lambda release: lambda: release.render(x),
        ),
        Function(f"step_{BLOCK}", stepping, stepping),
    ]


_mel = jax.jit(mel_spectrogram, static_argnums=1)
_sample = jax.jit(lambda model, key, mel: model.sample(key, mel, TEMPERATURE))
_log_prob = jax.jit(lambda model, audio, mel: model.log_prob(audio, mel))


def _outcome(call: Call) -> Outcome:
    values, seconds = [], []
    for _ in range(CALLS):
        start = time.perf_counter()
        values.append(call())
        seconds.append(time.perf_counter() - start)
    return Outcome(np.stack(values), seconds[0], statistics.median(seconds[1:]))


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(np.float64(found) - expected).max() / max(np.abs(expected).max(), 1e-9))
