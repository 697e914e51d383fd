"""Turns mel spectrograms into audio.

    python -m experiments.synthesize --input=WAV|MEL.npy|DIR --output=DIR [--model=WORKDIR]

The model is the folder of a training run, of a converted checkpoint or of a release, or
hf://USER/NAME on the Hugging Face hub; left out, the voice that comes with the package. A recording
is turned into its mel and back; a .npy, or a .npz of one array, holds a mel [M, F] or [1, M, F] of
the model's own settings. The output is a mono WAV per input, F frames giving exactly F * hop
samples. Tones that a model adds to whatever it says are reduced by --denoise=0.1.
"""

from absl import flags

from experiments.terminal.start import start
from experiments.vocoder.speaking import Speech, speak
from wf_jax.flows.shipped_voices import DEFAULT
from wf_jax.native.engines import AUTO, ENGINES

text, real = flags.DEFINE_string, flags.DEFINE_float
text("model", DEFAULT, "Voice of the package, folder of a run or a model, or hf://USER/NAME")
text("input", None, "An audio file, a .npy mel, or a folder of them")
text("output", None, "Folder of the WAV files; made if it is missing")
real("temperature", 1.0, "1 draws from the model; less is calmer", 0.0)
flags.DEFINE_integer("seed", 0, "Of what is drawn", 0, 2**32 - 1)
real("denoise", 0.0, "Reduces the model's own tones; begin with 0.1", 0.0)
flags.DEFINE_enum("format", "pcm24", ["pcm24", "float32"], "Samples of the WAV files")
flags.DEFINE_bool("resample", False, "Take recordings of other rates, resampled")
flags.DEFINE_integer("batch_size", None, "Clips at once; left out, what suits the device", 1)
flags.DEFINE_enum(
    "engine", AUTO, ENGINES, "What decodes: native code where it knows the model, or JAX"
)
flags.DEFINE_bool("any_scale", False, "Take mels whose values look wrong")

if __name__ == "__main__":
    start(speak, "--input=DIR", Speech, left="the files that are there are complete")
