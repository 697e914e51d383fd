"""Checks recordings of an amp before training on them.

    python -m experiments.check_capture --input=di.wav --output=amp.wav

One line per check, then the latency, which is also drawn. `--output` may be a folder: every audio
file in it is checked, and latencies that differ are set beside each other. Exit code: 0 fine, 1 an
error was found, or a flag is wrong.
"""

from pathlib import Path

from absl import flags

from experiments.capture.recordings import A2_FIELD, Recordings, check_recordings
from experiments.terminal.start import start

text, number, real = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_float
_INPUT = text("input", None, "The DI that was played: WAV, FLAC, AIFF.", required=True)
_OUTPUT = text("output", None, "What came back, or a folder of such files.", required=True)
_PLOT = text("plot", None, "Picture or folder; default: beside OUTPUT.")
_LATENCY = number("latency", None, "Samples the output lags; default: measured.")
_INPUT_CHANNEL = number("input_channel", None, "Of a file with several, from 1.", 1)
_OUTPUT_CHANNEL = number("output_channel", None, "Of files with several, from 1.", 1)
_START = real("start_seconds", 0.0, "First second of both that is used.", 0.0)
_STOP = real("stop_seconds", 0.0, "Where that ends; 0: at their end.", 0.0)
_VALIDATION = real("validation_seconds", 9.0, "Held out at the end, own DI.", 0.0)
_FIELD = number("receptive_field", A2_FIELD, "Of the model to train; A2's.", 1)
_DRIFT = flags.DEFINE_bool("correct_drift", False, "Resample the output to one clock.")
_IGNORE = flags.DEFINE_bool("ignore_checks", False, "Fail only if training is impossible.")


def main() -> int:
    """Checks one output, or a folder of them; returns the exit code."""
    given = Recordings(
        input=_INPUT.value,
        output=Path(_OUTPUT.value),
        plot=_PLOT.value,
        latency=_LATENCY.value,
        input_channel=_INPUT_CHANNEL.value,
        output_channel=_OUTPUT_CHANNEL.value,
        start_seconds=_START.value,
        stop_seconds=_STOP.value,
        validation_seconds=_VALIDATION.value,
        receptive_field=_FIELD.value,
        correct_drift=_DRIFT.value,
        ignore_checks=_IGNORE.value,
    )
    return check_recordings(given)


if __name__ == "__main__":
    start(main, "--input=di.wav", left="pictures that are there are complete")
