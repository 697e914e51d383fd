"""Speed, measured beside something else in the same run.

    python -m experiments.benchmark --case=stream --model=amp.nam --block=64 --output=bench.json
    python -m experiments.benchmark --case=render --model=amp.nam
    python -m experiments.benchmark --case=waveflow_synthesis
    python -m experiments.benchmark --case=waveflow_training
    python -m experiments.benchmark --case=release --model=RELEASE --seconds=5
    python -m experiments.benchmark --case=stream --model=RELEASE --block=32 --input=speech.wav
    python -m experiments.benchmark --case=passes
    python -m experiments.benchmark --case=captures --captures=1,2,4,8,16

`stream` and `render` play a .nam model, block by block or as a whole file, the native engine beside
JAX; the waveflow cases hold the flows against a large matrix product. `release` calls every
function of a release beside its model; `stream` with a vocoder's release speaks with more and less
context. `passes` times what a capture's training step takes most of, machine code beside JAX.
`captures` trains captures in turn and together; with --programs=off all of a start is in
its figures, else what an earlier one compiled is read.

--core=PROGRAM has `stream` measure any other player beside ours. Once a round it is started as
`PROGRAM MODEL.nam BLOCK`, reads raw float32 audio from its standard input to the end, plays it in
blocks of BLOCK samples, leaves out what is no full block, and prints the nanoseconds that each
took, one to a line. It is given the audio twice; the times of the second half count.
"""

from absl import flags

from experiments.benchmarks.cases import CASES, Options, measure
from experiments.terminal.start import start

text, number, real = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_float
flags.DEFINE_enum("case", None, list(CASES), "What to measure")
number("rounds", 5, "Rounds that count", 1)
real("seconds", 3.0, "Audio per round", 0.1)
text("output", None, "JSON file to write; stream and captures draw beside it")
text("model", None, "The .nam file, or the folder of a release")
real("slim", 1.0, ".nam: size of a model that has several", 0.0, 1.0)
number("block", 64, "stream: samples per block; of a release, frames per chunk", 1)
text("input", None, "stream, a release: a recording; the built-in voice if left out")
number("cores", None, ".nam: on so many cores; 1 for stream, 1 and all for render", 1)
text("core", None, "stream, .nam: a program to measure beside ours; see --help")
number("channels", 64, "waveflow: residual channels", 1)
number("height", 16, "waveflow: squeeze height", 2)
number("clips", 1, "waveflow: clips per synthesis", 1)
flags.DEFINE_list("captures", ["1", "2", "4", "8", "16"], "captures: numbers of them")
flags.DEFINE_multi_string(
    "precision",
    ["highest"],
    "waveflow: highest, default (TF32 on a GPU) or bfloat16; may be repeated",
)

if __name__ == "__main__":
    start(measure, "--block=64", Options)
