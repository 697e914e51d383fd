"""Gives damaged audio files to every command that reads audio; in a process of its own.

    python -m tests.data_pipeline.audio_battery SEED COUNT

Prints how many were read, read with a note, and refused, and the slowest; on standard error,
the files that violate a rule.
"""

import contextlib
import io
import json
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from data_pipeline.audio_files import AudioFile, write_wav
from data_pipeline.audio_headers import AudioFileWarning
from data_pipeline.corpus import Corpus
from experiments.capture.job import _probe
from experiments.capture.recordings import Recordings, check_recordings
from experiments.configs import a2_capture
from experiments.playing.rendering import Rendering, attempt
from experiments.releases import sources as release_sources
from experiments.vocoder import mel_inputs
from experiments.vocoder.preparation import prepare
from tests.amps.nam_examples import EXAMPLES
from tests.data_pipeline.damaged_audio import WIDTHS, Kind, Sample, damaged, seed
from tests.limits import limited
from wf_jax.amps import load_nam
from wf_jax.audio.mel import MelSettings
from wf_jax.errors import UserError
from wf_jax.training.metrics import Progress

RATE = 22_050  # of corpora and mels
RENDERING = Rendering("", "", "", channel=1, resample=True)


class Broken(AssertionError):
    """A violated rule."""


@dataclass
class Outcome:
    """The result of one file in one command.

    Attributes:
        error: the line that refuses it; "" if none.
        notes: other lines shown to the user.
        samples: number of the file's own samples in use; None where the command does not tell.
    """

    error: str = ""
    notes: list[str] = field(default_factory=list)
    samples: int | None = None


def outcome_of(use: Callable[[], object]) -> Outcome:
    """Runs a command's code within the limits."""
    found = Outcome()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with limited():
                samples = use()
            found.samples = samples if isinstance(samples, int) else None
        except UserError as error:
            found.error = str(error)
            if not found.error.isprintable() or len(found.error) > 600:
                raise Broken(f"not one line: {found.error!r}") from None
    for warning in caught:
        if not issubclass(warning.category, AudioFileWarning):
            raise Broken(f"a warning of another kind: {warning.message}")
        found.notes.append(str(warning.message))
    return found


class Commands:
    """The commands, with a good DI, a small model and the folders that they need."""

    def __init__(self, folder: Path):
        """Works in `folder`."""
        self.folder = folder
        self.di = folder / "di.wav"
        write_wav(self.di, np.random.default_rng(0).uniform(-0.3, 0.3, 48_000), 48_000)
        (folder / "amp.nam").write_text(json.dumps(EXAMPLES["linear"]()))
        self.model = load_nam(folder / "amp.nam")
        (folder / "in").mkdir()
        self.plot = f"{folder}/x.png"

    def every(self) -> dict[str, Callable[[Path], int | None]]:
        """Returns all commands by name."""
        return {
            "render": self.render,
            "check_capture": self.check_output,
            "check_capture of a DI": self.check_input,
            "prepare": self.prepare,
            "synthesize": self.synthesize,
            "export": self.export,
            "train a capture": self.options,
            "loudness probe": self.probe,
        }

    def render(self, path: Path) -> int:
        target = self.folder / "wet.wav"
        target.unlink(missing_ok=True)
        if problem := attempt(self.model, path, target, RENDERING, Progress()):
            raise UserError(problem)
        return soundfile.info(target).frames

    def check_output(self, path: Path) -> None:
        self._check(path, Recordings(str(self.di), str(path), self.plot, output_channel=1))

    def check_input(self, path: Path) -> None:
        self._check(path, Recordings(str(path), str(self.di), self.plot, input_channel=1))

    def _check(self, path: Path, given: Recordings) -> None:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            code = check_recordings(given)  # refuses a header that cannot be used
        errors = [line for line in text.getvalue().splitlines() if line.startswith("ERROR")]
        if bool(errors) != bool(code):
            raise Broken(f"exit code {code} after {errors}")
        if refused := [line for line in errors if str(path) in line]:
            raise UserError(refused[0])

    def prepare(self, path: Path) -> int | None:
        output = Path(tempfile.mkdtemp(dir=self.folder)) / "corpus"
        with contextlib.redirect_stdout(io.StringIO()):
            prepare(str(path.parent), str(output), validation=0)
        corpus = Corpus.open(output)
        (clip,) = corpus.clips
        return round(clip.samples * clip.source_rate / RATE)

    def synthesize(self, path: Path) -> int:
        (item,) = mel_inputs.find_inputs(path, MelSettings(), resample=True)
        if item.mel.shape[1] < 1 or not np.isfinite(item.mel).all():
            raise Broken(f"a mel of shape {item.mel.shape}")
        return round(item.samples * AudioFile(path).sample_rate / RATE)

    def export(self, path: Path) -> None:
        if not np.isfinite(release_sources._recording(path, 48_000)).all():
            raise Broken("an example of no numbers")

    def options(self, path: Path) -> None:
        config = a2_capture.get_config()
        config.data.input, config.data.output = str(self.di), str(path)
        config.data.output_channel = 1
        config.check()

    def probe(self, path: Path) -> None:
        _probe(str(path))


def read(path: Path) -> tuple[AudioFile, np.ndarray] | None:
    """Reads all samples by the reader itself, with its count."""
    file = AudioFile(path, lossy=True)
    count, samples = file.samples, file.read()
    if count != len(samples):
        raise Broken(f"{count} samples were announced, {len(samples)} came")
    if not np.isfinite(samples).all():
        raise Broken("samples are no numbers")
    return file, samples


def check_whole(sample: Sample, file: AudioFile, samples: np.ndarray) -> None:
    """Checks that audio read without a note is complete."""
    if sample.kind == Kind.SAID:
        raise Broken("nothing was said of what is left out")
    if sample.kind == Kind.SAME and not np.array_equal(samples, sample.samples):
        raise Broken(f"{samples.shape} are not the {sample.samples.shape} samples")
    if sample.kind != Kind.COVERED or sample.streamed:
        return
    if sample.is_coded and len(samples) != len(sample.samples):
        raise Broken(f"{len(samples)} of {len(sample.samples)} samples")
    width = WIDTHS.get(sample.subtype)
    if width and file.bits:
        there, got = sample.samples.size * width, samples.size * file.bits // 8
        unit = max(sample.samples.shape[1] * width, file.channels * file.bits // 8)
        if abs(there - got) >= unit:
            raise Broken(f"{got} of {there} bytes")


def attempts(number: int, count: int, commands: Commands) -> Iterator[str]:
    """Tries `count` damaged files: yields "read", "noted", "refused" or "broken"."""
    for i in range(count):
        draw = random.Random(f"{number}/{i}")
        sample = damaged(seed(draw, i), draw)
        path = commands.folder / "in" / f"a{sample.suffix}"
        path.write_bytes(sample.data)
        try:
            yield _attempt(sample, path, commands)
        except Exception as error:
            print(f"file {number}/{i}, {sample.story}: {error!r}", file=sys.stderr)
            yield "broken"
        finally:
            path.unlink()


def _attempt(sample: Sample, path: Path, commands: Commands) -> str:
    kept = []
    own = outcome_of(lambda: kept.append(read(path)))
    if own.error and not own.error.startswith(f"{path}: "):
        raise Broken(f"does not name the file: {own.error}")
    if kept and not own.notes:
        check_whole(sample, *kept[0])
    for name, use in commands.every().items():
        try:
            found = outcome_of(lambda use=use: use(path))
            opened = name == "train a capture" and not outcome_of(lambda: AudioFile(path)).error
            _check_alike(own, found, path, kept, opened)
        except Exception as error:
            raise Broken(f"{name}: {error!r}") from error
    return "refused" if own.error else "noted" if own.notes else "read"


def _check_alike(own: Outcome, found: Outcome, path: Path, kept: list, header_only: bool) -> None:
    """Checks that a command reports what the reader reports, and uses all that is read.

    A command that reads the header only, before others read the samples, may report less.
    """
    if own.error and not found.error and not header_only:
        raise Broken(f"took what the reader refuses: {own.error}")
    if found.error and path.name not in found.error:
        raise Broken(f"does not name the file: {found.error}")
    if found.error:
        return
    if header_only:
        return
    if missing := set(own.notes) - set(found.notes):
        raise Broken(f"did not say: {missing}")
    if found.samples is not None:
        file, samples = kept[0]
        # The corpus and the mel are of another rate: half a sample there may be many here.
        if abs(found.samples - len(samples)) > file.sample_rate / RATE:
            raise Broken(f"{found.samples} of {len(samples)} samples")


def main(number: int, count: int) -> None:
    """Runs the battery."""
    counts, slowest = Counter(), 0.0
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # where a flush costs nothing
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        commands = Commands(Path(folder))
        commands.render(commands.di)  # compiles
        begun = time.process_time()
        for state in attempts(number, count, commands):
            counts[state] += 1
            slowest, begun = max(slowest, time.process_time() - begun), time.process_time()
    print(json.dumps({**counts, "slowest": round(slowest, 2)}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
