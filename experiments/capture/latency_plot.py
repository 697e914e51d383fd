"""Plots the latency measurement on given axes."""

from matplotlib.axes import Axes

from data_pipeline.latency import Latency
from experiments.report.drawing import BLUE, GRAY, LEGEND, ORANGE, VIOLET, drawable

BLIPS = (ORANGE, VIOLET, BLUE)


def plot_latency(axes: Axes, latency: Latency, sample_rate: int, name: str = "") -> None:
    """Draws the output's response against the lag, and the latency in use.

    Args:
        axes: axes to draw on.
        latency: latency to draw; without curves (manual or not measured) only a line.
        sample_rate: Hz, for the axis in milliseconds.
        name: name of the output file for a title with the latency in words; "" for none.
    """
    by_blips = latency.confidence is None
    if latency.curves:
        main = "mean response to the blips" if by_blips else "whitened cross-correlation"
        axes.plot(latency.lags, latency.curves[0], color="black", linewidth=1.2, label=main)
        for number, curve in enumerate(latency.curves[1:], start=1):
            style = {"color": BLIPS[(number - 1) % len(BLIPS)], "linestyle": (0, (4, 4 * number))}
            axes.plot(latency.lags, curve, linewidth=0.8, label=f"blip {number}", **style)
        noise = latency.threshold
        axes.axhspan(-noise, noise, color=GRAY, alpha=0.15, label="counts as noise")
        begins = f"response begins at {latency.measured:.0f}"
        axes.axvline(latency.measured, color=BLUE, linestyle=":", label=begins)
        if latency.peak is not None:
            strongest = f"strongest response at {latency.peak:.1f}: the amp's own delay stays in"
            axes.axvline(latency.peak, color=GRAY, linestyle="--", label=strongest)
        shown = [*latency.lags[[0, -1]], latency.samples - 10, latency.samples + 10]
        axes.set_xlim(min(shown), max(shown))
    axes.axvline(latency.samples, color=ORANGE, label=f"latency in use, {latency.samples}")
    axes.set_xlabel("lag of the output behind the input (samples)")
    axes.set_ylabel("output (full scale 1)" if by_blips else "correlation (σ of its noise)")
    milliseconds = axes.secondary_xaxis(
        "top", (lambda n: 1e3 * n / sample_rate, lambda ms: 1e-3 * ms * sample_rate)
    )
    milliseconds.set_xlabel("lag (ms)")
    if name:
        axes.set_title(drawable(f"{name}: {latency.describe(sample_rate)}"))
    columns = max(1, int(axes.figure.get_figwidth() / 4))
    axes.figure.legend(loc="outside lower left", ncols=columns, **LEGEND)
