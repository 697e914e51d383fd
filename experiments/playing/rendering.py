"""Renders audio files through a .nam model: all headers are checked before it is loaded."""

import dataclasses
import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_pipeline.audio_files import SUFFIXES, AudioFile
from data_pipeline.audio_stream import exactly, resample, write_blocks
from experiments.terminal.outputs import check_file, check_folder
from wf_jax.amps.amp_files import read_amp
from wf_jax.amps.engines import AUTO
from wf_jax.amps.nam_file import NamFile
from wf_jax.errors import UserError
from wf_jax.training.metrics import Progress, duration

if TYPE_CHECKING:
    from wf_jax.amps.model import AmpModel


@dataclasses.dataclass(frozen=True)
class Rendering:
    """Files, and how they are played; see the flags of experiments.render."""

    model: str
    input: str
    output: str
    slim: float = 1.0
    channel: int | None = None
    engine: str = AUTO
    resample: bool = False


def render_files(given: Rendering) -> int:
    """Renders one file, or every audio file of a folder; prints a line for each that it cannot.

    Returns:
        The exit code: 1 where a file could not be played.

    Raises:
        UserError: the model cannot be used, or a name.
    """
    file = read_amp(given.model)
    jobs = _jobs(Path(given.input), Path(given.output))
    faults = {path: _fault(path, wav, file.sample_rate, given) for path, wav in jobs}
    sound = [(path, wav) for path, wav in jobs if not faults[path]]
    if sound:
        model = _load(file, given)
        if os.path.isdir(given.input):
            Path(given.output).mkdir(parents=True, exist_ok=True)
        faults |= {path: attempt(model, path, wav, given, Progress()) for path, wav in sound}
    for fault in filter(None, faults.values()):
        print(fault, file=sys.stderr)
    return 1 if any(faults.values()) else 0


def render_file(given: Rendering, progress: Progress) -> None:
    """Renders one file.

    Raises:
        UserError: the model or the recording cannot be used.
    """
    file = read_amp(given.model)
    source, target = Path(given.input), Path(given.output)
    fault = _fault(source, target, file.sample_rate, given)
    fault = fault or attempt(_load(file, given), source, target, given, progress)
    if fault:
        raise UserError(fault)


def _jobs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Returns the recordings to play, each with the WAV file that it becomes.

    Raises:
        UserError: a name cannot be used.
    """
    if not os.path.isdir(source):  # which takes a name that is too long for a missing one
        if target.is_dir():
            raise UserError(f"{target}: the output is a folder; name the WAV file to write")
        if target.suffix.lower() != ".wav":
            raise UserError(f"{target}: the output is a WAV file; let its name end in .wav")
        check_file(target)
        return [(source, target)]
    files = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"{source}: no audio files ({', '.join(SUFFIXES)}); name another folder")
    for one, other in itertools.pairwise(sorted(files, key=lambda path: path.stem)):
        if one.stem == other.stem:
            raise UserError(
                f"{source}: {one.name} and {other.name} would both become {one.stem}.wav; move "
                "one away"
            )
    check_folder(target)
    if target.exists() and target.resolve() == source.resolve():
        raise UserError(f"{target}: the output folder is the input folder; name another")
    return [(path, target / f"{path.stem}.wav") for path in files]


def _load(file: NamFile, given: Rendering) -> "AmpModel":
    """Returns the model of the file, in the size that is asked for."""
    from wf_jax.amps.amp_files import model_of
    from wf_jax.amps.engines import plays_natively
    from wf_jax.training.devices import use_every_core

    use_every_core(8)
    model: AmpModel = model_of(file).at_size(given.slim)
    if (model.input_channels, model.output_channels) != (1, 1):
        raise UserError(
            f"{file.source}: {model.input_channels} inputs and {model.output_channels} outputs; "
            "only mono models are rendered"
        )
    try:
        plays_natively(model, given.engine)
    except UserError as error:
        raise UserError(f"{file.source}: --engine={given.engine}: {error}") from None
    return model


def _fault(source: Path, target: Path, rate: float | None, given: Rendering) -> str | None:
    """Says why a recording cannot be played, in one line; looks at its header only."""
    try:
        if target.exists() and target.resolve() == source.resolve():
            return f"{target}: the output is the input; name another file"
        stream = AudioFile(source, lossy=True)
        stream.index_of(given.channel, "--channel")
        _check_rate(stream, rate, given)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{target}: cannot be written: {error.strerror or error}"
    return None


def _check_rate(stream: AudioFile, rate: float | None, given: Rendering) -> None:
    """Refuses a recording of another rate than the model's, where that is known."""
    if rate is not None and abs(stream.sample_rate - rate) > 0.5 and not given.resample:
        raise UserError(
            f"{stream.path}: {stream.sample_rate} Hz, but the model plays at {rate:g} Hz; "
            "add --resample"
        )


def attempt(
    model: "AmpModel", source: Path, target: Path, given: Rendering, progress: Progress
) -> str | None:
    """Renders one file; returns what went wrong, in one line."""
    try:
        _render(model, AudioFile(source, lossy=True), target, given, progress)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{target}: cannot be written: {error.strerror or error}"
    return None


def _render(
    model: "AmpModel", stream: AudioFile, target: Path, given: Rendering, progress: Progress
) -> None:
    from wf_jax.amps.render import render

    rate = model.sample_rate or 48000.0  # a file that does not say means 48 kHz
    channel, samples = stream.index_of(given.channel, "--channel"), stream.samples
    blocks = (block[:, channel] for block in stream.blocks())
    _check_rate(stream, rate, given)
    if abs(stream.sample_rate - rate) <= 0.5:
        output = render(model, blocks, engine=given.engine)
    else:
        resampled = resample(blocks, stream.sample_rate, rate)
        played = render(model, resampled, engine=given.engine)
        output = exactly(resample(played, rate, stream.sample_rate), samples)
    progress.update("compiling (a few seconds)")
    for _ in render(model, [np.zeros(1, np.float32)], engine=given.engine):
        pass  # before the clock runs
    watched = _watched(output, stream, target, progress)
    write_blocks(target, watched, stream.sample_rate, samples)


def _watched(
    blocks: Iterator[np.ndarray], stream: AudioFile, target: Path, progress: Progress
) -> Iterator[np.ndarray]:
    """Passes blocks on, showing progress, and says the result."""
    start, done, peak = time.monotonic(), 0, 0.0
    total = stream.seconds
    for block in blocks:
        done += len(block)
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        seconds, spent = done / stream.sample_rate, time.monotonic() - start
        # A resampler's first block may be empty.
        left = duration((total - seconds) * spent / max(seconds, 1e-9) / 60)
        progress.update(f"{stream.path.name}: {seconds:.0f} of {total:.0f} s  ETA {left}")
        yield block
    spent = time.monotonic() - start
    speed = total / max(spent, 1e-9)
    level = ", above full scale: turn it down before converting to integers" if peak > 1 else ""
    progress.keep(f"{target}: {total:.1f} s, {speed:.0f} x real time, peak {peak:.3f}{level}")
