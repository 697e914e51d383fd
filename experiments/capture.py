"""The capture job: from a recorded pair to model.nam, metrics.json and report.html."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipeline.audio_files import LOUD, AudioFile, AudioFileError, md5_of, read_audio
from data_pipeline.captures import Capture, CaptureError, load_capture
from data_pipeline.pair_report import Used
from data_pipeline.synthetic import write_demo_pair
from experiments.capture_models import Family, read_family
from experiments.capture_options import CaptureConfigError, check, gear
from experiments.capture_results import write_results
from experiments.capture_samples import Samples
from experiments.configs.a2_capture import recipe
from experiments.decoration import DecorationError
from experiments.launch import say
from experiments.settings import length, read_settings
from experiments.workdir import Workdir, WorkdirError, flat_config
from wf_jax.amps import a2
from wf_jax.amps.capture import CaptureAudio, CaptureTask, LossWeights
from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_file import NamFileError
from wf_jax.options import OptionError
from wf_jax.platforms import choices
from wf_jax.training.checkpoint_faults import CheckpointError
from wf_jax.training.dispatch import SettingsError
from wf_jax.training.distributed import is_main, part
from wf_jax.training.loop import DivergedError, NotJudgedError, Result, train
from wf_jax.training.settings import Session
from wf_jax.whole_files import atomic_path, temporary_folder

ERRORS = (
    AudioFileError,
    CaptureConfigError,
    CaptureError,
    CheckpointError,
    DecorationError,
    DivergedError,
    NamFileError,
    OptionError,
    NotJudgedError,
    SettingsError,
    WorkdirError,
)


def run(config: Any, workdir: Workdir, session: Session) -> Result:
    """Checks the pair, trains, and writes the results into `workdir`.

    Raises:
        ERRORS: each with one line that says what to do.
    """
    check(config)
    settings = read_settings(config, recipe)
    with temporary_folder() as folder:
        pair = _pair(config, workdir, folder)
        family = _family(config, pair[0])
        capture = _load(config, pair, family)
        probe = _probe(config.data.loudness_probe)
        task = make_task(config, capture, family)
        workdir.open(config, _digests(config))  # not before: what is refused leaves no folder
        if _is_demo(config):
            workdir.make(lambda: _keep_demo_pair(pair, workdir.local / "pair"))
    for finding in capture.findings:
        if finding.level != "ok":
            say(finding.line())
    say(f"{capture.name}: {capture.latency.describe(capture.sample_rate)}")
    say(
        f"training {', '.join(task.sizes)} for {length(settings)} on {jax.device_count()} "
        f"{jax.default_backend()} devices; the first step compiles (about 20 s)"
    )
    if jax.default_backend() != "cpu":
        decided = dataclasses.replace(choices(), substeps=settings.substeps)
        say(f"decided for {jax.default_backend()}: {decided.describe()}")
    if config.init_from:
        esr = task.evaluate(task.init())
        said = ", ".join(f"{name} {float(esr[f'esr/{name}'][0]):.4f}" for name in task.sizes)
        say(f"as it is in {config.init_from}: ESR {said}")
    publish = Samples(workdir, task, capture) if is_main() else None
    result = train(
        task, settings, workdir.shared, publish, session=session, config=flat_config(config)
    )
    part()
    if result.again or not is_main():
        return result
    try:
        write_results(config, workdir.local, capture, task, family, result, probe)
    finally:
        workdir.finish()
    return result


def make_task(config: Any, capture: Capture, family: Family) -> CaptureTask:
    """The training task of one capture, its models brought to training level.

    Raises:
        CaptureConfigError: the recording is too short for one batch.
    """
    audio = CaptureAudio(
        capture.input_train[None],
        capture.output_train[None],
        capture.input_validation[None],
        capture.output_validation[None],
    )
    try:
        return CaptureTask(
            audio,
            sizes=tuple(config.model.sizes),
            models=_training_level(config, family, capture.output_gain),
            sample_rate=float(capture.sample_rate),
            batch_size=config.train.batch_size,
            window=config.train.window,
            loss_weights=LossWeights(
                config.loss.mrstft,
                config.loss.pre_emphasis,
                config.loss.pre_emphasis_mse,
                config.loss.pre_emphasis_mrstft,
            ),
            seed=config.train.seed,
        )
    except ValueError as error:
        raise CaptureConfigError(str(error)) from None


def _training_level(config: Any, family: Family, gain: float) -> dict[str, AmpModel] | None:
    """The models to begin with; fresh ones play at training level, whatever the recording's."""
    if family.models is None or config.model.nam:
        return family.models
    return {name: model.scaled(gain) for name, model in family.models.items()}


def _family(config: Any, input_path: Path) -> Family:
    if not (config.init_from or config.model.nam):
        return Family(gear=gear(config))
    try:
        return read_family(config, float(AudioFile(input_path).sample_rate))
    except (AudioFileError, NamFileError):
        raise
    except ValueError as error:
        raise CaptureConfigError(str(error)) from None


def _is_demo(config: Any) -> bool:
    return config.data.input == "demo"


def _pair(config: Any, workdir: Workdir, folder: Path) -> tuple[Path, Path]:
    """The files to read: the user's, or the built-in pair, made in `folder` if need be."""
    if not _is_demo(config):
        return Path(config.data.input), Path(config.data.output)
    kept = workdir.local / "pair"
    paths = kept / "di.wav", kept / "amp.wav"
    if all(path.exists() for path in paths):
        return paths
    say("making the built-in pair: 60 s of plucked strings through a simulated amp")
    return write_demo_pair(folder)


def _keep_demo_pair(paths: tuple[Path, Path], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for path in paths:
        if path.parent != folder:
            with atomic_path(folder / path.name) as temporary:
                shutil.copyfile(path, temporary)


def _load(config: Any, paths: tuple[Path, Path], family: Family) -> Capture:
    data = config.data
    contexts = [model.context for model in (family.models or {}).values()]
    a2_context = a2.config(config.model.sizes[0]).receptive_field - 1
    return load_capture(
        *paths,
        input_channel=data.input_channel or None,
        output_channel=data.output_channel or None,
        latency=None if data.latency == "auto" else int(data.latency),
        used=Used(data.start_seconds, data.stop_seconds, data.correct_drift),
        validation_seconds=data.validation_seconds,
        ignore_checks=data.ignore_checks,
        receptive_field=max(contexts, default=a2_context) + 1,
        window=config.train.window,
        batch_size=config.train.batch_size,
    )


def _digests(config: Any) -> dict[str, str]:
    """Of the files that the run is trained on."""
    data = config.data
    return (
        {} if data.input == "demo" else {path: md5_of(path) for path in (data.input, data.output)}
    )


def _probe(path: str) -> np.ndarray | None:
    if not path:
        return None
    probe = read_audio(path).samples.astype(np.float32)
    peak = float(np.abs(probe).max())
    if not 0 < peak <= LOUD:
        raise CaptureConfigError(
            f"--config.data.loudness_probe={path}: its peak is {peak:g} of full scale; give a "
            "second of guitar, or leave it out"
        )
    return probe
