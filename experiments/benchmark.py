"""Speed, measured beside something else in the same run.

    python -m experiments.benchmark --case=stream --model=amp.nam --block=64 --output=bench.json
    python -m experiments.benchmark --case=render --model=amp.nam
    python -m experiments.benchmark --case=waveflow_synthesis
    python -m experiments.benchmark --case=waveflow_training
    python -m experiments.benchmark --case=release --model=RELEASE --seconds=5
    python -m experiments.benchmark --case=stream --model=RELEASE --block=32 --input=speech.wav

`stream` and `render` play a .nam model, block by block or as a whole file, the native engine beside
JAX; the waveflow cases hold the flows against a large matrix product. `release` calls every
function of a release beside its model; `stream` with a vocoder's release speaks with more and less
context.

--core=PROGRAM has `stream` measure any other player beside ours. Once a round it is started as
`PROGRAM MODEL.nam BLOCK`, reads raw float32 audio from its standard input to the end, plays it in
blocks of BLOCK samples, leaves out what is no full block, and prints the nanoseconds that each
took, one to a line. It is given the audio twice; the times of the second half count.
"""

import importlib
import sys
from pathlib import Path

from absl import app, flags

from data_pipeline.audio_files import AudioFile
from experiments.terminal.outputs import check_file
from experiments.terminal.start import no_arguments, parse_flags, set_up
from wf_jax.amps.nam_file import read_nam
from wf_jax.errors import UserError
from wf_jax.export.manifest import read_manifest

CASES = {
    "stream": "experiments.benchmarks.amps",
    "render": "experiments.benchmarks.amps",
    "waveflow_synthesis": "experiments.benchmarks.flows",
    "waveflow_training": "experiments.benchmarks.flows",
    "release": "experiments.benchmarks.releases",
}
NEED_MODEL = ("stream", "render", "release")
FLAGS = flags.FLAGS
flags.DEFINE_enum("case", None, list(CASES), "What to measure")
flags.DEFINE_integer("rounds", 5, "Rounds that count", 1)
flags.DEFINE_float("seconds", 3.0, "Audio per round", 0.1)
flags.DEFINE_string("output", None, "JSON file to write; stream draws beside it (.png)")
flags.DEFINE_string("model", None, "The .nam file, or the folder of a release")
flags.DEFINE_float("slim", 1.0, ".nam: size of a model that has several", 0.0, 1.0)
flags.DEFINE_integer("block", 64, "stream: samples per block; of a release, frames per chunk", 1)
flags.DEFINE_string("input", None, "stream, a release: a recording; the built-in voice if left out")
flags.DEFINE_integer("cores", None, ".nam: on so many cores; 1 for stream, 1 and all for render", 1)
flags.DEFINE_string("core", None, "stream, .nam: a program to measure beside ours; see --help")
flags.DEFINE_integer("channels", 64, "waveflow: residual channels", 1)
flags.DEFINE_integer("height", 16, "waveflow: squeeze height", 2)
flags.DEFINE_integer("clips", 1, "waveflow: clips per synthesis", 1)
flags.DEFINE_multi_string(
    "precision",
    ["highest"],
    "waveflow: highest, default (TF32 on a GPU) or bfloat16; may be repeated",
)


def main(argv: list[str]) -> None:
    """Runs one case."""
    set_up()
    no_arguments(argv, "--block=64")
    if FLAGS.case in NEED_MODEL and not FLAGS.model:
        sys.exit(f"--case={FLAGS.case} plays a model; name its file or folder: --model=amp.nam")
    module = CASES[FLAGS.case]
    if FLAGS.case == "stream" and Path(FLAGS.model).is_dir():
        module = CASES["release"]
    if module == CASES["release"] and FLAGS.output:
        sys.exit(f"--output: --case={FLAGS.case} of a release writes no file; leave it out")
    if FLAGS.core and (FLAGS.case != "stream" or not Path(FLAGS.core).is_file()):
        sys.exit(f"--core={FLAGS.core}: a program, for --case=stream; name its file")
    if FLAGS.output and Path(FLAGS.output).suffix != ".json":
        sys.exit(f"--output={FLAGS.output}: JSON is written; let the name end in .json")
    try:
        _check_files()
    except UserError as error:
        sys.exit(str(error))
    importlib.import_module(module).run(FLAGS)


def _check_files() -> None:
    """Refuses what cannot be read or written, before JAX is loaded.

    Raises:
        UserError: with the file and the remedy.
    """
    if FLAGS.output:
        check_file(Path(FLAGS.output))
    if FLAGS.case == "release" or (FLAGS.case == "stream" and Path(FLAGS.model).is_dir()):
        read_manifest(Path(FLAGS.model))
    elif FLAGS.case in NEED_MODEL:
        read_nam(FLAGS.model)
    if FLAGS.input:
        AudioFile(FLAGS.input)


if __name__ == "__main__":
    flags.mark_flag_as_required("case")
    app.run(main, flags_parser=parse_flags)
