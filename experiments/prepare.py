"""Prepares a folder of speech recordings for training a vocoder, once.

    python -m experiments.prepare --input=LJSpeech-1.1 --output=corpus

Takes LJSpeech (metadata.csv and wavs/) or any folder of audio files: WAV, FLAC, AIFF and more.
Exit code: 0 fine, 1 nothing was written.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags

from data_pipeline.corpus_index import SPLITS, Clip
from data_pipeline.corpus_preparation import Report, prepare_corpus
from experiments.terminal.command_lines import command
from experiments.terminal.outputs import check_folder
from experiments.terminal.start import no_arguments, parse_flags
from experiments.terminal.streams import prepare_terminal
from wf_jax.errors import UserError, printable
from wf_jax.training.metrics import Progress


def main(argv: list[str]) -> int:
    """Prepares a corpus and reports on it."""
    options = _define_flags()
    if {"--help", "-help", "-h"} & set(argv):
        print(f"{__doc__}\n{options.module_help(__name__)}")
        return 0
    no_arguments(parse_flags(argv, options), "--input=DIR")
    try:
        check_folder(Path(options.output))
        report = _prepare(options)
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(f"stopped; nothing was written to {options.output}")
    print("\n".join(map(printable, _lines(report))))  # names may be in no encoding at all
    return 0


def _prepare(options: flags.FlagValues) -> Report:
    progress = Progress()
    try:
        return prepare_corpus(
            options.input,
            options.output,
            sample_rate=options.sample_rate,
            validation=options.validation,
            skip_bad=options.skip_bad,
            progress=progress.update,
        )
    finally:
        progress.close()


def _lines(report: Report) -> Iterator[str]:
    """Formats the report for a person."""
    clips, rate = report.index.clips, report.index.sample_rate
    yield f"corpus      {report.folder}, {rate} Hz, {2 * report.index.samples / 1e6:.1f} MB"
    for split in SPLITS:
        yield f"{split:11s} {_size([c for c in clips if c.split == split], rate)}"
    seconds = np.array([c.samples for c in clips]) / rate
    low, middle, high = seconds.min(), np.median(seconds), seconds.max()
    yield f"duration    {low:.2f} s shortest, {middle:.2f} s median, {high:.2f} s longest"
    levels = np.percentile([max(c.rms_dbfs, -120.0) for c in clips], (5, 50, 95))
    low, middle, high = levels  # dBFS; digital silence counts as -120
    yield f"level       {low:.1f} / {middle:.1f} / {high:.1f} dBFS RMS (5 / 50 / 95 % of clips)"
    yield f"peak        {max(c.peak for c in clips):.3f} of full scale"
    if report.passed_over:
        yield f"passed over {report.passed_over}: no audio"
    yield from (f"left out    {reason}" for reason in report.index.skipped)
    yield from (f"WARNING     {finding}" for finding in report.findings)
    config = ("--config=waveflow", f"--config.data.corpus={report.folder}")
    yield f"next        {command('train', *config, '--workdir=runs/voice')}"


def _size(clips: list[Clip], rate: int) -> str:
    seconds = sum(clip.samples for clip in clips) / rate
    hours = f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
    return f"{len(clips)} clip{'' if len(clips) == 1 else 's'}, {hours}"


def _define_flags() -> flags.FlagValues:
    values = flags.FlagValues()  # not the global ones: several commands may live in one process
    text, number = flags.DEFINE_string, flags.DEFINE_integer
    text("input", None, "Folder of recordings: LJSpeech or any.", values, required=True)
    text("output", None, "Folder to write the corpus to; new or empty.", values, required=True)
    number("sample_rate", 22050, "Of the corpus, Hz.", flag_values=values)
    number("validation", 16, "Clips kept for validation: the last ones.", flag_values=values)
    flags.DEFINE_boolean("skip_bad", False, "Leave out files that can not be used.", values)
    return values


if __name__ == "__main__":
    prepare_terminal()
    sys.exit(main(sys.argv))
