"""The capture job: from a recorded pair to model.nam, metrics.json and report.html."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_pipeline.audio_files import LOUD, AudioFile, md5_of, read_audio
from data_pipeline.captures import Capture, load_capture
from data_pipeline.lessons import take_lesson
from data_pipeline.pair_report import Used
from data_pipeline.synthetic_pair import write_demo_pair
from experiments.capture.config import CaptureConfig
from experiments.capture.models import CaptureModels, read_models
from experiments.capture.page import CaptureReport
from experiments.capture.results import write_results
from experiments.capture.samples import TrainingSamples
from experiments.capture.teacher import Teacher
from experiments.run.folder import RunFolder
from experiments.run.job import Job
from wf_jax.amps import a2
from wf_jax.amps.capture_task import CaptureAudio, CaptureShape, CaptureTask, LossWeights
from wf_jax.amps.model import AmpModel
from wf_jax.errors import UserError
from wf_jax.training.distributed import say
from wf_jax.training.loop import Result
from wf_jax.whole_files import temporary_folder


class CaptureJob(Job):
    """Checks a recorded pair, trains on it, and writes model.nam, metrics.json and report.html."""

    config: CaptureConfig

    def prepare(self, folder: RunFolder) -> CaptureTask:
        """Reads and checks the pair, or lets the teacher play it.

        Raises:
            UserError: a file, an option, the pair or the teacher cannot be used.
        """
        config = self.config
        self._capture = self.load(folder)
        self._probe = _probe(config.data.loudness_probe)
        self._task = make_task(config, self._capture, self._initial)
        self.what = ", ".join(self._task.sizes)
        return self._task

    def load(self, folder: RunFolder, said: Callable[[str], None] = say) -> Capture:
        """Reads and checks the pair, or lets the teacher play it; makes nothing of it yet.

        Args:
            folder: of the run, which may hold the built-in pair.
            said: takes a line about what takes long.

        Raises:
            UserError: a file, an option, the pair or the teacher cannot be used.
        """
        config = self.config
        if config.data.teacher:
            teacher = Teacher(config.data)
            self._initial = read_models(config, float(teacher.sample_rate))
            return _taught(config, teacher, self._initial, said)
        with temporary_folder() as place:
            pair = _pair(config, folder, place, said)
            self._initial = _initial_models(config, pair[0])
            return _load(config, pair, self._initial)

    def shape(self, capture: Capture) -> tuple[int, CaptureShape]:
        """Returns what captures that are trained together have in common: rate and lengths.

        Args:
            capture: what `load` has returned; the models that it read decide too.
        """
        lookback = _receptive_field(self.config, self._initial) - 1
        lengths = len(capture.input_train), len(capture.input_validation)
        return capture.sample_rate, CaptureShape.of(*lengths, lookback, self.config.train.window)

    def inputs(self) -> dict[str, str]:
        """Returns the digests of the recordings, or of what the teacher plays them with."""
        return {path: md5_of(path) for path in self.config.input_files()}

    def begin(self, folder: RunFolder) -> None:
        """Prints the checks' findings, and the ESR of a model to fine-tune."""
        if self.config.is_demo:
            folder.make(lambda: _keep_demo_pair(folder.local / "pair"))
        capture, task = self._capture, self._task
        for finding in capture.findings:
            if finding.level != "ok":
                say(finding.line())
        say(f"{capture.name}: {capture.latency.describe(capture.sample_rate)}")
        for name, reason in task.left_to_jax.items():
            say(f"{name} learns by JAX's passes: {reason}")
        if self.config.init_from:
            esr = task.evaluate(task.init())
            said = ", ".join(f"{name} {float(esr[f'esr/{name}'][0]):.4f}" for name in task.sizes)
            say(f"as it is in {self.config.init_from}: ESR {said}")

    def publish(self, folder: RunFolder) -> TrainingSamples:
        """Returns the callback that writes a page, sounds and TensorBoard data."""
        every = self.config.train.samples_every
        return TrainingSamples(folder, self._task, self._capture, every)

    def finish(self, folder: Path, result: Result) -> None:
        """Writes model.nam, then metrics.json and report.html."""
        write_results(
            self.config,
            folder,
            self._capture,
            self._task,
            self._initial,
            result,
            self._probe,
            self.show,
        )

    def show(self, folder: Path, report: CaptureReport) -> None:
        """Shows the report elsewhere too, before the result counts as complete."""
        del folder, report


def make_task(config: CaptureConfig, capture: Capture, initial: CaptureModels) -> CaptureTask:
    """Makes the training task of one capture, its models brought to training level.

    Raises:
        UserError: the recording is too short for one batch.
    """
    audio = CaptureAudio(
        capture.input_train[None],
        capture.output_train[None],
        capture.input_validation[None],
        capture.output_validation[None],
    )
    return CaptureTask(
        audio,
        sizes=tuple(config.model.sizes),
        models=_training_level(config, initial, capture.output_gain),
        sample_rate=float(capture.sample_rate),
        batch_size=config.batch_size,
        window=config.train.window,
        loss_weights=LossWeights(**dataclasses.asdict(config.loss)),
        seed=config.train.seed,
        engine=config.train.engine,
    )


def _training_level(
    config: CaptureConfig, initial: CaptureModels, gain: float
) -> dict[str, AmpModel] | None:
    """Returns the initial models; fresh ones start at training level."""
    if initial.models is None or config.model.nam:
        return initial.models
    return {name: model.scaled(gain) for name, model in initial.models.items()}


def _initial_models(config: CaptureConfig, input_path: Path) -> CaptureModels:
    if not (config.init_from or config.model.nam):
        return CaptureModels(gear=config.gear())
    return read_models(config, float(AudioFile(input_path).sample_rate))


def _pair(
    config: CaptureConfig, folder: RunFolder, place: Path, said: Callable[[str], None]
) -> tuple[Path, Path]:
    """Returns the files to read: the user's, or the built-in pair, made in `place` if need be."""
    if not config.is_demo:
        return Path(config.data.input), Path(config.data.output)
    kept = folder.local / "pair"
    paths = kept / "di.wav", kept / "amp.wav"
    if all(path.exists() for path in paths):
        return paths
    said("making the built-in pair: 60 s of plucked strings through a simulated amp")
    return write_demo_pair(place)


def _keep_demo_pair(folder: Path) -> None:
    if not (folder / "amp.wav").exists():
        folder.mkdir(exist_ok=True)
        write_demo_pair(folder)


def _taught(
    config: CaptureConfig, teacher: Teacher, initial: CaptureModels, said: Callable[[str], None]
) -> Capture:
    """Lets the teacher play."""
    lesson, di, seen = teacher.lesson, teacher.di(), _receptive_field(config, initial)
    said(f"{lesson.teacher} plays {len(di) / teacher.sample_rate:.0f} s of {lesson.di}")
    return take_lesson(
        teacher,
        di,
        teacher.sample_rate,
        lesson,
        notes=[*teacher.notes, *teacher.unseen(seen)],
        validation_seconds=config.data.validation_seconds,
        ignore_checks=config.data.ignore_checks,
        receptive_field=seen,
        window=config.train.window,
        batch_size=config.batch_size,
    )


def _receptive_field(config: CaptureConfig, initial: CaptureModels) -> int:
    """Returns the samples that the longest of the models to train sees."""
    lookbacks = [model.lookback for model in (initial.models or {}).values()]
    a2_lookback = a2.config(config.model.sizes[0]).receptive_field - 1
    return max(lookbacks, default=a2_lookback) + 1


def _load(config: CaptureConfig, paths: tuple[Path, Path], initial: CaptureModels) -> Capture:
    data = config.data
    return load_capture(
        *paths,
        input_channel=data.input_channel or None,
        output_channel=data.output_channel or None,
        latency=None if data.latency == "auto" else int(data.latency),
        used=Used(data.start_seconds, data.stop_seconds, data.correct_drift),
        validation_seconds=data.validation_seconds,
        ignore_checks=data.ignore_checks,
        receptive_field=_receptive_field(config, initial),
        window=config.train.window,
        batch_size=config.batch_size,
    )


def _probe(path: str) -> np.ndarray | None:
    if not path:
        return None
    probe = read_audio(path).samples.astype(np.float32)
    peak = float(np.abs(probe).max())
    if not 0 < peak <= LOUD:
        raise UserError(
            f"--config.data.loudness_probe={path}: its peak is {peak:g} of full scale; give a "
            "second of guitar, or leave it out"
        )
    return probe
