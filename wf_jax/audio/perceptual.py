"""Scores how good speech sounds beside its recording, by the packages pesq and zimtohrli.

PESQ: ITU-T P.862 with the wideband extension P.862.2. Zimtohrli: Alakuijala et al., "Zimtohrli: an
efficient psychoacoustic audio similarity metric" (2025). Both are opinion scores from 1 to nearly
5, higher is better. They come with the extra `judge`.
"""

from types import ModuleType

import numpy as np
import soxr

from wf_jax.audio.judge_packages import package

# Both packages crash the process on other clips: PESQ keeps at most 50 utterances, each of 0.2 s
# with 0.2 s of pause; Zimtohrli compares windows of 6 frames, 71 ms.
SHORTEST, LONGEST = 0.25, 20.0  # seconds


def perceptual_scores(
    reference: np.ndarray, synthesis: np.ndarray, sample_rate: int
) -> dict[str, float | None]:
    """Scores the first 20 seconds by each package that is installed.

    Args:
        reference: [T], full scale 1.
        synthesis: [T]; what is beyond full scale is limited, as in a file.
        sample_rate: Hz.

    Returns:
        pesq: wideband PESQ, MOS-LQO, of both at 16 kHz.
        zimtohrli: its opinion score, of both at 48 kHz.
        Each is None of clips below a quarter of a second and where nothing is spoken.
    """
    length = round(LONGEST * sample_rate)
    clips = [np.clip(x[:length], -1, 1) for x in (reference, synthesis)]
    judged = len(reference) >= SHORTEST * sample_rate and all(np.any(x) for x in clips)
    scores: dict[str, float | None] = {}
    for name, (measure, rate) in _MEASURES.items():
        if module := package(name):
            pair = [soxr.resample(x, sample_rate, rate) for x in clips] if judged else None
            scores[name] = measure(module, *pair) if pair else None
    return scores


def _pesq(pesq: ModuleType, reference: np.ndarray, synthesis: np.ndarray) -> float | None:
    try:
        return float(pesq.pesq(16000, reference, synthesis, "wb"))
    except (pesq.PesqError, ValueError):  # nothing is spoken; the level of almost nothing
        return None


def _zimtohrli(zimtohrli: ModuleType, reference: np.ndarray, synthesis: np.ndarray) -> float:
    return float(zimtohrli.mos_from_signals(reference, synthesis))


_MEASURES = {"pesq": (_pesq, 16000), "zimtohrli": (_zimtohrli, 48000)}
