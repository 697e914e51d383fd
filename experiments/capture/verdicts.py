"""Describes ESR values in words."""

import math

from wf_jax.plurals import counted

BANDS = (
    (0.01, "hard to tell from the amp"),
    (0.035, "very close; a careful listener may hear it"),
    (0.1, "usable; differences on a close listen"),
    (0.3, "recognizable, but off"),
    (float("inf"), "not a likeness"),
)
USABLE = 0.1  # above, what to do is said
FEW = 300  # steps, below which more of them are the cure


def describe_esr(esr: float, linear: float | None, steps: int, examined: str = "recording") -> str:
    """Judges one model beside the best linear filter, and for its number of steps.

    Args:
        esr: its error-to-signal ratio.
        linear: ESR of the best linear filter on the same audio, where it is known.
        steps: training steps.
        examined: "recording", which may be at fault, or "teacher".
    """
    verdict = next(verdict for limit, verdict in BANDS if esr < limit or limit == float("inf"))
    if linear is not None and not esr < linear:
        verdict = f"worse than a linear filter (ESR {linear:.4f}); {verdict}"
    elif linear is not None and linear >= 2 * esr > 0:
        verdict = f"{verdict}; {linear / esr:.0f} times less error than the best linear filter"
    if esr < USABLE:
        return verdict
    if steps < FEW:
        return f"{verdict}; after {counted(steps, 'step')}: train longer"
    cure = "check latency and recording, or " if examined == "recording" else ""
    return f"{verdict}; {cure}train longer"


def band_rows() -> list[tuple[str, str]]:
    """Returns the bands as rows: "below 0.01 (-20 dB)", verdict."""
    rows = [
        (f"below {limit:g} ({10 * math.log10(limit):.0f} dB)", verdict)
        for limit, verdict in BANDS[:-1]
    ]
    return [*rows, (f"{BANDS[-2][0]:g} and above", BANDS[-1][1])]
