"""What an ESR means, in words."""

import math

BANDS = (
    (0.01, "hard to tell from the amp"),
    (0.035, "very close; a careful listener may hear it"),
    (0.1, "usable; differences on a close listen"),
    (0.3, "recognisable, but off; train longer"),
    (float("inf"), "not a likeness: train longer, or check latency and recording"),
)


def esr_words(esr: float) -> str:
    """A judgement of one model's error-to-signal ratio."""
    return next(words for limit, words in BANDS if esr < limit or limit == float("inf"))


def band_rows() -> list[tuple[str, str]]:
    """The bands as rows: "below 0.01 (-20 dB)", words."""
    rows = [
        (f"below {limit:g} ({10 * math.log10(limit):.0f} dB)", words) for limit, words in BANDS[:-1]
    ]
    return [*rows, (f"{BANDS[-2][0]:g} and above", BANDS[-1][1])]
