"""Speaks mels and recordings with a model: all inputs are checked, then a WAV file each."""

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.run.vocoder_folder import model_folder
from experiments.terminal.outputs import check_folder
from experiments.vocoder.mel_inputs import MelInput, find_inputs, passed_over
from experiments.vocoder.wav_output import write_clipped
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import FILES, LARGEST_PARAMS, check_model, load_model
from wf_jax.hub import local_folder
from wf_jax.plurals import counted
from wf_jax.training.metrics import Progress, duration

if TYPE_CHECKING:
    from wf_jax.flows.flow import Flow

Clean = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Speech:
    """A model, its inputs, and how it speaks them; see the flags of experiments.synthesize."""

    model: str
    input: str
    output: str
    temperature: float
    seed: int
    denoise: float
    format: str
    resample: bool
    batch_size: int | None
    engine: str
    any_scale: bool


def speak(given: Speech) -> None:
    """Speaks every input; a bad one is refused before anything is computed.

    Raises:
        UserError: a file cannot be used.
    """
    folder = model_folder(local_folder(given.model, FILES, LARGEST_PARAMS))
    source, output = Path(given.input), Path(given.output)
    settings = check_model(folder).mel
    check_folder(output)
    inputs = find_inputs(source, settings, resample=given.resample, any_scale=given.any_scale)
    if others := passed_over(source, inputs):
        print(f"passed over {others}: no audio, no mel", file=sys.stderr)
    for item in inputs:
        if (output / f"{item.path.stem}.wav").resolve() == item.path.resolve():
            raise UserError(f"{item.path}: would be replaced; give another --output")
    model = load_model(folder)
    output.mkdir(parents=True, exist_ok=True)
    _speak(model, inputs, given, _denoiser(model, given))


def _denoiser(model: "Flow", given: Speech) -> Clean:
    """Returns what reduces the model's own tones, if it is asked for."""
    from wf_jax.flows.denoiser import Denoiser

    if not given.denoise:
        return lambda audio: audio
    try:
        denoiser = Denoiser.of(model)
    except UserError as error:
        raise UserError(f"{given.model}: {error}; leave --denoise away") from None
    return lambda audio: denoiser(audio, given.denoise)


def _speak(model: "Flow", inputs: list[MelInput], given: Speech, clean: Clean) -> None:
    from wf_jax.flows.synthesis import synthesize

    rate, progress = model.config.mel.sample_rate, Progress()
    total = sum(item.mel.shape[1] for item in inputs) * model.config.mel.hop_length / rate
    _announce(model, inputs, total, progress)
    start, done, clipped, compiling = time.monotonic(), 0.0, 0, []
    for number, audio in synthesize(
        model,
        [item.mel for item in inputs],
        temperature=given.temperature,
        seed=given.seed,
        batch_size=given.batch_size,
        engine=given.engine,
        on_compile=compiling.append,
    ):
        item = inputs[number]
        audio = clean(audio)[: item.samples] / item.gain
        path = Path(given.output, f"{item.path.stem}.wav")
        clipped += write_clipped(path, audio, rate, given.format)
        done += len(audio) / rate
        left = duration((total - done) * (time.monotonic() - start) / done / 60)
        progress.update(f"{path.name}: {done:.1f} of {total:.1f} s  ETA {left}")
    spent = time.monotonic() - start
    progress.keep(
        f"{given.output}: {counted(len(inputs), 'file')}, {done:.1f} s of audio in {spent:.1f} s, "
        f"of which {sum(compiling):.1f} s to compile; "
        f"{done / (spent - sum(compiling)):.3g} x real time"
    )
    if clipped:
        print(f"{clipped} samples beyond full scale were limited; --format=float32 keeps them")


def _announce(model: "Flow", inputs: list[MelInput], total: float, progress: Progress) -> None:
    """Says how much there is to do, and what a mel does not tell."""
    from wf_jax.audio.clips import bucket

    if model.config.is_slow:
        frames = bucket(max(item.mel.shape[1] for item in inputs))
        steps = model.config.sequential_steps(frames * model.config.mel.hop_length)
        progress.keep(
            f"one sample after another: {steps:,} steps for the longest file, which "
            "may take minutes and shows nothing before its end"
        )
    progress.update(
        f"{counted(len(inputs), 'file')}, {total:.1f} s of audio; each new length compiles"
    )
    for item in inputs:
        if item.note:
            progress.keep(f"{item.path}: {item.note}")
