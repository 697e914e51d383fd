"""Checks of the timing between first and last sample; checks.py has the others."""

from dataclasses import replace

import numpy as np
import soxr
from scipy.signal import butter, sosfilt

from data_pipeline.audio_files import Audio
from data_pipeline.checks import SILENT_PEAK, Finding
from data_pipeline.timing import Timing, longest_part
from wf_jax.plurals import counted

MAX_TIMING_ESR = 0.01
_LITTLE_ESR = 0.0005
_MARGIN_SECONDS = 1.0  # kept away from a jump: where little plays its place is uncertain
_DROPOUT_SECONDS = 0.25
_PLAYING = 0.3  # of the input's RMS: no noise gate closes over that
_PASSED = (100.0, 4000.0)  # Hz
_SAID = 3  # jumps that are named


def check_timing(x: Audio, y: Audio, timing: Timing | None, cost: float, can_cut: bool) -> Finding:
    """Requires the same delay from start to end.

    Args:
        x: the input.
        y: the output.
        timing: the measured timing; None where it could not be measured.
        cost: ESR that remains at best because of it.
        can_cut: whether the user may choose the part of the files that is used.

    Returns:
        An error where it costs an ESR of more than 0.01.
    """
    if timing is None:
        message = f"{y.path.name}: whether it stays in step with {x.path.name} could not be told"
        return Finding("timing", "ok", message)
    if timing.is_steady:
        return Finding("timing", "ok", f"{y.path.name}: stays in step with {x.path.name}")
    level = "error" if cost > MAX_TIMING_ESR else "warning" if cost > _LITTLE_ESR else "note"
    return Finding(
        "timing",
        level,
        f"{y.path.name}: {_faults(x, y, timing)}, {_price(cost)}",
        _remedy(y, timing, can_cut),
    )


def check_dropouts(x: Audio, y: Audio, delay: int, can_cut: bool) -> Finding:
    """Finds output silences of 0.25 s or more while the input plays.

    Only what amps and cabinets let through counts as playing, 100 Hz to 4 kHz: not the upper end of
    a sweep.

    Args:
        x: the input.
        y: the output.
        delay: the latency in use, in samples.
        can_cut: whether the user may choose the part of the files that is used.
    """
    loud = np.abs(y.samples) >= SILENT_PEAK
    edges = np.flatnonzero(np.diff(np.r_[True, loud, True].astype(np.int8))).reshape(-1, 2)
    least = _DROPOUT_SECONDS * x.sample_rate
    passed = sosfilt(butter(4, _PASSED, "band", fs=x.sample_rate, output="sos"), x.samples)
    playing = _PLAYING * np.sqrt(np.mean(passed**2))
    for start, stop in edges[edges[:, 1] - edges[:, 0] >= least]:
        played = passed[max(start - delay, 0) : max(stop - delay, 0)]
        if len(played) >= least and np.sqrt(np.mean(played**2)) > playing:
            remedy = "check cables and export, and record again"
            if can_cut:
                remedy += ", or leave that out with start_seconds and stop_seconds"
            return Finding(
                "dropouts",
                "error",
                f"{y.path.name}: silent from {y.time_of(start):.2f} to {y.time_of(stop):.2f} s"
                f" while {x.path.name} plays",
                remedy,
            )
    return Finding("dropouts", "ok", f"{y.path.name}: plays wherever {x.path.name} does")


def without_drift(y: Audio, drift: float) -> tuple[Audio, Finding]:
    """Resamples the output by the measured ratio of the clocks.

    Args:
        y: the output.
        drift: samples per sample, see Timing.

    Returns:
        The output with sample n taken from n (1 + drift), and what is said about it.
    """
    rate = y.sample_rate
    samples = soxr.resample(y.samples, rate * (1.0 + drift), rate, quality="VHQ")
    message = f"{y.path.name}: resampled by {1e6 * drift:+.2f} ppm to the input's clock"
    remedy = "record both with one clock to do without"
    return replace(y, samples=samples), Finding("drift", "note", message, remedy)


def _price(cost: float) -> str:
    if cost <= _LITTLE_ESR:
        return "which costs next to nothing"
    return f"so no model can get below an ESR of {cost:.2g}"


def _faults(x: Audio, y: Audio, timing: Timing) -> str:
    """Describes jumps and drift."""
    faults = []
    for jump in timing.jumps[:_SAID]:
        count = abs(jump.samples)
        noun = f"{counted(count, 'sample')} {'is' if count == 1 else 'are'}"
        state = "missing" if jump.samples < 0 else "too many"
        faults.append(f"{noun} {state} at {y.time_of(jump.position):.1f} s")
    if len(timing.jumps) > _SAID:
        faults.append(f"{len(timing.jumps) - _SAID} more such places")
    if timing.drift:
        samples = round(abs(timing.drift) * len(x.samples))
        faults.append(
            f"the clocks differ by {1e6 * abs(timing.drift):.3g} ppm"
            f" ({counted(samples, 'sample')} from start to end)"
        )
    return " and ".join(faults)


def _remedy(y: Audio, timing: Timing, can_cut: bool) -> str:
    ways = []
    if timing.jumps:
        ways.append("record again with a larger buffer")
        if can_cut:
            margin = round(_MARGIN_SECONDS * y.sample_rate)
            start, stop = longest_part(timing, len(y.samples), margin)
            ways.append(
                "use the longest part in step only"
                f" (start_seconds={y.time_of(start):.2f}, stop_seconds={y.time_of(stop):.2f})"
            )
    if timing.drift:
        ways += ["record both with one clock", "resample the drift away (correct_drift=true)"]
    return ", or ".join(ways)
