"""The pictures of a vocoder report, each on its own matplotlib figure."""

import math
from collections.abc import Mapping, Sequence
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
    drawable,
    mean_level,
    sheet,
)

COLORS = {"original": GRAY, "resynthesis": BLUE}
_DASHES = ("--", ":", "-.")
_RANGE = 80.0  # dB of a mel picture


def likelihood_over_time(
    history: Sequence[dict[str, Any]], baselines: Mapping[str, float], best: float
) -> Figure:
    """Plots log-likelihood of held-out and training audio against minutes; marks `best`."""
    figure = sheet(3.4)
    axes = figure.subplots()
    minutes = [record["minutes"] for record in history]
    held_out = np.array([record["ll/validation"] for record in history])
    marker = "." if len(history) < 30 else ""
    if all("nll/train" in record for record in history):
        train = [-record["nll/train"] for record in history]
        axes.plot(minutes, train, color=ORANGE, alpha=0.6, linewidth=1, marker=marker)
        axes.lines[-1].set_label("one training batch")
    axes.plot(minutes, held_out, color=BLUE, marker=marker, label="held out")
    if len(history):
        at = int(np.argmax(held_out))
        axes.plot(minutes[at], held_out[at], "o", color=BLUE, label=f"best {best:.3f} (kept)")
    for (name, value), dash in zip(baselines.items(), _DASHES * len(baselines), strict=False):
        axes.axhline(value, color=GRAY, linestyle=dash, linewidth=1.2)
        axes.lines[-1].set_label(f"{name} {value:.3f}")
    steps = f" ({history[-1]['step']:,} steps)" if history else ""
    axes.set_xlabel(f"minutes of training{steps}")
    axes.set_ylabel("log-likelihood, nats per sample")
    axes.grid(alpha=0.25)
    figure.legend(ncols=2, loc="outside upper left", **LEGEND)
    return figure


def log_mels(original: np.ndarray, resynthesis: np.ndarray, hop_seconds: float) -> Figure:
    """Plots both log-mels [M, F] (natural log) under each other, on one scale in dB."""
    figure = sheet(3.8)
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    draw_log_mels(figure, panels, original, resynthesis)
    for axes in panels:
        axes.images[0].set_extent((0, original.shape[1] * hop_seconds, -0.5, len(original) - 0.5))
        axes.set_ylabel("mel band")
    panels[-1].set_xlabel("seconds")
    return figure


def draw_log_mels(
    figure: Figure, panels: Sequence[Axes], original: np.ndarray, resynthesis: np.ndarray
) -> None:
    """Draws both log-mels on the two axes of a figure, over frames."""
    levels = [20 / math.log(10) * mel for mel in (original, resynthesis)]
    top = float(levels[0].max())
    for axes, level, name in zip(panels, levels, COLORS, strict=True):
        image = axes.imshow(
            level, origin="lower", aspect="auto", vmin=top - _RANGE, vmax=top, cmap="magma"
        )
        axes.set_title(name, fontsize=10)
    figure.colorbar(image, ax=list(panels), label="dB")


def waveforms(original: np.ndarray, resynthesis: np.ndarray, sample_rate: int) -> Figure:
    """Plots the loudest 40 ms of the original, and the resynthesis at the same place."""
    figure = sheet(3.4)
    start, stop = loudest_window(original, sample_rate)
    seconds = np.arange(start, stop) / sample_rate
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    for axes, x, name in zip(panels, (original, resynthesis), COLORS, strict=True):
        axes.plot(seconds, x[start:stop], color=COLORS[name], linewidth=1.2)
        axes.set_ylabel(f"{name}\nfull scale 1", fontsize=9)
        axes.grid(alpha=0.25)
    panels[-1].set_xlabel("seconds into the clip")
    return figure


def loudest_window(x: np.ndarray, sample_rate: int, seconds: float = 0.04) -> tuple[int, int]:
    """Finds the window of x [T] with most energy; [start, stop), or all of a shorter clip."""
    length = min(len(x), round(seconds * sample_rate))
    total = np.concatenate([[0.0], np.cumsum(np.square(x, dtype=np.float64))])
    start = int(np.argmax(total[length:] - total[: len(total) - length]))
    return start, start + length


def latent(z: np.ndarray) -> Figure:
    """Plots the density of z [T] beside the standard normal, on a linear and a log scale."""
    figure = sheet(3)
    edges = np.linspace(-6, 6, 121)
    centers, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    density = np.histogram(z, edges)[0] / (len(z) * width)
    normal = np.exp(-0.5 * centers**2) / math.sqrt(2 * math.pi)
    label = f"z: mean {z.mean():.2f}, deviation {z.std():.2f}"
    panels = figure.subplots(1, 2)
    for axes, scale in zip(panels, ("linear", "log"), strict=True):
        axes.stairs(density, edges, fill=True, color=BLUE, alpha=0.5, label=label)
        axes.plot(centers, normal, color=ORANGE, linewidth=1.5, label="standard normal")
        axes.set_yscale(scale)
        axes.set_xlabel("z")
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("density")
    panels[0].set_xlim(-4, 4)
    panels[1].set_ylim(0.3 / (len(z) * width), 2 * max(density.max(), 0.4))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=2, loc="outside upper left", **LEGEND)
    return figure


def spectra(original: np.ndarray, resynthesis: np.ndarray, sample_rate: int) -> Figure:
    """Plots average spectra of both, and their level difference, in dB re full scale."""
    figure = sheet(3.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    frequency = np.fft.rfftfreq(FFT, 1 / sample_rate)[1:]
    levels = [mean_level(x) for x in (original, resynthesis)]
    for level, (name, color) in zip(levels, COLORS.items(), strict=True):
        above.plot(frequency, level, color=color, linewidth=1.4, label=name)
    below.plot(frequency, levels[1] - levels[0], color=VIOLET, linewidth=1)
    below.axhline(0, color=GRAY, linewidth=0.6)
    highest = levels[0].max()
    above.set_ylim(highest - 90, highest + 6)
    below.set_ylim(-15, 15)
    above.set_xlim(40, sample_rate / 2)
    above.set_xscale("log")
    above.set_ylabel("dB")
    below.set_ylabel("difference\ndB")
    below.set_xlabel("Hz")
    for axes in (above, below):
        axes.grid(alpha=0.25, which="both")
    above.legend(**LEGEND)
    return figure


def sample(
    mels: tuple[np.ndarray, np.ndarray],
    audio: tuple[np.ndarray, np.ndarray],
    sample_rate: int,
    title: str,
) -> Figure:
    """Plots mels [M, F] and waveforms [T] of original (first) and resynthesis in one picture."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    figure.suptitle(drawable(title))
    panels = figure.subplots(2, 2, sharex="row", sharey="row", height_ratios=(2, 1))
    seconds = np.arange(len(audio[0])) / sample_rate
    draw_log_mels(figure, panels[0], *mels)
    panels[0][0].set_ylabel("mel band")
    for axes, below, mel, x, name in zip(*panels, mels, audio, COLORS, strict=True):
        axes.images[0].set_extent((0, len(x) / sample_rate, -0.5, len(mel) - 0.5))
        below.plot(seconds, x, color=COLORS[name], linewidth=0.4)
        below.set_xlim(0, len(x) / sample_rate)
        below.set_xlabel("seconds")
        below.grid(alpha=0.25)
    return figure
