"""The scores of a resynthesis: keys in files, columns of a table, and what each one says."""

import dataclasses
from collections.abc import Sequence

Scores = dict[str, float | None]  # None: it cannot be told; absent: it was not measured
LIKELIHOODS = ("log_likelihood", "bits")  # their mean is over samples, that of others over clips


@dataclasses.dataclass(frozen=True)
class Score:
    """A score.

    Attributes:
        key: in files.
        label: of a column.
        decimals: how many are shown.
        meaning: for people.
    """

    key: str
    label: str
    decimals: int
    meaning: str


_VOICED = "F1 score of what is voiced, 1 is best; pitch by "
_PITCH = "RMS error of the pitch where both are voiced, 100 cents are a semitone; by "
_HARVEST = "WORLD's Harvest and StoneMask"
_YIN = "this project's YIN, which does not compare with published numbers"
SCORES = (
    Score("log_likelihood", "nats", 3, "log-likelihood per sample, higher is better"),
    Score("bits", "bits", 2, "the same for each 16-bit sample, lower is better"),
    Score(
        "pesq", "PESQ", 2, "wideband PESQ at 16 kHz (ITU-T P.862.2), 1 to 4.64, higher is better"
    ),
    Score("zimtohrli", "Zimtohrli", 2, "Zimtohrli's opinion score, 1 to 5, higher is better"),
    Score(
        "log_spectral_distance",
        "LSD dB",
        2,
        "log-spectral distance, up to half the sample rate, lower is better",
    ),
    Score(
        "mel_cepstral_distortion",
        "MCD dB",
        2,
        "mel-cepstral distortion, 13 coefficients without the level, no warping, lower is better",
    ),
    Score("vuv_f1_harvest", "V/UV F1 (Harvest)", 3, _VOICED + _HARVEST),
    Score("f0_rmse_cents_harvest", "f0 cents (Harvest)", 1, _PITCH + _HARVEST),
    Score("vuv_f1_yin", "V/UV F1 (YIN)", 3, _VOICED + _YIN),
    Score("f0_rmse_cents_yin", "f0 cents (YIN)", 1, _PITCH + _YIN),
)


def columns(measured: Sequence[Scores]) -> list[Score]:
    """Returns the scores that any of `measured` has."""
    return [score for score in SCORES if any(score.key in scores for scores in measured)]


def formatted(scores: Scores, shown: Sequence[Score]) -> list[str]:
    """Formats the scores that are shown; a dash for missing ones."""
    texts = []
    for score in shown:
        value = scores.get(score.key)
        texts.append("–" if value is None else f"{value:.{score.decimals}f}")
    return texts
