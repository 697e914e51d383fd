"""Gives damaged tables to everything that reads one; in a process of its own.

    python -m tests.data_pipeline.table_battery SEED COUNT

Prints how many were used and refused by each reader, and the slowest; on standard error, those of
that violate a rule.
"""

import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from data_pipeline.corpus import Corpus, Windows
from data_pipeline.corpus_preparation import prepare_corpus
from experiments.accelerator.report import read_rows
from experiments.configs import a2_capture
from experiments.releases.card import _metrics
from experiments.run import sweep
from experiments.run.config import flat_config
from experiments.run.folder import RunFolder
from experiments.run.json_files import read_table
from experiments.run.lock import who_holds
from experiments.run.same_run import check_same_run
from experiments.run.side_by_side import compare_runs, read_runs
from experiments.run.sweep_file import read_sweep
from experiments.run.table import compare, json_lines, text
from experiments.run.vocoder_folder import model_folder
from experiments.vocoder.job import held_out_clips
from experiments.vocoder.preparation import prepare
from experiments.vocoder.run_evaluation import corpus_of
from tests.data_pipeline.damaged_tables import (
    damaged_document,
    damaged_json,
    damaged_lines,
    damaged_table,
)
from tests.experiments.test_runs import CAPTURE, VOCODER
from tests.limits import limited
from wf_jax.audio.mel import MelSettings
from wf_jax.errors import UserError
from wf_jax.interop.source_config import read_config
from wf_jax.training.metrics import MetricsFile

METADATA = "a|Printing, in the only sense|printing\nb|is é differs|is\nwavs/c.wav|from most|from\n"
SOURCE = {
    "sample_rate": 22050,
    "hop_length": 256,
    "mel": {"bands": 80, "low": 0.0},
    "sizes": [1, 2],
}
YAML = "sample_rate: 22050\nmel:\n  bands: 80\n  low: 0.0\nsizes: [1, 2]\nname: a b\n"
SWEEP = [{"train.seed": 0, "train.learning_rate": 0.001}, {"train.seed": 1, "name": "b"}]
RECORDS = [
    {"step": 20 * i, "minutes": 0.5 * i, "esr/nano": 0.5 / i, "esr/standard": 0.2 / i}
    | {"ll/validation": 3.0 + i, "bits/validation": 9.0, "epoch": i, "speed/steps": 2.0}
    for i in range(1, 5)
]
RESULT = {"steps": 80, "minutes": 2.0, "finished": True, "esr": {"nano": 0.12, "standard": 0.05}}
RESULT |= {"log_likelihood": 4.0, "bits": 9.0, "stopped": "the budget is used up"}


class Broken(AssertionError):
    """A violated rule."""


class Readers:
    """The readers, each with the folder that it needs."""

    def __init__(self, folder: Path, draw: random.Random):
        """Makes the folders in `folder`."""
        self.folder, self.draw = folder, draw
        self.speech = folder / "speech"
        (self.speech / "wavs").mkdir(parents=True)
        for i, name in enumerate("abc"):
            noise = np.random.default_rng(i).uniform(-0.3, 0.3, 900)
            soundfile.write(self.speech / "wavs" / f"{name}.wav", noise, 22_050)
        self.corpus = folder / "corpus"
        prepare_corpus(self.speech / "wavs", self.corpus, validation=1)
        self.index = json.loads((self.corpus / "index.json").read_text())
        self.audio = (self.corpus / "audio.npy").read_bytes()
        self.config = flat_config(a2_capture.get_config())

    def every(self) -> list[Callable[[], None]]:
        """Returns all readers; those with many failure modes several times."""
        more = [self.metadata, self.corpus_index, self.run, self.run]
        return [*more, self.corpus_audio, self.workdir, self.sources, self.sweeps, self.others]

    def metadata(self) -> None:
        """Reads metadata.csv, by the command prepare."""
        (self.speech / "metadata.csv").write_bytes(damaged_table(METADATA.encode(), self.draw))
        output = Path(tempfile.mkdtemp(dir=self.folder)) / "corpus"
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                prepare(str(self.speech), str(output), validation=0)
            except UserError:
                if output.exists():
                    raise Broken("something was left") from None
                raise
        for clip in Corpus.open(output).clips:
            if not (self.speech / clip.source).resolve().is_relative_to(self.speech):
                raise Broken(f"{clip.source} is not in the corpus")

    def corpus_index(self) -> None:
        """Reads index.json, as training and evaluation do."""
        try:
            (self.corpus / "index.json").write_bytes(damaged_json(self.index, self.draw))
            corpus = Corpus.open(self.corpus)
            corpus.check()
            batch = Windows(corpus, "train", 256, 10, 10, 2, 0, True).batch(0)
            if not np.isfinite(batch["audio"]).all():
                raise Broken("audio that is no numbers")
            for clip in held_out_clips(corpus, MelSettings(peak_normalize=True)):
                if not np.isfinite(clip.audio).all() or np.abs(clip.audio).max() > 2:
                    raise Broken("a clip of no audio")
        finally:
            (self.corpus / "index.json").write_text(json.dumps(self.index))

    def corpus_audio(self) -> None:
        """Reads the header of audio.npy."""
        try:
            head, rest = self.audio[:128], self.audio[128:]
            content = damaged_table(head, self.draw) + rest
            (self.corpus / "audio.npy").write_bytes(content)
            Corpus.open(self.corpus).check()
            if content != self.audio:
                raise Broken("changed, and not seen")
        finally:
            (self.corpus / "audio.npy").write_bytes(self.audio)

    def run(self) -> None:
        """Reads the files of runs, by the comparing command and by a sweep."""
        top, draw = Path(tempfile.mkdtemp(dir=self.folder)), self.draw
        for name in ("one", "two"):
            folder = top / name
            folder.mkdir()
            config = draw.choice([CAPTURE, VOCODER, self.config])
            damaged = [draw.random() < 0.5 for _ in range(3)]
            config = damaged_json(config, draw) if damaged[0] else json.dumps(config).encode()
            (folder / "config.json").write_bytes(config)
            lines = damaged_lines(RECORDS, draw if damaged[1] else random.Random(0))
            (folder / "metrics.jsonl").write_bytes(lines)
            result = damaged_json(RESULT, draw) if damaged[2] else json.dumps(RESULT).encode()
            (folder / "metrics.json").write_bytes(result)
            sweep.has_options(folder, a2_capture.get_config())
            list(_metrics(read_table(folder / "metrics.json")))
        list(sweep._summary({"one": "finished", "two": "finished"}, top, "sweep"))
        for name in ("one", "two"):
            evaluate_corpus(top / name)
            MetricsFile(top / name / "metrics.jsonl", 60)
        with contextlib.redirect_stdout(io.StringIO()):
            if draw.random() < 0.3:  # and the picture, which takes most of the time
                compare_runs([str(top)])
            else:
                found, damaged = read_runs([top])
                for table in compare(found):
                    print(*text(table), *json_lines(table), sep="\n")
                if damaged:
                    raise UserError(*damaged.values())

    def workdir(self) -> None:
        """Reads config.json and inputs.json of a run that is resumed."""
        folder, draw = Path(tempfile.mkdtemp(dir=self.folder)), self.draw
        (folder / "metrics.jsonl").write_text('{"step": 18}\n')
        (folder / "config.json").write_bytes(damaged_json(self.config, draw))
        (folder / "inputs.json").write_bytes(damaged_json({"di.wav": "0" * 32}, draw))
        with contextlib.redirect_stdout(io.StringIO()):
            model_folder(folder)
            check_same_run(folder, a2_capture.get_config())
            with RunFolder(folder) as opened:
                opened.open(a2_capture.get_config(), {"di.wav": "0" * 32})
        written = json.loads((folder / "inputs.json").read_text())
        if written["di.wav"] != "0" * 32:
            raise Broken(f"goes on with {written}")

    def sources(self) -> None:
        """Reads the configuration of a public model."""
        path = self.folder / self.draw.choice(["c.json", "c.yaml"])
        is_json = path.suffix == ".json"
        path.write_bytes(
            damaged_json(SOURCE, self.draw) if is_json else damaged_table(YAML.encode(), self.draw)
        )
        read_config(path)

    def sweeps(self) -> None:
        """Reads a sweep's file: its text and its return value."""
        path, trials = self.folder / "sweep.py", SWEEP
        if self.draw.random() < 0.7:
            trials = damaged_document(trials, self.draw)
        text = f"inf, nan = float('inf'), float('nan')\ndef get_sweep():\n    return {trials!r}\n"
        data = text.encode("utf-8", "surrogatepass")
        path.write_bytes(damaged_table(data, self.draw) if trials is SWEEP else data)
        configs = sweep.configs_of(read_sweep(path), a2_capture.get_config())
        for name in configs:
            (self.folder / "trials" / name).mkdir(parents=True, exist_ok=True)

    def others(self) -> None:
        """Reads a lock, and the rows of an examination."""
        path = self.folder / "rows.jsonl"
        path.write_bytes(damaged_lines(RECORDS, self.draw))
        read_rows(path)
        owner = {"host": "a", "process": 12, "since": "2026-01-01"}
        path.write_bytes(damaged_json(owner, self.draw))
        with path.open(errors="replace") as file:
            raise UserError(f"{path}: {who_holds(file.read())}")


def evaluate_corpus(folder: Path) -> None:
    """Reads the corpus of a run that evaluate judges."""
    with contextlib.suppress(UserError):
        Corpus.open(corpus_of(folder))


def attempt(use: Callable[[], Any], folder: Path) -> str:
    """Tries one table: returns "used" or "refused"."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with limited():
                use()
        except UserError as error:
            for line in str(error).split("\n"):
                if len(line) > 1000 or not line.isprintable():
                    raise Broken(f"not one line: {line[:300]!r}") from None
            if str(folder) not in str(error) and "in sweep.py: " not in str(error):
                raise Broken(f"names no file: {error}") from None
            return "refused"
    return "used"


def main(number: int, count: int) -> None:
    """Runs the battery."""
    counts, slowest, which = Counter(), 0.0, ""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # where a flush costs nothing
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        folder = Path(folder).resolve()
        readers = Readers(folder, random.Random())
        for i in range(count):
            readers.draw.seed(f"{number}/{i}")
            use = readers.every()[i % len(readers.every())]
            begun = time.process_time()
            try:
                state = attempt(use, folder)
            except Exception as error:
                print(f"table {number}/{i}, {use.__name__}: {error!r:.600}", file=sys.stderr)
                state = "broken"
            taken = time.process_time() - begun
            if taken > slowest:
                slowest, which = taken, use.__name__
            counts[f"{use.__name__} {state}"] += 1
            for path in folder.glob("tmp*"):
                shutil.rmtree(path)
    print(json.dumps({**counts, "slowest": round(slowest, 2), "of": which}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
