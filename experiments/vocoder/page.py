"""The report page of a vocoder: likelihood and resynthesis of held-out speech."""

import dataclasses
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from experiments.report import elements
from experiments.report.drawing import BLUE, ON_PAGES
from experiments.report.elements import Picture
from experiments.report.listening import SECONDS, embedded, listening
from experiments.vocoder import figures
from experiments.vocoder.evaluation import CALM
from experiments.vocoder.judged import MODEL, Judged, rows
from experiments.vocoder.scores import formatted
from wf_jax.audio.judge_packages import absent
from wf_jax.plurals import counted
from wf_jax.training.metrics import duration

HEARD = 4  # clips on a page
_MADE = (
    "Griffin-Lim speaks the same mel without a model, and so does noise that is pulled to it; "
    "WORLD, where it is installed, copies the recording by its pitch, envelope and aperiodicity."
)
_LEVELS = (
    f"The original is at its own level. At most {SECONDS} seconds of each. A mel says nothing of "
    "the phase, so the difference is loud even where both sound alike."
)


@dataclasses.dataclass(frozen=True)
class VocoderReport:
    """The content of the page.

    Attributes:
        title: name of the model and corpus.
        sample_rate: Hz.
        hop: samples per mel frame.
        log_likelihood: log-likelihood of all held-out clips, nats per sample at full scale 1.
        bits: the same in bits per int16 sample.
        parameters: number of parameters.
        best_step: when they were reached.
        steps: taken in all.
        minutes: used in all.
        history: a record per evaluation, with "minutes", "step", "ll/validation", "nll/train".
        baselines: log-likelihood and bits of simpler models by name, as above.
        clips: held-out clips, at least one; all are in the table.
        calm: [T] each, of the first few clips, which are heard: spoken at the temperature CALM.
        latent: [T] z of the first clip; None of a model that has none.
        facts: rows of the table of facts.
        next_steps: command lines.
    """

    title: str
    sample_rate: int
    hop: int
    log_likelihood: float
    bits: float
    parameters: int
    best_step: int
    steps: int
    minutes: float
    history: Sequence[dict[str, Any]]
    baselines: Mapping[str, tuple[float, float]]
    clips: Sequence[Judged]
    calm: Sequence[np.ndarray]
    latent: np.ndarray | None
    facts: Mapping[str, str]
    next_steps: Sequence[str]


def write_vocoder_report(path: str | Path, report: VocoderReport) -> None:
    """Writes the page, whole or not at all."""
    sections = [
        _result(report),
        _listen(report),
        elements.pictures(_pictures(report)),
        _measures(report.clips),
        elements.facts(report.facts),
        elements.next_steps(report.next_steps),
    ]
    elements.write_page(path, elements.document(report.title, sections))


def write_evaluation_page(
    path: str | Path, title: str, judged: Sequence[Judged], sample_rate: int
) -> None:
    """Writes a page to hear the first HEARD clips and read the scores of all, or no page at all.

    Args:
        path: of the page.
        title: name of the model and corpus.
        judged: clips, at least one.
        sample_rate: Hz.
    """
    heard_clips = "".join(
        heard(clip.name, clip.original, {MODEL: clip.resynthesis, **_copies(clip)}, sample_rate)
        for clip in judged[:HEARD]
    )
    listen = elements.section("Listen", f"{heard_clips}<p>{_MADE} {_LEVELS}</p>")
    sections = [listen, _measures(judged)]
    elements.write_page(path, elements.document(title, sections))


def _result(report: VocoderReport) -> str:
    cards = "".join(
        f'<div class="result" style="border-color:{ON_PAGES[BLUE]}">'
        f"<h2>{escape(name)}</h2><p><strong>{escape(value)}</strong></p><p>{escape(note)}</p></div>"
        for name, value, note in (
            ("Held-out likelihood", f"{report.log_likelihood:.3f}", "nats per sample"),
            ("Bits", f"{report.bits:.2f}", "per sample of 16 bits"),
            ("Parameters", f"{report.parameters:,}", f"best at step {report.best_step:,}"),
            ("Training", counted(report.steps, "step"), f"took {duration(report.minutes)}"),
        )
    )
    rows = [("this model", f"{report.log_likelihood:.3f}", f"{report.bits:.2f}")]
    rows += [(name, f"{ll:.3f}", f"{bits:.2f}") for name, (ll, bits) in report.baselines.items()]
    return (
        f'<section><div class="results four">{cards}</div>'
        "<p>The log-likelihood is the mean log density that the model gives to every sample of "
        "speech it was not trained on, given its mel spectrogram; higher is better. In bits it is "
        "what an ideal coder would need for each 16-bit sample; lower is better. What simpler "
        "models, fitted to the same training audio, reach on the same clips:</p>"
        f"{elements.numbers(('model', 'nats per sample', 'bits per sample'), rows)}</section>"
    )


def _listen(report: VocoderReport) -> str:
    players = "".join(
        heard(
            clip.name,
            clip.original,
            {f"spoken at {CALM:g}": spoken, "spoken at 1": clip.resynthesis, **_copies(clip)},
            report.sample_rate,
        )
        for clip, spoken in zip(report.clips, report.calm, strict=False)
    )
    return elements.section(
        "Listen",
        f"{players}<p>Each clip was held out of the training and spoken again from its mel "
        f"spectrogram: calmly, with {CALM:g} times the deviation that was learned (the temperature,"
        f" --temperature of `speak`), and with all of it, as it is measured below. {_MADE} "
        f"{_LEVELS}</p>",
    )


def _copies(clip: Judged) -> dict[str, np.ndarray]:
    return {name: version.audio for name, version in clip.baselines.items()}


def heard(
    title: str, original: np.ndarray, spoken: Mapping[str, np.ndarray], sample_rate: int
) -> str:
    """Returns a listening element (HTML) of a clip [T] and what models made of it.

    Levels are those of the recording; what would clip is turned down by itself, and says so.
    """
    clips = {"original": original}
    for name, x in spoken.items():
        gain = elements.common_gain([x])
        said = name if gain == 1 else f"{name}, turned down by {-20 * np.log10(gain):.1f} dB"
        clips[said] = gain * x
    element = listening(embedded(clips, sample_rate), sample_rate, "original", title)
    return f"<h3>{escape(title)}</h3>{element}"


def _pictures(report: VocoderReport) -> list[Picture]:
    clip, rate = report.clips[0], report.sample_rate
    audio = (clip.original, clip.resynthesis)
    lls = {name: value for name, (value, _) in report.baselines.items()}
    shown = [
        Picture(
            "Likelihood while training",
            figures.likelihood_over_time(report.history, lls, report.log_likelihood),
            "Higher is better. A model below a dashed line has not yet learned as much as that "
            "simple model knows.",
        ),
        Picture(
            "Mel spectrograms",
            figures.log_mels(clip.mel, clip.resynthesis_mel, report.hop / rate),
            f"{clip.name}, on one color scale. What the lower one has that the upper one has not "
            "is audible.",
        ),
        Picture(
            "Waveforms",
            figures.waveforms(*audio, rate),
            "The loudest 40 ms. A mel spectrogram says nothing of the phase, so the two differ in "
            "shape even where they sound alike; period and level should agree.",
        ),
        Picture(
            "Average spectrum",
            figures.spectra(*audio, rate),
            f"Of {clip.name}. A difference over a wide range is heard as hiss or dullness.",
        ),
    ]
    if report.latent is not None:
        picture = Picture(
            "Latent of a held-out clip",
            figures.latent(report.latent),
            "The flow should turn speech into standard normal noise. What is wider, narrower or "
            "heavier in the tails than the curve is what it has not explained.",
        )
        shown.append(picture)
    return shown


def _measures(judged: Sequence[Judged]) -> str:
    shown, found = rows(judged)
    heading = ("clip, spoken by", *(score.label for score in shown))
    table = elements.numbers(heading, ((name, *formatted(s, shown)) for name, s in found))
    meanings = elements.table((score.label, score.meaning) for score in shown)
    missing = f"<p>{escape(line)}</p>" if (line := absent()) else ""
    return elements.section(
        "Measures",
        f"{table}<details><summary>What they say</summary>{meanings}</details>{missing}",
    )
