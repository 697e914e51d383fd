"""Turns mel spectrograms into audio.

    python -m experiments.synthesize --model=WORKDIR --input=WAV|MEL.npy|DIR --output=DIR

The model is the folder of a training run or of `experiments.convert`. A recording is turned into
its mel and back; a .npy, or a .npz of one array, holds a mel [M, F] or [1, M, F] of the model's own
settings. The output is a mono WAV per input, F frames giving exactly F * hop samples. Tones that a
model adds to whatever it says are reduced by --denoise=0.1.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile
from absl import app, flags

from experiments.run.model_folder import model_folder
from experiments.terminal.outputs import check_folder
from experiments.terminal.start import no_arguments, parse_flags, set_up
from experiments.vocoder.mel_inputs import MelInput, find_inputs, passed_over
from experiments.vocoder.wav_output import write_clipped
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import check_model, load_model
from wf_jax.training.metrics import Progress, duration

if TYPE_CHECKING:
    from wf_jax.flows.denoiser import Denoiser
    from wf_jax.flows.flow import Flow

_MODEL = flags.DEFINE_string("model", None, "Folder of a training run or a converted model")
_INPUT = flags.DEFINE_string("input", None, "An audio file, a .npy mel, or a folder of them")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the WAV files; made if it is missing")
_TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "1 draws from the model; less is calmer", 0.0)
_SEED = flags.DEFINE_integer("seed", 0, "Of what is drawn", 0, 2**32 - 1)
_DENOISE = flags.DEFINE_float("denoise", 0.0, "Reduces the model's own tones; begin with 0.1", 0.0)
_FORMAT = flags.DEFINE_enum("format", "pcm24", ["pcm24", "float32"], "Samples of the WAV files")
_RESAMPLE = flags.DEFINE_bool("resample", False, "Take recordings of other rates, resampled")
_BATCH = flags.DEFINE_integer(
    "batch_size", None, "Clips at once; left out, what suits the device", 1
)
_ANY_SCALE = flags.DEFINE_bool("any_scale", False, "Take mels whose values look wrong")


def main(argv: list[str]) -> None:
    """Synthesizes every input; a bad one stops the command before anything is computed."""
    set_up()
    no_arguments(argv, "--input=DIR")
    output = Path(_OUTPUT.value)
    try:
        folder = model_folder(Path(_MODEL.value))
        settings = check_model(folder).mel
        check_folder(output)
        inputs = find_inputs(
            Path(_INPUT.value), settings, resample=_RESAMPLE.value, any_scale=_ANY_SCALE.value
        )
        if others := passed_over(Path(_INPUT.value), inputs):
            print(f"passed over {others}: no audio, no mel", file=sys.stderr)
        _spare(inputs, output)
        model = load_model(folder)
        output.mkdir(parents=True, exist_ok=True)
        _synthesize(model, inputs, output)
    except UserError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or _OUTPUT.value}: {error.strerror or error}")
    except soundfile.LibsndfileError as error:  # a full disk
        sys.exit(f"{_OUTPUT.value}: cannot be written: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the files that are there are complete")


def _spare(inputs: list[MelInput], output: Path) -> None:
    """Refuses a result path that would overwrite a recording."""
    for item in inputs:
        if (output / f"{item.path.stem}.wav").resolve() == item.path.resolve():
            raise UserError(f"{item.path}: would be replaced; give another --output")


def _denoiser(model: "Flow") -> "Denoiser":
    from wf_jax.flows.denoiser import Denoiser

    try:
        return Denoiser.of(model)
    except UserError as error:
        raise UserError(f"{_MODEL.value}: {error}; leave --denoise away") from None


def _synthesize(model: "Flow", inputs: list[MelInput], output: Path) -> None:
    from wf_jax.audio.clips import bucket
    from wf_jax.flows.synthesis import synthesize

    settings, progress = model.config.mel, Progress()
    total = sum(i.mel.shape[1] for i in inputs) * settings.hop_length / settings.sample_rate
    if model.config.context_samples is None:
        frames = bucket(max(i.mel.shape[1] for i in inputs))
        steps = model.config.sequential_steps(frames * settings.hop_length)
        progress.keep(
            f"one sample after another: {steps:,} steps for the longest file, which "
            "may take minutes and shows nothing before its end"
        )
    progress.update(f"{len(inputs)} files, {total:.1f} s of audio; each new length compiles")
    for item in inputs:
        if item.note:
            progress.keep(f"{item.path}: {item.note}")
    denoise = _denoiser(model) if _DENOISE.value else None
    start, done, clipped, compiling = time.monotonic(), 0.0, 0, []
    for number, audio in synthesize(
        model,
        [i.mel for i in inputs],
        temperature=_TEMPERATURE.value,
        seed=_SEED.value,
        batch_size=_BATCH.value,
        on_compile=compiling.append,
    ):
        item = inputs[number]
        audio = denoise(audio, _DENOISE.value) if denoise else audio
        audio = audio[: item.samples] / item.gain
        path = output / f"{item.path.stem}.wav"
        clipped += write_clipped(path, audio, settings.sample_rate, _FORMAT.value)
        done += len(audio) / settings.sample_rate
        spent = time.monotonic() - start
        left = duration((total - done) * spent / done / 60)
        progress.update(f"{path.name}: {done:.1f} of {total:.1f} s  ETA {left}")
    spent = time.monotonic() - start
    progress.keep(
        f"{output}: {len(inputs)} files, {done:.1f} s of audio in {spent:.1f} s, of which "
        f"{sum(compiling):.1f} s to compile; {done / (spent - sum(compiling)):.3g} x real time"
    )
    if clipped:
        print(f"{clipped} samples beyond full scale were limited; --format=float32 keeps them")


if __name__ == "__main__":
    flags.mark_flags_as_required(["model", "input", "output"])
    app.run(main, flags_parser=parse_flags)
