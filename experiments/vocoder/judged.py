"""Judged clips: the scores of the model and of baselines, their means, tables and JSON."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.vocoder.scores import LIKELIHOODS, Score, Scores, columns, formatted

MODEL = "model"


@dataclasses.dataclass(frozen=True)
class Version:
    """A clip as it was made again.

    Attributes:
        audio: float32 [T], at recording level.
        scores: beside the original.
    """

    audio: np.ndarray
    scores: Scores


@dataclasses.dataclass(frozen=True)
class Judged:
    """A held-out clip, its resynthesis and its scores.

    Attributes:
        number: index of the clip in the given list.
        name: name of the clip.
        seconds: its length.
        original: float32 [T], at recording level.
        resynthesis: float32 [T], at recording level.
        mel: [M, F], of what the model was given.
        resynthesis_mel: [M, F], of what it made of that.
        scores: of the resynthesis.
        baselines: the clip as made without a model, by name.
    """

    number: int
    name: str
    seconds: float
    original: np.ndarray
    resynthesis: np.ndarray
    mel: np.ndarray
    resynthesis_mel: np.ndarray
    scores: Scores
    baselines: Mapping[str, Version] = dataclasses.field(default_factory=dict)

    def all_scores(self) -> dict[str, Scores]:
        """Returns the scores of the model and of the baselines by name."""
        return {MODEL: self.scores} | {name: v.scores for name, v in self.baselines.items()}


def means(judged: Sequence[Judged]) -> dict[str, Scores]:
    """Averages the scores of the model and of each baseline.

    Likelihoods are averaged over all samples, other scores over the clips that have them.
    """
    lengths = [len(clip.original) for clip in judged]
    scores = [clip.all_scores() for clip in judged]
    return {name: _means([s[name] for s in scores], lengths) for name in scores[0]}


def rows(judged: Sequence[Judged]) -> tuple[list[Score], list[tuple[str, Scores]]]:
    """Returns the columns of a table, and its rows: each clip by each maker, then the means."""
    clips = [(clip.name, clip.all_scores()) for clip in judged]
    clips += [("mean", means(judged))] if len(judged) > 1 else []
    found = [(f"{clip}, {name}", s) for clip, made in clips for name, s in made.items()]
    return columns([scores for _, scores in found]), found


def lines(judged: Sequence[Judged]) -> list[str]:
    """Formats the table as text."""
    shown, found = rows(judged)
    width = max(len(name) for name, _ in found)
    widths = [max(len(score.label), 8) + 2 for score in shown]
    texts = [("", [score.label for score in shown])]
    texts += [(name, formatted(scores, shown)) for name, scores in found]
    return [
        f"{name:{width}}" + "".join(f"{t:>{w}}" for t, w in zip(cells, widths, strict=True))
        for name, cells in texts
    ]


def contents(judged: Sequence[Judged]) -> dict:
    """Returns the content of evaluation.json."""
    mean = means(judged)
    return {
        "mean": mean[MODEL],
        "clips": {clip.name: {"seconds": clip.seconds, **clip.scores} for clip in judged},
        "baselines": {
            name: {
                "mean": mean[name],
                "clips": {clip.name: clip.baselines[name].scores for clip in judged},
            }
            for name in judged[0].baselines
        },
    }


def _means(measured: Sequence[Scores], lengths: Sequence[int]) -> Scores:
    return {
        score.key: _mean(
            [scores.get(score.key) for scores in measured],
            lengths if score.key in LIKELIHOODS else [1] * len(lengths),
        )
        for score in columns(measured)
    }


def _mean(values: Sequence[float | None], weights: Sequence[int]) -> float | None:
    pairs = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None]
    return sum(v * w for v, w in pairs) / sum(w for _, w in pairs) if pairs else None
