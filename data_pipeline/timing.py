"""Follows the delay of a recording over time: lost or doubled samples, and clock drift."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, rfft, rfftfreq
from scipy.signal import oaconvolve

from data_pipeline.cross_correlation import MARGIN
from data_pipeline.local_correlation import (
    FEWEST_WINDOWS,
    Windows,
    best_path,
    correlation_curves,
    loud_windows,
    refined_path,
)

_MIN_CLEAR = 0.5  # share of windows that must have their own strongest lag on the path
_ALL_CLEAR = 0.9
_FEWEST = 3  # windows on either side of a jump
_LEAST_JUMP = 0.75  # samples
_LEAST_DRIFT = 1.0  # samples from the first window to the last
_NOISES = 6.0  # standard deviations that a jump must exceed
_BEFORE, _AFTER = 96, 480  # samples of the linear response around the delay
_NEAR = 8  # windows whose linear response tells where a jump is
_PIECE = 240  # samples that are compared at once there
_POSITIONS = 400  # at which the cost is averaged
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Jump:
    """A sudden change of the delay.

    Attributes:
        position: position in the output, in samples.
        samples: increase of the delay: positive where the output has too many,
            negative where some are missing.
    """

    position: int
    samples: int


@dataclass(frozen=True)
class Timing:
    """The delay of an output behind its input over time.

    Attributes:
        positions: float64 [K], middle of each window that was measured, in samples of the input.
        delays: float64 [K], samples by which the output is late there.
        start: delay at position 0, in samples.
        drift: samples per sample: 1e-6 is 1 ppm; positive where the delay grows, because the
            output's clock is the faster one.
        jumps: in order.
    """

    positions: np.ndarray
    delays: np.ndarray
    start: float
    drift: float = 0.0
    jumps: tuple[Jump, ...] = ()

    @property
    def is_steady(self) -> bool:
        """True if the delay is the same everywhere."""
        return self.drift == 0.0 and not self.jumps

    def delay_at(self, positions: np.ndarray) -> np.ndarray:
        """Returns the delays float64 [N] at positions [N], in samples: start, drift and jumps."""
        delay = self.start + self.drift * positions
        for jump in self.jumps:
            delay = delay + jump.samples * (positions >= jump.position)
        return delay

    @property
    def finest_drift(self) -> float:
        """Drift in samples per sample, also where it is too small to be reported."""
        rest = self.delays - self.delay_at(self.positions)
        near = np.abs(rest) <= _LEAST_DRIFT
        if np.sum(near) < FEWEST_WINDOWS:
            return self.drift
        return self.drift + float(np.polyfit(self.positions[near], rest[near], 1)[0])


def measure_timing(
    x: np.ndarray, y: np.ndarray, sample_rate: int, offset: int = 0
) -> Timing | None:
    """Follows the delay of an output through the whole file.

    Measured over a real 60 s pair, a simulated amp, fuzzes and dull filters: single windows
    scatter by 0.01 to 0.25 samples around the delay that was imposed.

    Args:
        x: the input, float64 [T].
        y: the output, float64 [T].
        sample_rate: Hz.
        offset: a delay that is known already, in samples; up to 0.5 s more or less is looked for.

    Returns:
        The delay over time; None where fewer than four windows of 1 s are loud in both files, or
        where they do not agree on a path.
    """
    y = np.pad(y, (-offset, 0)) if offset < 0 else y[offset:]
    found = _follow(x, y, sample_rate)
    if found is None or found.share < _ALL_CLEAR:
        other = _follow(np.abs(x), y, sample_rate)  # an octave fuzz has only |x| in its output
        if other is not None and (found is None or other.share > found.share + 0.1):
            found = other
    if found is None or found.share < _MIN_CLEAR or np.sum(found.clear) < FEWEST_WINDOWS:
        return None
    return found.timing(offset)


def best_esr(
    timing: Timing,
    y: np.ndarray,
    train: tuple[int, int],
    validation: tuple[int, int],
) -> float:
    """Estimates the lowest validation ESR that any model can reach with this timing.

    A model does not know when it plays. At best it learns the mean over the delays d of the
    training part: a perfect model times phi(w) = mean exp(-i w d). On the validation part it then
    misses mean |exp(-i w d) - phi(w)|^2, weighted by the power spectrum of the output.

    Args:
        timing: with jumps and drift.
        y: the output, float64 [T].
        train: (start, stop) in samples.
        validation: (start, stop) in samples.
    """
    if timing.is_steady:
        return 0.0
    held_out = y[slice(*validation)]
    blocks = [held_out[i : i + _BLOCK] for i in range(0, len(held_out), _BLOCK)]
    power = sum(np.abs(rfft(block - block.mean(), _BLOCK)) ** 2 for block in blocks)
    omega = 2.0 * np.pi * rfftfreq(_BLOCK)
    learned = np.mean(_turns(timing, train, omega), axis=0)
    missed = np.mean(np.abs(_turns(timing, validation, omega) - learned) ** 2, axis=0)
    return min(float(power @ missed / max(power.sum(), 1e-30)), 1.0)  # that of silence


def longest_part(timing: Timing, total: int, margin: int) -> tuple[int, int]:
    """Returns (start, stop) of the longest jump-free part of the output, `margin` inside it."""
    edges = [0, *(jump.position for jump in timing.jumps), total]
    parts = [
        (start + (margin if start else 0), stop - (margin if stop < total else 0))
        for start, stop in itertools.pairwise(edges)
    ]
    return max(parts, key=lambda part: part[1] - part[0])


def _turns(timing: Timing, span: tuple[int, int], omega: np.ndarray) -> np.ndarray:
    """Returns exp(-i w d) [N, F] of the distinct delays of a part, each as often as it occurs."""
    delays = timing.delay_at(np.linspace(*span, _POSITIONS, endpoint=False)) - timing.start
    return np.exp(-1j * np.outer(delays, omega)).astype(np.complex64)


@dataclass(frozen=True)
class _Followed:
    """A path through the windows.

    Attributes:
        windows: windows of input and output.
        delays: float64 [K], samples.
        clear: bool [K], whether the window's own strongest lag is on the path.
        x: the input, float64 [T].
        y: the output, float64 [T].
    """

    windows: Windows
    delays: np.ndarray
    clear: np.ndarray
    x: np.ndarray
    y: np.ndarray

    @property
    def share(self) -> float:
        """Share of the windows that are clear."""
        return float(np.mean(self.clear))

    def timing(self, offset: int) -> Timing:
        """Fits start, drift and jumps to the delays."""
        t, d = self.windows.middles[self.clear], self.delays[self.clear]
        drift, splits = _explain(t, d)
        kept = _consistent(t, d, drift, splits)
        splits = [int(np.sum(kept[:split])) for split in splits]
        t, d = t[kept], d[kept]
        steps = np.array([np.arange(len(t)) >= split for split in splits], float)
        steps = steps.reshape(-1, len(t))
        start, drift, sizes = _fit(t, d, steps)
        jumps = [
            Jump(self._locate(t, split, start + drift * t[split], before, size), round(size))
            for split, before, size in zip(splits, np.cumsum(sizes) - sizes, sizes, strict=True)
        ]
        shifted = tuple(Jump(jump.position + offset, jump.samples) for jump in jumps)
        return Timing(t, d + offset, start + offset, drift, shifted)

    def _locate(self, t: np.ndarray, split: int, start: float, before: float, size: float) -> int:
        """Returns the output position at which one delay stops to fit and the other begins."""
        old, new = round(start + before), round(start + before + size)
        half = self.windows.length // 2
        first = max(round(t[split - 1]) - half, -min(old, new, 0))
        last = min(round(t[split]) + half, len(self.x), len(self.y) - max(old, new, 0))
        last -= (last - first) % _PIECE
        center = 0.5 * (t[split - 1] + t[split])
        predicted = self._predicted(first - max(old, new), last - min(old, new), center)
        recorded = _pieces(_whitened(self.y, first, last, self.windows.y_predictor))
        likeness = []
        for delay in (old, new):
            begin = max(old, new) - delay
            expected = _pieces(predicted[begin : begin + last - first])
            energy = np.sum(recorded**2, axis=1) * np.sum(expected**2, axis=1)
            likeness.append(np.sum(recorded * expected, axis=1) / np.sqrt(energy + 1e-20))
        return first + _PIECE * (1 + int(np.argmax(np.cumsum(likeness[0] - likeness[1]))))

    def _predicted(self, first: int, last: int, center: float) -> np.ndarray:
        """Filters whitened input [last - first] by the linear response of the windows around."""
        windows = self.windows
        near = np.argsort(np.abs(windows.middles - center))[:_NEAR]
        size = 2 * (windows.x_spectra.shape[1] - 1)
        lead = self.delays[near] + windows.reach + MARGIN - _BEFORE
        turn = np.exp(2j * np.pi * np.outer(lead, rfftfreq(size)))
        cross = np.sum(np.conj(windows.x_spectra[near]) * windows.y_spectra[near] * turn, axis=0)
        power = np.sum(np.abs(windows.x_spectra[near]) ** 2, axis=0)
        response = irfft(cross / (power + 1e-6 * power.mean()), size)[: _BEFORE + _AFTER]
        played = _whitened(self.x, first - _AFTER, last + _BEFORE, windows.x_predictor)
        return oaconvolve(played, response)[_AFTER + _BEFORE :][: last - first]


def _pieces(signal: np.ndarray) -> np.ndarray:
    return signal.reshape(-1, _PIECE)


def _whitened(signal: np.ndarray, first: int, last: int, predictor: np.ndarray) -> np.ndarray:
    """Returns signal[first:last] through its predictor; zeros beyond the signal."""
    begin = first - len(predictor) + 1
    inside = signal[max(begin, 0) : max(last, 0)]
    inside = np.pad(inside, (max(-begin, 0), 0))
    inside = np.pad(inside, (0, last - begin - len(inside)))
    return oaconvolve(inside, predictor, mode="valid")


def _follow(x: np.ndarray, y: np.ndarray, sample_rate: int) -> _Followed | None:
    windows = loud_windows(x, y, sample_rate)
    if windows is None:
        return None
    curves = correlation_curves(windows)
    path, clear = best_path(curves)
    delays = refined_path(curves, path, sample_rate) - windows.reach
    return _Followed(windows, delays, clear, x, y)


def _explain(t: np.ndarray, d: np.ndarray) -> tuple[float, list[int]]:
    """Finds drift, and the windows before which the delay jumps, of delays d [K] at times t [K]."""
    gaps = t[None, :] - t[:, None]
    near = (gaps >= 0.125 * np.ptp(t)) & (gaps <= 0.25 * np.ptp(t))  # few of them span a jump
    drift = float(np.median((d[None, :] - d[:, None])[near] / gaps[near])) if near.any() else 0.0
    rest = d - drift * t
    noise = float(np.median(np.abs(np.diff(rest)))) / (0.6745 * np.sqrt(2.0))
    return drift, _splits(rest, max(_LEAST_JUMP, _NOISES * noise), 0)


def _consistent(t: np.ndarray, d: np.ndarray, drift: float, splits: list[int]) -> np.ndarray:
    """Returns which windows are near the line of their stretch, bool [K]."""
    stretches = np.split(d - drift * t, splits)
    off = np.concatenate([np.abs(rest - np.median(rest)) for rest in stretches])
    return off <= max(5.0 * float(np.median(off)) / 0.6745, 1.0)


def _splits(rest: np.ndarray, least: float, first: int) -> list[int]:
    """Splits recursively where the median of rest [K] changes by `least` or more."""
    costs = {
        k: _spread(rest[:k]) + _spread(rest[k:]) for k in range(_FEWEST, len(rest) - _FEWEST + 1)
    }
    if not costs:
        return []
    k = min(costs, key=costs.get)
    size = abs(float(np.median(rest[k:]) - np.median(rest[:k])))
    if size < least or _spread(rest) - costs[k] < 0.8 * _FEWEST * size:
        return []
    return [*_splits(rest[:k], least, first), first + k, *_splits(rest[k:], least, first + k)]


def _spread(values: np.ndarray) -> float:
    return float(np.sum(np.abs(values - np.median(values))))


def _fit(t: np.ndarray, d: np.ndarray, steps: np.ndarray) -> tuple[float, float, list[float]]:
    """Fits start, drift and step sizes by least squares.

    Args:
        t: float64 [K], positions.
        d: float64 [K], delays.
        steps: float64 [J, K], 0 before a jump and 1 after it.
    """
    line = (t - t[0]) / np.ptp(t)
    matrix = np.array([np.ones(len(t)), line, *steps]).T
    solution = np.linalg.lstsq(matrix, d, rcond=None)[0]
    noise = float(np.std(d - matrix @ solution))
    if abs(solution[1]) < max(_LEAST_DRIFT, 2.0 * noise):
        matrix[:, 1] = 0.0
        solution = np.linalg.lstsq(matrix, d, rcond=None)[0]  # the least norm: no drift
    slope = float(solution[1] / np.ptp(t))
    return float(solution[0] - slope * t[0]), slope, solution[2:].tolist()
