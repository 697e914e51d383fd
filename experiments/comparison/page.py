"""The page of a comparison: its table and pictures, and every model's voice at one position."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipeline.corpus import Corpus
from experiments.comparison import figures
from experiments.comparison.table import HEADING, Line, rows, title
from experiments.report import elements
from experiments.report.elements import Picture
from experiments.report.listening import SECONDS
from experiments.vocoder.evaluation import CALM, calm
from experiments.vocoder.job import held_out_clips
from experiments.vocoder.page import heard
from experiments.vocoder.run_evaluation import corpus_of
from experiments.vocoder.samples import SAMPLES, SLOW_SAMPLES, some
from wf_jax.flows.model_folder import load_model

Voices = dict[str, dict[str, np.ndarray]]  # [T] by the names of clip and model


def write_comparison_page(path: Path, lines: Sequence[Line], folder: Path) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: of the page.
        lines: results of the members.
        folder: of the comparison, with the run of each member below.
    """
    names = [line.name for line in lines]
    originals = _originals(folder / names[0])
    rate = Corpus.open(corpus_of(folder / names[0])).sample_rate
    sections = [
        elements.section("Results", elements.numbers(HEADING, rows(lines))),
        _listen(originals, speak(folder, names), rate),
        elements.pictures(_pictures(lines)),
    ]
    elements.write_page(path, elements.document("Comparison of flows", sections))


def speak(folder: Path, names: Sequence[str]) -> Voices:
    """Lets every member speak held-out clips; a slow one the beginning of one."""
    voices: Voices = {}
    for name in names:
        model = load_model(folder / name / "model")
        clips = held_out_clips(Corpus.open(corpus_of(folder / name)), model.config.mel)
        amount = SLOW_SAMPLES if model.config.is_slow else SAMPLES
        clips = some(clips, model.config, amount)
        for clip, audio in zip(clips, calm(model, clips), strict=True):
            voices.setdefault(clip.name, {})[title(name)] = audio
    return voices


def _originals(run: Path) -> Mapping[str, np.ndarray]:
    """Returns held-out clips [T] by name, at recording level."""
    mel, corpus = load_model(run / "model").config.mel, Corpus.open(corpus_of(run))
    length = round(SAMPLES[1] * mel.sample_rate)
    return {
        clip.name: clip.audio[:length] / np.float32(clip.gain)
        for clip in held_out_clips(corpus, mel)
    }


def _listen(originals: Mapping[str, np.ndarray], voices: Voices, rate: int) -> str:
    heard_clips = "".join(
        heard(name, originals[name], spoken, rate) for name, spoken in voices.items()
    )
    return elements.section(
        "Listen",
        f"{heard_clips}<p>Held-out clips, spoken from their mel spectrograms at temperature "
        f"{CALM:g}, beside the original at its own level; at most {SECONDS} seconds, and less of a "
        "model that makes one sample after another.</p>",
    )


def _pictures(lines: Sequence[Line]) -> list[Picture]:
    return [
        Picture("These runs", figures.runs(lines), "Up is more likely, left is faster."),
        Picture("The paper", figures.paper(), f"From {figures.PAPER}: height/channels."),
    ]
