"""The pictures of a capture report, each on its own matplotlib figure."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report.drawing import (
    BLUE,
    FFT,
    GRAY,
    LEGEND,
    ORANGE,
    VIOLET,
    frame_magnitudes,
    mean_level,
    sheet,
)

COLORS = {"target": GRAY, "nano": ORANGE, "standard": BLUE}


def color(size: str) -> str:
    """Returns the line color of a size, the same in every picture."""
    return COLORS.get(size, VIOLET)


def esr_over_time(
    history: Sequence[dict[str, Any]], sizes: dict[str, float], linear_esr: float | None
) -> Figure:
    """Plots ESR of each size against minutes; `sizes` gives the best value of each."""
    figure = sheet(3.4)
    axes = figure.subplots()
    minutes = [record["minutes"] for record in history]
    for size, best in sizes.items():
        curve = np.array([record[f"esr/{size}"] for record in history])
        axes.plot(minutes, curve, color=color(size), marker="." if len(curve) < 30 else "")
        at = int(np.argmin(curve))
        label = f"{size}, best {best:.4f} (kept)"
        axes.plot(minutes[at], curve[at], "o", color=color(size), label=label)
    if linear_esr is not None:
        label = f"best linear filter {linear_esr:.3f}"
        axes.axhline(linear_esr, color=GRAY, linestyle="--", linewidth=1, label=label)
    axes.set_yscale("log")
    steps = f" ({history[-1]['step']:,} steps)" if history and "step" in history[-1] else ""
    axes.set_xlabel(f"minutes of training{steps}")
    axes.set_ylabel("ESR on held-out audio")
    axes.grid(alpha=0.25, which="both")
    axes.legend(**LEGEND)
    return figure


def waveforms(target: np.ndarray, predictions: dict[str, np.ndarray], sample_rate: int) -> Figure:
    """Plots 30 ms around the loudest attack: target and models above, their errors below."""
    start, stop = attack_window(target, sample_rate)
    seconds = np.arange(start, stop) / sample_rate
    figure = sheet(3.4)
    above, below = figure.subplots(2, 1, sharex=True, sharey=True)
    above.plot(seconds, target[start:stop], color=COLORS["target"], linewidth=2.4, label="target")
    for size, prediction in predictions.items():
        above.plot(seconds, prediction[start:stop], color=color(size), linewidth=1.1, label=size)
        error = prediction[start:stop] - target[start:stop]
        below.plot(seconds, error, color=color(size), linewidth=1.1)
    below.axhline(0, color=GRAY, linewidth=0.6)
    below.set_xlabel("seconds into the held-out audio")
    below.locator_params(axis="x", nbins=4)
    for axes, what in ((above, "full scale 1"), (below, "error")):
        axes.set_ylabel(what)
        axes.grid(alpha=0.25)
    figure.legend(ncols=3, loc="outside upper left", **LEGEND)
    return figure


def attack_window(target: np.ndarray, sample_rate: int, seconds: float = 0.03) -> tuple[int, int]:
    """Finds the steepest level rise between 10 ms frames; [start, stop) in samples."""
    hop = sample_rate // 100
    blocks = target[: len(target) // hop * hop].astype(np.float64).reshape(-1, hop)
    rms = np.sqrt(np.mean(blocks**2, axis=1))
    attack = int(np.argmax(np.diff(rms))) if len(rms) > 1 else 0
    length = min(len(target), round(seconds * sample_rate))
    start = min(max(0, attack * hop), len(target) - length)
    return start, start + length


def error_over_time(
    target: np.ndarray, predictions: dict[str, np.ndarray], sample_rate: int
) -> Figure:
    """Plots levels of the target and each model's error by block, in dB re full scale."""
    hop = max(1, min(len(target), sample_rate // 20))  # 50 ms
    seconds = (np.arange(len(target) // hop) + 0.5) * hop / sample_rate
    figure = sheet(3.4)
    axes = figure.subplots()
    axes.plot(seconds, _level(target, hop), color=COLORS["target"], linewidth=2.4, label="target")
    for size, prediction in predictions.items():
        error = _level(prediction - target, hop)
        axes.plot(seconds, error, color=color(size), linewidth=1.1, label=f"{size} error")
    axes.set_xlabel("seconds into the held-out audio")
    axes.set_ylabel("dB")
    axes.grid(alpha=0.25)
    figure.legend(ncols=3, loc="outside upper left", **LEGEND)
    return figure


def _level(x: np.ndarray, hop: int) -> np.ndarray:
    """RMS of every `hop` samples in dB, silence at -120: [T] -> [T / hop]."""
    blocks = x[: len(x) // hop * hop].astype(np.float64).reshape(-1, hop)
    return 10 * np.log10(np.maximum(np.mean(blocks**2, axis=1), 1e-12))


def spectrograms(target: np.ndarray, name: str, prediction: np.ndarray, sample_rate: int) -> Figure:
    """Plots spectrograms of the target, one output and their difference, on one dB scale."""
    figure = sheet(4.2)
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    images = {"target": target, name: prediction, "error": prediction - target}
    levels = {label: _spectrogram(x) for label, x in images.items()}
    top = levels["target"].max()
    for axes, (label, level) in zip(panels, levels.items(), strict=True):
        image = axes.imshow(
            level.T,
            origin="lower",
            aspect="auto",
            extent=(0, len(target) / sample_rate, 0, sample_rate / 2000),
            vmin=top - 90,
            vmax=top,
            cmap="magma",
        )
        axes.set_ylabel(f"{label}\nkHz")
        axes.set_ylim(0, min(16, sample_rate / 2000))
    panels[-1].set_xlabel("seconds into the held-out audio")
    figure.colorbar(image, ax=panels, label="dB", shrink=0.6)
    return figure


def spectra(target: np.ndarray, predictions: dict[str, np.ndarray], sample_rate: int) -> Figure:
    """Plots average spectra of the target, models and errors, in dB re full scale."""
    figure = sheet(3.4)
    axes = figure.subplots()
    frequency = np.fft.rfftfreq(FFT, 1 / sample_rate)[1:]
    axes.plot(frequency, mean_level(target), color=COLORS["target"], linewidth=2.4)
    axes.lines[-1].set_label("target")
    for size, prediction in predictions.items():
        axes.plot(frequency, mean_level(prediction), color=color(size), linewidth=1, label=size)
        error = mean_level(prediction - target)
        axes.plot(frequency, error, color=color(size), linewidth=1, linestyle=":")
        axes.lines[-1].set_label(f"{size} error")
    axes.set_xscale("log")
    axes.set_xlim(40, sample_rate / 2)
    highest = mean_level(target).max()
    axes.set_ylim(highest - 90, highest + 6)
    axes.set_xlabel("Hz")
    axes.set_ylabel("dB")
    axes.grid(alpha=0.25, which="both")
    figure.legend(ncols=3, loc="outside upper left", **LEGEND)
    return figure


def latency(draw: Callable[[Axes], None]) -> Figure:
    """Makes a figure around a function that draws on given axes."""
    figure = sheet(4.2)
    draw(figure.subplots())
    return figure


def _spectrogram(x: np.ndarray) -> np.ndarray:
    hop = max(256, len(x) // 900)  # about as many frames as the picture has columns
    return 20 * np.log10(np.maximum(frame_magnitudes(x, hop), 1e-9))
