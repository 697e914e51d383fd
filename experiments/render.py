"""Play audio through a .nam model: python -m experiments.render --model= --input= --output=.

The output is a mono float32 WAV of the input's length and rate. A folder as input gives a folder
of the same names.
"""

from absl import flags

from experiments.playing.rendering import Rendering, render_files
from experiments.terminal.start import start
from wf_jax.amps.engines import AUTO, ENGINES

flags.DEFINE_string("model", None, "The model: a .nam file, or one of GuitarML or AIDA-X")
flags.DEFINE_string("input", None, "An audio file, or a folder of them")
flags.DEFINE_string("output", None, "The WAV file to write, or the folder")
flags.DEFINE_float("slim", 1.0, "Size of a model that has several: 0 smallest, 1 largest", 0.0, 1.0)
flags.DEFINE_integer("channel", None, "Which channel of a stereo input, from 1", 1)
flags.DEFINE_enum(
    "engine",
    AUTO,
    ENGINES,
    "What plays: native code where it knows the model (inspect says so), or JAX",
)
flags.DEFINE_bool(
    "resample", False, "Play a file of another rate through the model at the model's rate"
)

if __name__ == "__main__":
    start(render_files, "--input=di.wav", Rendering, left="the files that are there are complete")
