"""The figures of `benchmarks/amps.py` as tables for a terminal and as a picture."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from wf_jax.whole_files import write_whole

NAMES = {"native": "native", "jax": "JAX", "a2_pass": "JAX, A2 pass", "core": "the core"}
COLORS = {"native": "#d9662b", "jax": "#2b6cd9", "core": "#3c9a5f"}


def stream_table(result: dict[str, Any]) -> str:
    """Sets out the figures of `stream` for a terminal."""
    shown = ("min", "p50", "p99", "p99.9", "max", "mean")
    lines = [
        f"{result['blocks']:,} blocks of {result['block']} samples, each timed by itself, in "
        f"microseconds; the deadline is {result['deadline_us']:.0f}",
        f"{'':<8}" + "".join(f"{name:>9}" for name in shown) + "   x real time   late",
    ]
    for name, v in result["players"].items():
        values = "".join(f"{v[key]:9.1f}" for key in shown)
        lines.append(f"{NAMES[name]:<8}{values}{v['real_time']:14.1f}{v['late']:7.2%}")
    lines += [
        f"{NAMES[name]} was ready to play after {seconds:.3f} s"
        for name, seconds in result["ready_seconds"].items()
    ]
    if "native" in result["players"]:
        players = result["players"]
        lines += [
            f"the native engine takes {players['native']['p50'] / other['p50']:.2f} of the time of "
            f"{NAMES[name]} at p50, {players['native']['p99.9'] / other['p99.9']:.2f} at p99.9"
            for name, other in players.items()
            if name != "native"
        ]
    return "\n".join(lines)


def draw_stream(path: Path, result: dict[str, Any], title: str) -> None:
    """A histogram of the latencies of every player, on logarithmic axes."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    everything = np.concatenate(list(result["times_us"].values()))
    edges = np.geomspace(everything.min() * 0.9, everything.max() * 1.1, 120)
    for name, times in result["times_us"].items():
        axes.hist(times, edges, histtype="step", linewidth=1.5, color=COLORS[name])
        for key, style in (("p50", "-"), ("p99.9", ":")):
            value = result["players"][name][key]
            label = f"{NAMES[name]}, {key} {value:.0f} µs"
            axes.axvline(value, color=COLORS[name], linestyle=style, linewidth=1, label=label)
    deadline = result["deadline_us"]
    axes.axvline(deadline, color="#444444", linewidth=2, label=f"deadline {deadline:.0f} µs")
    axes.set(xscale="log", yscale="log", xlabel="microseconds per block", ylabel="blocks")
    axes.set_title(title, loc="left", fontsize=11)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=120))


def whole_table(results: dict[int, dict[str, Any]], seconds: float) -> str:
    """Sets out the figures of `whole` on several numbers of cores for a terminal."""
    lines = [
        f"{seconds:g} s rendered as a whole file",
        f"{'cores':>5} {'engine':<13}{'x real time':>12}{'GFLOP/s':>9}{'of a matrix product':>21}",
    ]
    for cores, result in results.items():
        for name, v in result.items():
            lines.append(
                f"{cores:>5} {NAMES[name]:<13}{v['real_time']:12.1f}{v['gflops']:9.1f}"
                f"{v['share']:12.2f} of {v['matrix_gflops']:.0f}"
            )
    return "\n".join(lines)


def draw_captures(path: Path, rows: list[dict[str, Any]], title: str) -> None:
    """Captures per hour over their number, in turn and together."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    counts = [row["captures"] for row in rows]
    for key, label in (("in_turn", "one after the other"), ("together", "together")):
        values = [row[f"{key}_per_hour"] for row in rows]
        axes.plot(counts, values, marker="o", label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, map(str, counts))
    axes.set(xlabel="captures", ylabel="captures per hour", ylim=(0, None))
    axes.set_title(title, loc="left", fontsize=11)
    axes.legend(fontsize=9, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=120))
