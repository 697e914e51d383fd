"""The cases of experiments.benchmark: their options, and checks before JAX is loaded."""

import dataclasses
import importlib
from pathlib import Path

from data_pipeline.audio_files import AudioFile
from experiments.terminal.outputs import check_file
from wf_jax.amps.nam_file import read_nam
from wf_jax.errors import UserError
from wf_jax.export.manifest import read_manifest

CASES = {
    "stream": "experiments.benchmarks.amps",
    "render": "experiments.benchmarks.amps",
    "waveflow_synthesis": "experiments.benchmarks.flows",
    "waveflow_training": "experiments.benchmarks.flows",
    "release": "experiments.benchmarks.releases",
    "passes": "experiments.benchmarks.training_passes",
    "captures": "experiments.benchmarks.many_captures",
}
NEED_MODEL = ("stream", "render", "release")


@dataclasses.dataclass(frozen=True)
class Options:
    """The flags of experiments.benchmark."""

    case: str
    rounds: int
    seconds: float
    output: str | None
    model: str | None
    slim: float
    block: int
    input: str | None
    cores: int | None
    core: str | None
    channels: int
    height: int
    clips: int
    precision: list[str]
    captures: list[str]


def measure(options: Options) -> None:
    """Runs one case of CASES and prints its figures.

    Raises:
        UserError: an option or a file cannot be used.
    """
    case, model, module = options.case, options.model, CASES[options.case]
    if case in NEED_MODEL and not model:
        raise UserError(f"--case={case} plays a model; name its file or folder: --model=amp.nam")
    if case == "stream" and Path(model).is_dir():
        module = CASES["release"]
    if module == CASES["release"] and options.output:
        raise UserError(f"--output: --case={case} of a release writes no file; leave it out")
    if case == "captures" and not all(n.isdecimal() and int(n) for n in options.captures):
        raise UserError(f"--captures={','.join(options.captures)}: give numbers, as 1,2,4,8,16")
    if case == "passes" and options.output:
        raise UserError(f"--output: --case={case} writes no file; leave it out")
    if options.core and (case != "stream" or not Path(options.core).is_file()):
        raise UserError(f"--core={options.core}: a program, for --case=stream; name its file")
    if options.output and Path(options.output).suffix != ".json":
        raise UserError(f"--output={options.output}: JSON is written; let the name end in .json")
    if options.output:
        check_file(Path(options.output))
    if module == CASES["release"]:
        read_manifest(Path(model))
    elif case in NEED_MODEL or (case == "passes" and model):
        read_nam(model)
    if options.input:
        AudioFile(options.input)
    importlib.import_module(module).run(options)  # and with it JAX
