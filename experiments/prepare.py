"""Prepares a folder of speech recordings for training a vocoder, once.

    python -m experiments.prepare --input=LJSpeech-1.1 --output=corpus

Takes LJSpeech (metadata.csv and wavs/) or any folder of audio files: WAV, FLAC, AIFF and more.
Exit code: 0 fine, 1 nothing was written.
"""

from absl import flags

from experiments.terminal.start import start
from experiments.vocoder.preparation import prepare

_INPUT = flags.DEFINE_string("input", None, "Folder of recordings: LJSpeech or any.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder to write the corpus to; new or empty.", required=True
)
_SAMPLE_RATE = flags.DEFINE_integer("sample_rate", 22050, "Of the corpus, Hz.")
_VALIDATION = flags.DEFINE_integer("validation", 16, "Clips kept for validation: the last ones.")
_SKIP_BAD = flags.DEFINE_bool("skip_bad", False, "Leave out files that can not be used.")


def main() -> None:
    """Prepares a corpus and reports on it."""
    prepare(_INPUT.value, _OUTPUT.value, _SAMPLE_RATE.value, _VALIDATION.value, _SKIP_BAD.value)


if __name__ == "__main__":
    start(main, "--input=DIR")
