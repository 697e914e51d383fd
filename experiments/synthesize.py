"""Turns mel spectrograms into audio.

    python -m experiments.synthesize --model=WORKDIR --input=WAV|MEL.npy|DIR --output=DIR

The model is the folder of a training run or of `experiments.convert`. A recording is turned into
its mel and back; a .npy, or a .npz of one array, holds a mel [M, F] or [1, M, F] of the model's own
settings. The output is a mono WAV per input, F frames giving exactly F * hop samples. Tones that a
model adds to whatever it says are reduced by --denoise=0.1.
"""

from pathlib import Path

from absl import flags

from experiments.terminal.start import start
from experiments.vocoder.speaking import Speech, speak

_MODEL = flags.DEFINE_string(
    "model", None, "Folder of a training run or a converted model", required=True
)
_INPUT = flags.DEFINE_string(
    "input", None, "An audio file, a .npy mel, or a folder of them", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of the WAV files; made if it is missing", required=True
)
_TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "1 draws from the model; less is calmer", 0.0)
_SEED = flags.DEFINE_integer("seed", 0, "Of what is drawn", 0, 2**32 - 1)
_DENOISE = flags.DEFINE_float("denoise", 0.0, "Reduces the model's own tones; begin with 0.1", 0.0)
_FORMAT = flags.DEFINE_enum("format", "pcm24", ["pcm24", "float32"], "Samples of the WAV files")
_RESAMPLE = flags.DEFINE_bool("resample", False, "Take recordings of other rates, resampled")
_BATCH = flags.DEFINE_integer(
    "batch_size", None, "Clips at once; left out, what suits the device", 1
)
_ANY_SCALE = flags.DEFINE_bool("any_scale", False, "Take mels whose values look wrong")


def main() -> None:
    """Synthesizes every input; a bad one stops the command before anything is computed."""
    options = Speech(
        temperature=_TEMPERATURE.value,
        seed=_SEED.value,
        denoise=_DENOISE.value,
        format=_FORMAT.value,
        resample=_RESAMPLE.value,
        batch_size=_BATCH.value,
        any_scale=_ANY_SCALE.value,
    )
    speak(_MODEL.value, Path(_INPUT.value), Path(_OUTPUT.value), options)


if __name__ == "__main__":
    start(main, "--input=DIR", left="the files that are there are complete")
