"""Part `resume`: compares runs that were killed and resumed with undisturbed ones, bit for bit.

This process leaves the accelerator alone: every session of a run is a process that needs it. As a
command, `python -m experiments.accelerator.resume CHECKPOINT OTHER` prints how they differ.
"""

import dataclasses
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipeline.synthetic_pair import write_demo_pair
from experiments.accelerator.commands import Command, CommandError, run_command
from experiments.accelerator.learning import corpus_of
from experiments.accelerator.report import Options, Report, Row

TABLE = "Killed by SIGKILL and continued"
CACHED, ANEW = "from the cache", "compiled anew"
DIFFERENT = (
    "Not the same bits. Where only programs that were compiled anew differ, the compiler has "
    "chosen other algorithms by timing them (autotuning); where those from the cache differ too, "
    "a program itself adds in any order, as scatters on a GPU do."
)


@dataclasses.dataclass(frozen=True)
class Run:
    """A short training.

    Attributes:
        task: its name.
        arguments: arguments of experiments.train, without the folder.
        steps: steps of the whole run.
        every: steps between checkpoints; the run is killed after the second one.
    """

    task: str
    arguments: tuple[str, ...]
    steps: int
    every: int


def measure(report: Report, options: Options) -> None:
    """Checks a capture and a vocoder; small only the capture, of a net that compiles quickly."""
    runs = {"capture": _small_capture}
    if not options.small:
        runs = {"capture": _capture, "vocoder": _vocoder}
    same = []
    for case in report.in_time(TABLE, [{"task": name} for name in runs]):
        try:
            same += _check(report, options, runs[case["task"]](options))
        except (CommandError, OSError) as error:
            report.row(TABLE, **case, error=str(error))
    if not all(same):
        report.note(DIFFERENT)


def _check(report: Report, options: Options, run: Run) -> list[bool]:
    """Adds a row for each way of continuing; returns whether all gave the same bits."""
    folder = options.folder / run.task
    folder.mkdir()
    whole, killed, same = folder / "whole", folder / "killed", []
    _session(run, whole, run.steps, report)
    _session(run, killed, 2 * run.every, report)
    reached = _saved(killed)
    if reached == run.steps:
        raise CommandError(f"{run.task}: was done before it could be killed")
    for programs in _ways(options):
        with report.attempt(TABLE, task=run.task, steps=run.steps, programs=programs) as row:
            row["killed at"] = reached
            continued = folder / programs.replace(" ", "_")
            shutil.copytree(killed, continued)
            cache = {"JAX_ENABLE_COMPILATION_CACHE": str(programs == CACHED).lower()}
            _session(run, continued, run.steps, report, cache)
            row |= _difference(whole, continued, run.steps, report)
            same.append(row["same bits"])
            if row["same bits"]:
                break
    return same


def _ways(options: Options) -> Sequence[str]:
    """Returns the sources of the continued run's compiled programs, the most demanding first."""
    return (CACHED,) if options.small else (ANEW, CACHED)


def _session(
    run: Run, workdir: Path, step: int, report: Report, environment: Mapping[str, str] | None = None
) -> None:
    """Trains until a checkpoint of `step` or later exists, then kills the process."""
    arguments = [
        *run.arguments,
        f"--workdir={workdir}",
        f"--config.train.steps={run.steps}",
        f"--config.checkpoints.steps={run.every}",
    ]
    log = workdir.with_name(f"{workdir.name}-{step}.txt")
    with Command("train", arguments, log, environment) as command:
        command.wait(max(report.seconds_left, 1), lambda: _saved(workdir) >= step)


def _saved(workdir: Path) -> int:
    """Returns the step of the last checkpoint, 0 if there is none; checkpoints appear complete."""
    return max((int(p.name) for p in workdir.glob("checkpoints/*") if p.name.isdigit()), default=0)


def _difference(workdir: Path, other: Path, step: int, report: Report) -> Row:
    """Compares the checkpoints of a step, read by a process without accelerator."""
    paths = [str(folder / "checkpoints" / str(step)) for folder in (workdir, other)]
    log = other.with_name(f"{other.name}-compared.txt")
    seconds = max(report.seconds_left, 1)
    said = run_command("accelerator.resume", paths, log, seconds, {"JAX_PLATFORMS": "cpu"})
    return json.loads(said.splitlines()[-1])


def _capture(options: Options) -> Run:
    arguments = [*_pair(options, 20.0), "--config.model.sizes=('nano',)"]
    return Run("capture", tuple(arguments), steps=24, every=6)


def _small_capture(options: Options) -> Run:
    layers = {"input_size": 1, "condition_size": 1, "head_size": 1, "channels": 2, "kernel_size": 3}
    layers |= {"dilations": [1, 2], "activation": "Tanh", "gated": False, "head_bias": True}
    net = {"layers": [layers], "head": None, "head_scale": 0.02}
    path = options.folder / "net.json"
    path.write_text(json.dumps({"architecture": "WaveNet", "config": net}))
    sizes = {"model.nam": path, "train.batch_size": 2, "train.window": 2048}
    arguments = [*_pair(options, 6.0), *(f"--config.{k}={v}" for k, v in sizes.items())]
    return Run("capture", tuple(arguments), steps=12, every=3)


def _pair(options: Options, seconds: float) -> list[str]:
    """Makes the built-in pair; returns the options that name it, a fifth of it held out."""
    folder = options.folder / "pair"
    folder.mkdir()
    di, amp = write_demo_pair(folder, seconds)
    return [
        "--config=a2_capture",
        f"--config.data.input={di}",
        f"--config.data.output={amp}",
        f"--config.data.validation_seconds={seconds / 5}",
    ]


def _vocoder(options: Options) -> Run:
    arguments = [
        "--config=waveflow:tiny",
        f"--config.data.corpus={corpus_of(options)}",
        "--config.train.evaluate_every=12",
    ]
    return Run("vocoder", tuple(arguments), steps=48, every=12)


def main(paths: Sequence[str]) -> None:
    """Prints the differences of the arrays of two checkpoints as JSON."""
    first, second = (_arrays(Path(path)) for path in paths)
    if first.keys() != second.keys():
        sys.exit("the checkpoints have other arrays")
    equal = [first[name].tobytes() == second[name].tobytes() for name in first]
    worst = max(_relative(first[name], second[name]) for name in first)
    cells = {"arrays": len(equal), "equal arrays": sum(equal), "same bits": all(equal)}
    print(json.dumps({**cells, "greatest difference of scale": worst}))


def _arrays(checkpoint: Path) -> dict[str, np.ndarray]:
    """Reads all arrays of a checkpoint by name, whatever device they were on."""
    import jax
    import orbax.checkpoint as ocp

    from wf_jax.training.fingerprints import array_name

    reader, folder = ocp.PyTreeCheckpointer(), checkpoint / "state"
    tree = reader.metadata(folder).item_metadata.tree
    kinds = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
    state = reader.restore(folder, restore_args=kinds)
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {array_name(path): np.asarray(leaf) for path, leaf in leaves}


def _relative(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first.astype(np.float64), second.astype(np.float64)
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30))


if __name__ == "__main__":
    main(sys.argv[1:])
