"""Examines a teacher before it is copied: silence, clicks and loud playing, and its answers.

A teacher is a model that plays the output of a pair. Its faults would be learned with its sound:
latency from recordings that were not aligned, an offset in silence, a tone of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_pipeline.checks import SILENT_PEAK, Finding

Play = Callable[[np.ndarray], np.ndarray]  # float32 [T] -> [T], silence before the first sample

# A response counts from this share of its peak on. Captures answer with a thousandth of it from
# their first sample on, whatever the latency of their amp.
ONSET = 0.02
USUAL_ONSET = 0.00025  # seconds; of sixteen public captures the latest was 9 samples at 48 kHz
USUAL_OFFSET = 1e-3  # of full scale; of those sixteen the largest was 0.0006
IDLE = 1e-4  # -80 dBFS
GROWTH = 1.1  # from a quarter second of silence to the next
LOUDEST = 1e4  # where full scale is 1
CLICKS = (0.5, 0.02)  # of full scale
LATENCY, DC = REPAIRS = ("latency", "dc")


@dataclass(frozen=True)
class Examination:
    """The answers of a teacher to the test signal.

    Attributes:
        onset: samples from a click to the answer.
        offset: output in silence, of full scale.
        findings: in the order of the checks.
    """

    onset: int
    offset: float
    findings: tuple[Finding, ...]


def examine(play: Play, name: str, sample_rate: int, repairs: tuple[str, ...] = ()) -> Examination:
    """Plays the test signal, and judges what comes back.

    Args:
        play: the teacher.
        name: of the teacher, for messages.
        sample_rate: Hz.
        repairs: which of REPAIRS are made, so that their faults are notes only.
    """
    signal = _Signal.at(sample_rate)
    with np.errstate(all="ignore"):
        y = np.asarray(play(signal.samples), np.float64)
    if broken := _check_stability(y, signal, name):
        return Examination(0, 0.0, (broken,))
    rest = np.asarray(play(np.zeros(signal.loud, np.float32)), np.float64)
    onset = _onset(np.abs(y[: signal.loud] - rest), signal.clicks)
    offset = float(rest[signal.quarter : signal.clicks[0]].mean())
    findings = (
        _check_answer(y - offset, signal, name),
        _check_onset(onset, name, sample_rate, LATENCY in repairs),
        _check_offset(offset, name, DC in repairs),
        _check_idle(y, signal, name),
    )
    return Examination(onset or 0, offset, findings)


@dataclass(frozen=True)
class _Signal:
    """A second of silence, two clicks, a second at full scale, and a second of silence.

    Attributes:
        samples: float32 [T].
        clicks: their positions.
        loud: start of the full-scale part.
        end: its end.
        quarter: of a second, in samples.
    """

    samples: np.ndarray
    clicks: tuple[int, ...]
    loud: int
    end: int
    quarter: int

    @classmethod
    def at(cls, sample_rate: int) -> "_Signal":
        """Makes the signal for a sample rate, Hz."""
        second, quarter = sample_rate, sample_rate // 4
        clicks = (second, second + 2 * quarter)
        loud, end = 2 * second, 3 * second
        x = np.zeros(4 * second, np.float32)
        x[list(clicks)] = CLICKS
        x[loud:end] = np.sin(2 * np.pi * 110.0 * np.arange(second) / sample_rate)
        noise = np.random.default_rng(0).choice([-1.0, 1.0], second // 2)
        x[end - len(noise) : end] = noise
        return cls(x, clicks, loud, end, quarter)


def _check_stability(y: np.ndarray, signal: _Signal, name: str) -> Finding | None:
    """Refuses a teacher that plays NaN or Infinity, or whose sound grows in silence."""
    remedy = "a copy would do the same: take another capture of this amp"
    bad = ~(np.abs(y) < LOUDEST)
    if bad.any():
        at = int(np.argmax(bad))
        value = "NaN" if np.isnan(y[at]) else f"{y[at]:.3g}"
        cause = "in silence" if at < signal.clicks[0] else "at full-scale input"
        message = f"{name}: is unstable, it plays {value} {cause}"
        return Finding("stability", "error", message, remedy, ignorable=False)
    for start, stop, when in ((0, signal.clicks[0], ""), (signal.end, len(y), " after playing")):
        quarters = y[start : start + 4 * signal.quarter].reshape(4, -1).std(axis=1)
        if stop - start >= 4 * signal.quarter and quarters[3] > max(GROWTH * quarters[2], IDLE):
            growth = 20 * np.log10(quarters[3] / max(quarters[2], 1e-12))
            message = f"{name}: is unstable, its sound grows by {growth:.0f} dB in silence{when}"
            return Finding("stability", "error", message, remedy, ignorable=False)
    return None


def _onset(answers: np.ndarray, clicks: tuple[int, ...]) -> int | None:
    """Returns the samples to the earliest answer, |with clicks - without| [T]; None if none."""
    found = []
    for start, stop in zip(clicks, (*clicks[1:], len(answers)), strict=True):
        answer = answers[start:stop]
        if answer.max() > 1e-7:
            found.append(int(np.argmax(answer > ONSET * answer.max())))
    return min(found, default=None)


def _check_answer(y: np.ndarray, signal: _Signal, name: str) -> Finding:
    peak = float(np.abs(y[signal.loud : signal.end]).max())
    if peak >= SILENT_PEAK:
        level = f"{20 * np.log10(peak):.0f} dBFS"
        return Finding("level", "ok", f"{name}: peak {level} at full-scale input")
    message = f"{name}: stays silent at full-scale input (peak {peak:.2g})"
    return Finding("level", "error", message, "name another model", ignorable=False)


def _check_onset(onset: int | None, name: str, sample_rate: int, repaired: bool) -> Finding:
    if onset is None:
        return Finding("latency", "note", f"{name}: does not answer clicks; no latency is measured")
    size = f"{onset} samples ({1e3 * onset / sample_rate:.2f} ms)"
    if onset <= USUAL_ONSET * sample_rate:
        return Finding("latency", "ok", f"{name}: answers within {onset} samples")
    if repaired:
        return Finding("latency", "note", f"{name}: answers {size} late; that is trained away")
    return Finding(
        "latency",
        "warning",
        f"{name}: answers {size} late, a latency that the copy will have too",
        "train it away with --config.data.repair=latency",
    )


def _check_offset(offset: float, name: str, repaired: bool) -> Finding:
    message = f"{name}: plays {offset:+.2g} in silence"
    if abs(offset) <= USUAL_OFFSET:
        return Finding("DC offset", "ok", message)
    if repaired:
        return Finding("DC offset", "note", f"{message}, a DC offset; it is trained away")
    return Finding(
        "DC offset",
        "warning",
        f"{message}, a DC offset that the copy will have too",
        "train it away with --config.data.repair=dc",
    )


def _check_idle(y: np.ndarray, signal: _Signal, name: str) -> Finding:
    """Finds a tone or noise of its own in silence, before and long after playing."""
    before = y[signal.quarter : signal.clicks[0]].std()
    level = max(before, y[-signal.quarter :].std())
    shown = f"{20 * np.log10(level):.0f} dBFS" if level > 1e-7 else "nothing"
    if level <= IDLE:
        return Finding("idle noise", "ok", f"{name}: plays {shown} of its own in silence")
    return Finding(
        "idle noise",
        "warning",
        f"{name}: sounds by itself in silence, {shown}, which the copy will try to do too",
        "take another capture of this amp, if there is one",
    )
