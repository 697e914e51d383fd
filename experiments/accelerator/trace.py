"""Reads a profiler's trace: the operations of a device by the time they take."""

import collections
from pathlib import Path

import jax

Operation = tuple[str, float, int]  # name, milliseconds in all, how often


def top_operations(folder: Path, count: int = 10) -> tuple[list[Operation], Operation]:
    """Returns the longest operations of the newest trace in `folder`.

    Args:
        folder: folder of `jax.profiler.trace`.
        count: number of operations.

    Returns:
        The operations of the first accelerator, or of the CPU where there is none, and all of them
        together.

    Raises:
        FileNotFoundError: no trace was written.
        ValueError: the trace holds no operation.
    """
    files = sorted(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise FileNotFoundError(f"{folder}: the profiler wrote no trace")
    spent: dict[str, float] = collections.defaultdict(float)
    often: dict[str, int] = collections.defaultdict(int)
    for event in _events(jax.profiler.ProfileData.from_file(str(files[-1]))):
        spent[event.name] += event.duration_ns / 1e6
        often[event.name] += 1
    if not spent:
        raise ValueError(f"{files[-1].name}: no operations in the trace")
    longest = sorted(spent, key=spent.get, reverse=True)[:count]
    whole = ("all", sum(spent.values()), sum(often.values()))
    return [(name, spent[name], often[name]) for name in longest], whole


def _events(data: jax.profiler.ProfileData) -> list[jax.profiler.ProfileEvent]:
    """Returns the events of a GPU's streams, a TPU's operations, or XLA's on a CPU."""
    planes = list(data.planes)
    devices = [p for p in planes if p.name.startswith("/device:") and "CUSTOM" not in p.name]
    if devices:
        lines = list(devices[0].lines)
        chosen = [line for line in lines if line.name == "XLA Ops"]
        chosen = chosen or [line for line in lines if line.name.startswith("Stream")]
        return [event for line in chosen for event in line.events]
    lines = [line for plane in planes if plane.name == "/host:CPU" for line in plane.lines]
    events = [event for line in lines for event in line.events]
    return [event for event in events if any(key == "hlo_op" for key, _ in event.stats)]
