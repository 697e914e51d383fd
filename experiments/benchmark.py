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

from absl import flags

from experiments.benchmarks.cases import CASES, AmpOptions, Files, FlowOptions, Timing, measure
from experiments.terminal.start import start

text, number, real = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_float
_CASE = flags.DEFINE_enum("case", None, CASES, "What to measure", required=True)
_ROUNDS = number("rounds", 5, "Rounds that count", 1)
_SECONDS = real("seconds", 3.0, "Audio per round", 0.1)
_OUTPUT = text("output", None, "JSON file to write; stream draws beside it (.png)")
_MODEL = text("model", None, "The .nam file, or the folder of a release")
_SLIM = real("slim", 1.0, ".nam: size of a model that has several", 0.0, 1.0)
_BLOCK = number("block", 64, "stream: samples per block; of a release, frames per chunk", 1)
_INPUT = text("input", None, "stream, a release: a recording; the built-in voice if left out")
_CORES = number("cores", None, ".nam: on so many cores; 1 for stream, 1 and all for render", 1)
_CORE = text("core", None, "stream, .nam: a program to measure beside ours; see --help")
_CHANNELS = number("channels", 64, "waveflow: residual channels", 1)
_HEIGHT = number("height", 16, "waveflow: squeeze height", 2)
_CLIPS = number("clips", 1, "waveflow: clips per synthesis", 1)
_PRECISIONS = flags.DEFINE_multi_string(
    "precision",
    ["highest"],
    "waveflow: highest, default (TF32 on a GPU) or bfloat16; may be repeated",
)


def main() -> None:
    """Runs one case."""
    files = Files(_MODEL.value, _INPUT.value, _OUTPUT.value)
    timing = Timing(_ROUNDS.value, _SECONDS.value)
    amp = AmpOptions(_SLIM.value, _BLOCK.value, _CORES.value, _CORE.value)
    flow = FlowOptions(_CHANNELS.value, _HEIGHT.value, _CLIPS.value, _PRECISIONS.value)
    measure(_CASE.value, files, timing, amp, flow)


if __name__ == "__main__":
    start(main, "--block=64")
