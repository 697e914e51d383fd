"""Measures how many samples the recorded output lags behind the input that was played.

Two ways: from the blips of a standard file, as the trainer neural-amp-modeler 0.13.0 does it; and,
for a user's own DI, from the onset of the whitened cross-correlation (see cross_correlation.py).
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import soxr

from data_pipeline.cross_correlation import CrossCorrelation, whitened_cross_correlation
from data_pipeline.standard_files import StandardFile
from wf_jax.errors import UserError

SAFETY_FACTOR = 1
LOOKAHEAD = 1_000
LOOKBACK = 10_000
MAX_DISAGREEMENT = 20
MIN_CONFIDENCE = 0.5
_CLEAR_CONFIDENCE = 0.7
_BEFORE_PEAK_SECONDS = 0.002
_AROUND_PEAK_SECONDS = 0.02
_PLOT_SECONDS = 0.004
_SLOWER = 8


@dataclass(frozen=True)
class Latency:
    """The latency to use, its method, and data to plot it.

    Attributes:
        samples: the latency to use; positive where the output lags behind the input.
        method: name of the method.
        measured: start of the response in samples; None when nothing was measured.
        recommended: latency recommended by the measurement; None when nothing was measured.
        confidence: 0 to 1, cross-correlation only.
        warnings: one line each.
        matches_lookahead: blips only: the scan was above the threshold from its first sample.
        disagreement: blips only: largest minus smallest delay of the single blips, in samples.
        peak: cross-correlation only: lag of the strongest response, with a fraction.
        polarity: cross-correlation only: -1 when the output is mostly the input upside down.
        asymmetry: cross-correlation only: response in the ms after the peak against the ms before
            it, in dB; negative where effect comes before cause.
        lags: int [L], the part of the lags worth plotting.
        curves: the responses to plot, float64 [L] each: averaged blips, or the cross-correlation.
        threshold: minimum of a curve that counts as a response; None without curves.
    """

    samples: int
    method: Literal["manual", "blips", "cross-correlation", "teacher"]
    measured: float | None = None
    recommended: int | None = None
    confidence: float | None = None
    warnings: tuple[str, ...] = ()
    matches_lookahead: bool = False
    disagreement: int = 0
    peak: float | None = None
    polarity: int = 1
    asymmetry: float | None = None
    lags: np.ndarray | None = None
    curves: tuple[np.ndarray, ...] = ()
    threshold: float | None = None

    def describe(self, sample_rate: int) -> str:
        """Describes the result: samples, ms, method."""
        if self.method == "teacher":
            if not self.measured:
                return "the teacher answers with its first sample"
            kept = "trained away" if self.samples else "which the copy keeps"
            unit = "sample" if self.measured == 1 else "samples"
            return f"the teacher answers after {self.measured:.0f} {unit}, {kept}"
        size = f"{abs(self.samples)} samples ({1e3 * abs(self.samples) / sample_rate:.2f} ms)"
        text = f"output {'late' if self.samples > 0 else 'early'} by {size}"
        found = "given by hand" if self.method == "manual" else f"found by {self.method}"
        if self.method != "manual" and self.confidence is not None:
            found += f", confidence {self.confidence:.2f}"
        return f"{text if self.samples else 'output in time (0 samples)'}, {found}"


def manual_latency(samples: int, measurement: Latency | None = None) -> Latency:
    """Returns the user's number; a measurement, where there is one, is kept beside it."""
    return replace(measurement or Latency(samples, "manual"), samples=samples, method="manual")


def latency_from_blips(output: np.ndarray, standard: StandardFile) -> Latency:
    """Finds the latency from the output's response to the blips of a standard file.

    The stretches around the blips are averaged; the latency is the first sample above the noise,
    minus a safety factor of one sample, because a model can be late but never early.

    Args:
        output: the recorded output, float64 [T].
        standard: positions of the blips and the silence before them.

    Returns:
        The latency; its curves are the average and then each blip by itself.

    Raises:
        UserError: if the output is too short for a blip, or no response exceeds the noise.
    """
    stop = standard.first_blips_start + standard.t_blips
    if len(output) < max(stop, max(standard.blips) + LOOKBACK):
        raise UserError(
            f"ends at {len(output) / standard.sample_rate:.1f} s, before the blips at"
            f" {max(standard.blips) / standard.sample_rate:.1f} s; record the whole file,"
            " or give the latency by hand"
        )
    background = float(np.max(np.abs(output[slice(*standard.noise_interval)])))
    threshold = max(background + 0.0003, 1.001 * background)
    scans = [output[blip - LOOKAHEAD : blip + LOOKBACK] for blip in standard.blips]
    average = np.mean(scans, axis=0)
    delay = _first_above(average, threshold)
    if delay is None:
        raise UserError(
            f"no response to the blips exceeds the noise ({background:.5f}, so {threshold:.5f} is"
            " needed); raise the recording level, check the cabling, or give the latency by hand"
        )
    each = [found for scan in scans if (found := _first_above(scan, threshold)) is not None]
    disagreement = max(each, default=0) - min(each, default=0)
    shown = slice(max(delay - 100, -LOOKAHEAD) + LOOKAHEAD, delay + 200 + LOOKAHEAD)
    return Latency(
        samples=delay - SAFETY_FACTOR,
        method="blips",
        measured=float(delay),
        recommended=delay - SAFETY_FACTOR,
        warnings=_blip_warnings(delay, disagreement),
        matches_lookahead=delay == -LOOKAHEAD,
        disagreement=disagreement,
        lags=np.arange(-LOOKAHEAD, LOOKBACK)[shown],
        curves=(average[shown], *(scan[shown] for scan in scans)),
        threshold=threshold,
    )


def latency_from_playing(
    x: np.ndarray, y: np.ndarray, sample_rate: int, search_seconds: float = 0.5
) -> Latency:
    """Finds the latency of a pair recorded over a user's own DI, from the playing itself.

    The start of the response counts, not its peak: an amp's filters put the peak up to a few
    milliseconds later, and samples cut off before it are lost to a causal model for good, while a
    few samples of lag left in cost nothing. So the strongest correlation only says where to look;
    the measured delay is the first lag, at most 2 ms before it, that rises over 8 standard
    deviations of the noise, over the noise just before that, and over 5% of the peak (below, the
    ringing of converters and resamplers would count). The recommendation is one sample less, the
    same safety factor as with blips.

    Measured: recommendation minus imposed delay, in samples, over a real 60 s pair that begins at
    lag 1 and peaks at 27.6. Shifts of 0, 1, 37, -20, 480 and 5000, inverted polarity,
    white noise at -60 to -10 dB: 0. Shifts of 0.5 and 37.25: -0.5 and -0.25. The DI through tanh,
    sign or |x|, with or without a low-pass down to 1 kHz and noise at -60 dB: -1 to 0. What hides
    the weak first samples costs some: only 10 s of the pair, a further tanh, or a low-pass at 6 kHz
    or below, +25 to +26. Confidence 0.8 and more for all these, 0.0 for unrelated files. The limits
    were set on this one real pair, where the first sample exceeds its limit by half.

    Args:
        x: the input, float64 [T].
        y: the output, float64 [T].
        sample_rate: Hz.
        search_seconds: the largest delay looked for, either way.

    Returns:
        The latency with its confidence, polarity and peak.

    Raises:
        UserError: if the signals do not fit together clearly enough.
    """
    reach = min(round(search_seconds * sample_rate), min(len(x), len(y)) // 4)
    found = whitened_cross_correlation(x, y, reach)
    confidence = _confidence(found, sample_rate)
    if confidence < _CLEAR_CONFIDENCE:  # an octave fuzz is even: only |x| shows in its output
        of_magnitude = whitened_cross_correlation(np.abs(x), y, reach)
        if _confidence(of_magnitude, sample_rate) > confidence:
            found, confidence = of_magnitude, _confidence(of_magnitude, sample_rate)
    if found is None or confidence < MIN_CONFIDENCE:
        raise UserError(
            f"can not be aligned with the input (confidence {confidence:.2f}, at least"
            f" {MIN_CONFIDENCE} is needed; delays up to {reach / sample_rate:.2f} s were tried);"
            " check that the two files belong together, or give the latency by hand"
        )
    return _onset(found, confidence, sample_rate)


def far_latency(
    x: np.ndarray, y: np.ndarray, sample_rate: int, search_seconds: float = 30.0
) -> int | None:
    """Finds a latency beyond the reach of `latency_from_playing`; None if there is no clear one.

    It is looked for at an eighth of the sample rate, then measured around what was found.

    Args:
        x: the input, float64 [T].
        y: the output, float64 [T].
        sample_rate: Hz.
        search_seconds: the largest delay looked for, either way.
    """
    slow = sample_rate // _SLOWER
    x_slow, y_slow = (soxr.resample(signal, sample_rate, slow) for signal in (x, y))
    reach = min(round(search_seconds * slow), min(len(x_slow), len(y_slow)) // 2)
    found = whitened_cross_correlation(x_slow, y_slow, reach)
    if _confidence(found, slow) < MIN_CONFIDENCE:
        return None
    coarse = round(int(found.lags[found.peak()]) * sample_rate / slow)
    late = max(coarse, 0)
    try:
        near = latency_from_playing(x[late - coarse :], y[late:], sample_rate)
    except UserError:
        return None
    return coarse + near.samples


def _first_above(scan: np.ndarray, threshold: float) -> int | None:
    above = np.flatnonzero(np.abs(scan) > threshold)
    return int(above[0]) - LOOKAHEAD if len(above) else None


def _blip_warnings(delay: int, disagreement: int) -> tuple[str, ...]:
    warnings = []
    if delay == -LOOKAHEAD:
        warnings.append(
            f"the latency of {delay} samples is the earliest that is looked for: the output is"
            " noisy before the blips; listen to it, or give the latency by hand"
        )
    if disagreement >= MAX_DISAGREEMENT:
        warnings.append(
            f"the blips disagree by {disagreement} samples: the latency changed while recording;"
            " record again with a fixed buffer size, or give the latency by hand"
        )
    return tuple(warnings)


def _confidence(found: CrossCorrelation | None, sample_rate: int) -> float:
    """Geometric mean of the peak's lead over the rest and of the share of agreeing segments."""
    if found is None:
        return 0.0
    height, peak = np.abs(found.curve), found.peak()
    away = np.abs(np.arange(len(height)) - peak) > _AROUND_PEAK_SECONDS * sample_rate
    lead = 1.0 - np.max(height[away], initial=0.0) / height[peak]
    own_peaks = np.argmax(np.abs(found.segments), axis=1)
    agreement = np.mean(np.abs(own_peaks - peak) <= _BEFORE_PEAK_SECONDS * sample_rate)
    return float(np.sqrt(max(lead, 0.0) * agreement))


def _onset(found: CrossCorrelation, confidence: float, sample_rate: int) -> Latency:
    height, peak = np.abs(found.curve), found.peak()
    window = round(_BEFORE_PEAK_SECONDS * sample_rate)
    earliest = max(peak - window, 0)
    nearby_noise = np.max(height[max(earliest - window, 0) : earliest], initial=0.0)
    threshold = min(max(8.0, 1.2 * nearby_noise, 0.05 * height[peak]), height[peak])
    first = earliest + int(np.argmax(height[earliest : peak + 1] >= threshold))
    measured = int(found.lags[first])
    margin = round(_PLOT_SECONDS * sample_rate)
    shown = slice(max(first - margin, 0), peak + margin)
    return Latency(
        samples=measured - SAFETY_FACTOR,
        method="cross-correlation",
        measured=float(measured),
        recommended=measured - SAFETY_FACTOR,
        confidence=confidence,
        peak=float(found.lags[peak]) + _parabola_top(height, peak),
        polarity=_polarity(found.plain[first : peak + window]),
        asymmetry=_asymmetry(found.curve, peak, sample_rate),
        lags=found.lags[shown],
        curves=(found.curve[shown],),
        threshold=float(threshold),
    )


def _polarity(response: np.ndarray) -> int:
    """Sign of the plain correlation's extreme: the whitened one changes sign from lag to lag."""
    return 1 if response[np.argmax(np.abs(response))] > 0 else -1


def _asymmetry(curve: np.ndarray, peak: int, sample_rate: int) -> float:
    """Energy from 2 samples to 1 ms after the peak against that before it, minus noise, in dB."""
    near, far = 2, round(0.001 * sample_rate)
    noise = float(far - near)  # the curve's noise has variance 1
    after = np.sum(curve[peak + near : peak + far] ** 2) - noise
    before = np.sum(curve[max(peak - far + 1, 0) : max(peak - near + 1, 0)] ** 2) - noise
    return float(10.0 * np.log10(max(after, 0.5 * noise) / max(before, 0.5 * noise)))


def _parabola_top(height: np.ndarray, peak: int) -> float:
    """Offset, -0.5 to 0.5, of the top of the parabola through the peak and its neighbors."""
    if not 0 < peak < len(height) - 1:
        return 0.0
    left, middle, right = height[peak - 1 : peak + 2]
    curvature = left - 2.0 * middle + right
    return 0.0 if math.isclose(curvature, 0.0) else float(0.5 * (left - right) / curvature)
