"""Part `train`: draft."""

from pathlib import Path

from data_pipeline.corpus_preparation import prepare_corpus
from data_pipeline.synthetic_speech import write_demo_corpus
from experiments.accelerator.report import Options


def corpus_of(options: Options) -> Path:
    """The corpus that was asked for, or one of built-in speech in the part's folder."""
    if options.corpus:
        return Path(options.corpus)
    clips, seconds, held_out = (6, 1.5, 3) if options.small else (120, 4.0, 8)
    write_demo_corpus(options.folder / "clips", clips, seconds)
    prepare_corpus(options.folder / "clips", options.folder / "corpus", validation=held_out)
    return options.folder / "corpus"
