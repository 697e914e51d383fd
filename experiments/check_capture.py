"""Checks recordings of an amp before training on them.

    python -m experiments.check_capture --input=di.wav --output=amp.wav

One line per check, then the latency, which is also drawn. `--output` may be a folder: every audio
file in it is checked, and latencies that differ are set beside each other. Exit code: 0 fine, 1 an
error was found, or a flag is wrong.
"""

from absl import flags

from experiments.capture.recordings import Recordings, check_recordings
from experiments.terminal.start import start

text, number, real = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_float
text("input", None, "The DI that was played: WAV, FLAC, AIFF.")
text("output", None, "What came back, or a folder of such files.")
text("plot", None, "Picture or folder; default: beside the recording.")
number("latency", None, "Samples the output lags; default: measured.")
number("input_channel", None, "Of a file with several, from 1.", 1)
number("output_channel", None, "Of files with several, from 1.", 1)
real("start_seconds", 0.0, "First second of both that is used.", 0.0)
real("stop_seconds", 0.0, "Where that ends; 0: at their end.", 0.0)
real("validation_seconds", 9.0, "Held out at the end, own DI.", 0.0)
number("receptive_field", 6347, "Of the model to train; A2's.", 1)
flags.DEFINE_bool("correct_drift", False, "Resample the output to one clock.")
flags.DEFINE_bool("ignore_checks", False, "Fail only if training is impossible.")

if __name__ == "__main__":
    start(check_recordings, "--input=di.wav", Recordings, left="pictures are complete")
