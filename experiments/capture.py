"""The capture job: from a recorded pair to model.nam, metrics.json and report.html."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipeline.audio_files import LOUD, AudioFileError, md5_of, read_audio
from data_pipeline.captures import Capture, CaptureError, load_capture
from data_pipeline.synthetic import write_demo_pair
from experiments.capture_models import Family, read_family
from experiments.capture_options import CaptureConfigError, check
from experiments.capture_results import write_results
from experiments.capture_samples import Samples
from experiments.configs.a2_capture import recipe
from experiments.decoration import DecorationError
from experiments.launch import say
from experiments.settings import length, read_settings
from experiments.workdir import Workdir, WorkdirError, flat_config
from wf_jax.amps.capture import CaptureAudio, CaptureTask, LossWeights
from wf_jax.amps.nam_file import NamFileError
from wf_jax.options import OptionError
from wf_jax.platforms import choices
from wf_jax.training.checkpoint_faults import CheckpointError
from wf_jax.training.dispatch import SettingsError
from wf_jax.training.distributed import is_main, part
from wf_jax.training.loop import DivergedError, Result, train
from wf_jax.training.settings import Session

ERRORS = (
    AudioFileError,
    CaptureConfigError,
    CaptureError,
    CheckpointError,
    DecorationError,
    DivergedError,
    NamFileError,
    OptionError,
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
    capture = _load(config, workdir)
    workdir.open(config, _digests(config))
    for finding in capture.findings:
        if finding.level != "ok":
            say(finding.line())
    say(f"{capture.name}: {capture.latency.describe(capture.sample_rate)}")
    probe = _probe(config.data.loudness_probe)
    family = _family(config, capture)
    task = make_task(config, capture, family)
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
            models=family.models
            and {k: model.scaled(capture.output_gain) for k, model in family.models.items()},
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


def _family(config: Any, capture: Capture) -> Family:
    try:
        family = read_family(config, float(capture.sample_rate))
    except NamFileError:
        raise
    except ValueError as error:
        raise CaptureConfigError(str(error)) from None
    if family.models and config.model.nam:
        # Fresh weights play at training level, whatever the recording's.
        quiet = {k: model.scaled(1 / capture.output_gain) for k, model in family.models.items()}
        return dataclasses.replace(family, models=quiet)
    return family


def _load(config: Any, workdir: Workdir) -> Capture:
    data = config.data
    if data.input == "demo":
        folder = workdir.local / "pair"
        paths = (folder / "di.wav", folder / "amp.wav")
        workdir.make(lambda: _write_demo_pair(paths))
    else:
        paths = (Path(data.input), Path(data.output))
    return load_capture(
        *paths,
        input_channel=data.input_channel or None,
        output_channel=data.output_channel or None,
        latency=None if data.latency == "auto" else int(data.latency),
        validation_seconds=data.validation_seconds,
        ignore_checks=data.ignore_checks,
        window=config.train.window,
        batch_size=config.train.batch_size,
    )


def _digests(config: Any) -> dict[str, str]:
    """Of the files that the run is trained on."""
    data = config.data
    return (
        {} if data.input == "demo" else {path: md5_of(path) for path in (data.input, data.output)}
    )


def _write_demo_pair(paths: tuple[Path, Path]) -> None:
    if not all(path.exists() for path in paths):
        say("making the built-in pair: 60 s of plucked strings through a simulated amp")
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        write_demo_pair(paths[0].parent)


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
