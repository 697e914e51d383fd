"""Play audio through a .nam model: python -m experiments.render --model= --input= --output=.

The output is a mono float32 WAV of the input's length and rate. A folder as input gives a folder
of the same names.
"""

from pathlib import Path

from absl import flags

from experiments.playing.rendering import Playing, render_files
from experiments.terminal.start import start
from wf_jax.amps.engines import AUTO, ENGINES

_MODEL = flags.DEFINE_string("model", None, "The .nam file", required=True)
_INPUT = flags.DEFINE_string("input", None, "An audio file, or a folder of them", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The WAV file to write, or the folder", required=True)
_SLIM = flags.DEFINE_float(
    "slim", 1.0, "Size of a model that has several: 0 smallest, 1 largest", 0.0, 1.0
)
_CHANNEL = flags.DEFINE_integer("channel", None, "Which channel of a stereo input, from 1", 1)
_ENGINE = flags.DEFINE_enum(
    "engine",
    AUTO,
    ENGINES,
    "What plays: native code where it knows the model (inspect says so), or JAX",
)
_RESAMPLE = flags.DEFINE_bool(
    "resample", False, "Play a file of another rate through the model at the model's rate"
)


def main() -> int:
    """Renders one file, or every audio file of a folder."""
    playing = Playing(_ENGINE.value, _SLIM.value, _CHANNEL.value, _RESAMPLE.value)
    return render_files(_MODEL.value, Path(_INPUT.value), Path(_OUTPUT.value), playing)


if __name__ == "__main__":
    start(main, "--input=di.wav", left="the files that are there are complete")
