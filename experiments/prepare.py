"""Prepares a folder of speech recordings for training a vocoder, once.

    python -m experiments.prepare --input=LJSpeech-1.1 --output=corpus

Takes LJSpeech (metadata.csv and wavs/) or any folder of audio files: WAV, FLAC, AIFF and more.
Exit code: 0 fine, 1 nothing was written.
"""

from absl import flags

from experiments.terminal.start import start
from experiments.vocoder.preparation import prepare

flags.DEFINE_string("input", None, "Folder of recordings: LJSpeech or any.")
flags.DEFINE_string("output", None, "Folder to write the corpus to; new or empty.")
flags.DEFINE_integer("sample_rate", 22050, "Of the corpus, Hz.")
flags.DEFINE_integer(
    "validation", None, "Clips kept for validation, the last ones; else a tenth, at most 16"
)
flags.DEFINE_bool("skip_bad", False, "Leave out files that can not be used.")

if __name__ == "__main__":
    start(prepare, "--input=DIR")
