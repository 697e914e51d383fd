"""The cases of experiments.benchmark: their options, and checks before JAX is loaded."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from data_pipeline.audio_files import AudioFile
from experiments.terminal.outputs import check_file
from wf_jax.amps.nam_file import read_nam
from wf_jax.errors import UserError
from wf_jax.export.manifest import read_manifest

STREAM, RENDER, RELEASE = "stream", "render", "release"
SYNTHESIS, TRAINING = "waveflow_synthesis", "waveflow_training"
CASES = (STREAM, RENDER, SYNTHESIS, TRAINING, RELEASE)


@dataclasses.dataclass(frozen=True)
class Files:
    """The files of a case; see the flags of experiments.benchmark, as for the other options."""

    model: str | None
    input: str | None
    output: str | None


@dataclasses.dataclass(frozen=True)
class Timing:
    """The length of a measurement."""

    rounds: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class AmpOptions:
    """How an amp is played."""

    size: float
    block: int
    cores: int | None
    core: str | None


@dataclasses.dataclass(frozen=True)
class FlowOptions:
    """Which flow is measured, on how many clips, and how precisely it computes."""

    channels: int
    height: int
    clips: int
    precisions: Sequence[str]


def measure(case: str, files: Files, timing: Timing, amp: AmpOptions, flow: FlowOptions) -> None:
    """Runs one case of CASES and prints its figures.

    Raises:
        UserError: an option or a file cannot be used.
        OSError: the output cannot be written.
    """
    if case in (SYNTHESIS, TRAINING):
        _check_files(case, files, amp.core, is_release=False)
        from experiments.benchmarks import flows  # each with JAX

        return flows.run(case == TRAINING, timing, flow)
    if not files.model:
        raise UserError(f"--case={case} plays a model; name its file or folder: --model=amp.nam")
    is_release = case == RELEASE or (case == STREAM and Path(files.model).is_dir())
    _check_files(case, files, amp.core, is_release)
    if is_release:
        from experiments.benchmarks import releases

        return releases.run(case == STREAM, files, timing, amp.block)
    from experiments.benchmarks import amps

    return amps.run(case, files, timing, amp)


def _check_files(case: str, files: Files, core: str | None, is_release: bool) -> None:
    """Refuses what cannot be read or written."""
    if is_release and files.output:
        raise UserError(f"--output: --case={case} of a release writes no file; leave it out")
    if core and (case != STREAM or not Path(core).is_file()):
        raise UserError(f"--core={core}: a program, for --case=stream; name its file")
    if files.output and Path(files.output).suffix != ".json":
        raise UserError(f"--output={files.output}: JSON is written; let the name end in .json")
    if files.output:
        check_file(Path(files.output))
    if is_release:
        read_manifest(Path(files.model))
    elif case in (STREAM, RENDER):
        read_nam(files.model)
    if files.input:
        AudioFile(files.input)
