"""The config of a capture and its checks, which run before JAX and the audio are loaded."""

import dataclasses
import warnings
from typing import Any, ClassVar

from data_pipeline.audio_files import AudioFile
from data_pipeline.synthetic_playing import DEMO
from experiments.capture.members import is_many, members_of
from experiments.capture.teacher_files import TeacherFiles, read_teacher_files
from experiments.run import config as run
from experiments.run.config import OWN, own
from experiments.run.sweep import configs_of
from experiments.run.sweep_file import Trial, parse_search
from wf_jax.amps.loss_weights import LossWeights
from wf_jax.amps.nam_file import read_json, read_nam
from wf_jax.amps.nam_metadata import Gear, complete_gear, of_chain
from wf_jax.errors import UserError
from wf_jax.native.engines import AUTO, ENGINES, JAX
from wf_jax.options import (
    COUNT,
    MOST,
    Choice,
    Items,
    Number,
    Text,
    WrittenNumber,
    editable,
    like,
    option,
)
from wf_jax.training.schedule import Schedule
from wf_jax.training.settings import Settings

SIZES = ("nano", "standard")
LONGEST_PROBE = 60.0  # seconds; the probe is played at eleven gains at once
_CHANNEL = Number(0, 1024)
_LATENCY = WrittenNumber(
    Number(-10_000_000, 10_000_000, usual=95), "a number of samples", word="auto", whole=True
)


@dataclasses.dataclass
class Data:
    """The recorded pair, or the teacher that plays one; or many of them.

    Attributes:
        input: the DI file that was played into the amp; "demo" for the built-in pair. With a
            teacher: what it plays, files and folders separated by commas, where "built-in" is the
            built-in DI: "built-in,di.wav"; if left out, the built-in DI alone. With a folder of
            recordings: the DI of all of them, or a folder with a DI of the same name for each.
        output: the recording of the amp, or a folder of them, each a capture of its own.
        manifest: a CSV file with a line for each of many captures. It has a column output or
            teacher; columns input, name, latency and those of metadata may be left out.
        teacher: a .nam file that plays the output in place of an amp, or several in a row,
            "pedal.nam,amp.nam"; or a folder of them, each a teacher of its own.
        cabinet: an impulse response after the teacher, a mono audio file.
        repair: faults of the teacher that are trained away: "latency", "dc", or "latency,dc".
        input_channel: channel of a multi-channel input file, counted from 1; 0 for a mono file.
        output_channel: the same for the output file.
        latency: samples by which the output lags the input, or "auto" to measure it.
        start_seconds: first second of both files that is used; only with a DI of your own, not
            with a standard NAM input file.
        stop_seconds: end of the used part; 0 for the end of the files.
        correct_drift: resample the output where its clock differs from the input's.
        validation_seconds: held out at the end of a DI of your own; a standard NAM input file
            has its own held-out part.
        ignore_checks: train although checks failed.
        loudness_probe: WAV to measure loudness and gain with; "" for the built-in one.
    """

    input: str = option("", Text())
    output: str = option("", Text())
    manifest: str = option("", Text())
    teacher: str = option("", Text())
    cabinet: str = option("", Text())
    repair: str = option("", Text())
    input_channel: int = option(0, _CHANNEL)
    output_channel: int = option(0, _CHANNEL)
    latency: str = option("auto", _LATENCY)
    start_seconds: float = option(0.0, Number(0, 100_000))
    stop_seconds: float = option(0.0, Number(0, 100_000))
    correct_drift: bool = False
    validation_seconds: float = option(9.0, Number(0, 100_000, above=True))
    ignore_checks: bool = False
    loudness_probe: str = option("", Text())


@dataclasses.dataclass
class Model:
    """The models to train.

    Attributes:
        sizes: sizes of A2: nano and standard.
        nam: a .nam file, or JSON with its "architecture" and "config": train fresh models of that
            architecture in place of A2.
    """

    sizes: tuple[str, ...] = option(SIZES, Items(Choice(SIZES), least=1, most=2, different=True))
    nam: str = option("", Text())


@dataclasses.dataclass
class Train(run.Train):
    """The training options of a capture.

    Attributes:
        optimizer: soap, or adam for the NAM trainer's recipe to the letter.
        learning_rate: at its peak; -1 for the optimizer's own.
        warmup: share of the run over which the rate rises; -1 for the optimizer's own.
        hold: share of the run at which it begins to fall; -1 for the optimizer's own.
        end: share of the peak rate left at the end; -1 for the optimizer's own.
        fade: the step from which on the rate also falls, by sqrt(fade / step); 0 for never, -1 for
            the optimizer's own.
        batch_size: windows per step, over all devices; 0 for the optimizer's own, 8 or 16.
        window: samples of a window.
        captures_at_once: how many of many captures are trained together in one program; 0 for
            what suits the device: 1 on a CPU, 16 on others. 1 where captures are fine-tuned.
        samples_every: evaluations between sounds of the models so far in samples/; 0 for none.
        engine: native for passes and losses of machine code, on CPUs; jax; or auto for native
            where it can.
    """

    optimizer: str = like(Settings, "optimizer", "soap")
    learning_rate: float = own(Settings, "learning_rate")
    warmup: float = own(Schedule, "warmup")
    hold: float = own(Schedule, "hold")
    end: float = own(Schedule, "end")
    fade: int = own(Schedule, "fade")
    batch_size: int = option(0, Number(0, MOST))
    window: int = option(8192, COUNT)
    captures_at_once: int = option(0, Number(0, 1024))
    samples_every: int = option(0, Number(0, MOST))
    engine: str = option(AUTO, Choice(ENGINES))


Loss = editable(LossWeights)


@dataclasses.dataclass
class CaptureConfig(run.RunConfig):
    """The config of a capture.

    Attributes:
        init_from: a .nam file to fine-tune, of any architecture.
        search: options with several values each, "train.seed=0,1 train.learning_rate=0.01,0.02":
            every combination is trained, one after the other, and the best is kept.
        data: the recorded pair.
        model: the models to train.
        train: the training options.
        loss: the loss to minimize.
        metadata: the .nam file's metadata of the gear.
    """

    job: ClassVar[str] = "experiments.capture.job:CaptureJob"
    batch: ClassVar[str] = "experiments.capture.many_captures:train_captures"
    tries: ClassVar[str] = "experiments.capture.search:search_settings"

    task: str = option("capture", Choice(("capture",)))
    init_from: str = option("", Text())
    search: str = option("", Text())
    data: Data = dataclasses.field(default_factory=Data)
    model: Model = dataclasses.field(default_factory=Model)
    train: Train = dataclasses.field(default_factory=Train)
    loss: Loss = dataclasses.field(default_factory=Loss)
    metadata: Gear = dataclasses.field(default_factory=Gear)

    @property
    def several(self) -> str:
        """The function that makes many captures, or tries several settings; "" for one run."""
        if self.search:
            return self.tries
        return self.batch if is_many(self.data) else ""

    def trials(self) -> list[Trial]:
        """Returns the combinations of `search`.

        Raises:
            UserError: it cannot be read.
        """
        return parse_search(self.search, "--config.search")

    @property
    def batch_size(self) -> int:
        """Windows per step; SOAP learns as much from 8 as from 16, in less time."""
        return self.train.batch_size or (8 if self.train.optimizer == "soap" else 16)

    @property
    def devices(self) -> int:
        """CPU devices that a run can use: one for native passes, which use all cores."""
        native = self.train.engine != JAX and not (self.init_from or self.model.nam)
        return 1 if native else self.batch_size

    def recipe(self) -> tuple[float, Schedule]:
        """Returns the optimizer's own recipe, overridden by the config."""
        train = self.train
        if train.optimizer == "soap":
            rate, usual = 0.02, Schedule(warmup=0.05, hold=0.8, end=0.02, fade=300)
        else:
            # The NAM trainer's: times 0.994 per epoch; the same fall over a run in steps or
            # minutes.
            stairs = 0 if train.steps or train.minutes else train.epochs
            end = 0.994**train.epochs
            rate, usual = 0.004, Schedule(end=end, exponential=True, stairs=stairs)
        said = {name: getattr(train, name) for name in ("warmup", "hold", "end", "fade")}
        schedule = dataclasses.replace(usual, **{k: v for k, v in said.items() if v != OWN})
        return rate if train.learning_rate == OWN else train.learning_rate, schedule

    def gear(self) -> dict[str, Any]:
        """Returns the user's metadata, completed from the teacher or the file to fine-tune.

        Returns:
            By key of wf_jax.amps.nam_metadata.USER_KEYS: text, a level in dBu, or None.

        Raises:
            UserError: that file cannot be read, or holds invalid metadata.
        """
        # A fine-tuned or copied model is still of the same gear, unless the user says otherwise.
        if self.data.teacher:
            files = self.teacher_files()
            chain = [file.metadata for file in files.models]
            return complete_gear(
                self.metadata, of_chain(chain, bool(files.cabinet)), self.data.teacher
            )
        before = read_nam(self.init_from).metadata if self.init_from else {}
        return complete_gear(self.metadata, before, self.init_from)

    def teacher_files(self) -> TeacherFiles:
        """Reads and checks the files of the teacher; see `read_teacher_files`."""
        return read_teacher_files(self.data)

    def input_files(self) -> tuple[str, ...]:
        """Returns the files that are trained on."""
        if self.data.teacher:
            return self.teacher_files().paths
        return tuple(getattr(self.data, name) for name in self._files)

    def check(self) -> None:
        """Refuses options and files that would fail later; reads headers only.

        Raises:
            UserError: a file is missing or none of its kind, or an option has a value that cannot
                be used.
        """
        super().check()
        if self.search:
            self._check_search()
            return
        if is_many(self.data):
            members_of(self)
        else:
            self._check_named()
        if self.init_from and self.model.nam:
            raise UserError(
                "--config.init_from and --config.model.nam exclude each other; give one"
            )
        for name in filter(None, (self.model.nam, self.init_from)):
            read_json(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said when the file is read
            if not is_many(self.data):
                self.gear()
            self._check_audio()

    @property
    def is_demo(self) -> bool:
        """True if the pair is the built-in one."""
        return self.data.input == DEMO and not self.data.teacher

    @property
    def _files(self) -> tuple[str, ...]:
        alone = not (self.is_demo or self.data.teacher or is_many(self.data))
        return ("input", "output") if alone else ()

    def _check_search(self) -> None:
        if is_many(self.data):
            raise UserError(
                f"--config.search={self.search}: tries settings for one capture, and this config "
                "names many; name one recording, or leave it out"
            )
        for _, config in configs_of(self.trials(), dataclasses.replace(self, search="")).values():
            config.check()

    def _check_named(self) -> None:
        """Refuses a pair whose files are not named, and options of the other kind of pair."""
        for name in self._files:
            if not getattr(self.data, name):
                raise UserError(
                    f"--config.data.{name} is missing; name the file, or try the built-in amp "
                    "with --config=a2_capture:demo, or copy a model (--config.data.teacher)"
                )
        for name in () if self.data.teacher else ("cabinet", "repair"):
            if value := getattr(self.data, name):
                raise UserError(
                    f"--config.data.{name}={value}: only with a teacher; name its file with "
                    "--config.data.teacher, or leave it out"
                )

    def _check_audio(self) -> None:
        data = self.data
        for name in self._files:
            channel = getattr(data, f"{name}_channel") or None
            AudioFile(getattr(data, name)).index_of(channel, f"--config.data.{name}_channel")
        if data.loudness_probe:
            probe = AudioFile(data.loudness_probe)
            if probe.channels != 1 or probe.seconds > LONGEST_PROBE:
                raise UserError(
                    f"--config.data.loudness_probe={data.loudness_probe}: {probe.channels} "
                    f"channels of {probe.seconds:.3g} s; give one channel of {LONGEST_PROBE:g} s "
                    "at most"
                )
