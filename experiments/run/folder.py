"""The folder of a run: its config, checkpoints, metrics and results."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from experiments.run.bucket_lock import BucketLock
from experiments.run.lock import NAME as FOLDER_LOCK
from experiments.run.lock import FolderLock
from wf_jax.atomic import folder_path, is_remote, naming, read_text, why, write_text
from wf_jax.bounded_files import LARGEST_RECORDS, read_json
from wf_jax.errors import UserError, short
from wf_jax.old_names import current_names
from wf_jax.whole_files import sweep

# Options that may change between two sessions of one run.
CHANGEABLE = (
    "train.epochs",
    "train.steps",
    "train.minutes",
    "train.samples_every",
    "train.substeps",
    "train.shards",
    "checkpoints.",
    # A run that diverged goes on from its last good checkpoint.
    "train.learning_rate",
    "train.warmup",
    "train.hold",
    "train.end",
    "train.clip_norm",
    "metadata.",
    "source",
    "data.loudness_probe",
)


# Files that a start makes before the first step, with the built-in recordings.
_MADE = ("pair", "clips", "corpus")
_BEGINNINGS = ("config.json", "inputs.json", "metrics.jsonl", "checkpoints", *_MADE, FOLDER_LOCK)


class RunFolderError(UserError):
    """A run's folder that cannot be used; one line with the remedy."""


class RunFolder:
    """The folder of a run, shared by all its processes and sessions.

    Attributes:
        shared: local or remote (gs://...): config, metrics and checkpoints.
        local: folder of this process's other files, the same unless `shared` is remote.
    """

    def __init__(self, shared: Path):
        """Wraps a folder that need not exist."""
        self.shared = shared
        self._remote = is_remote(shared)
        self.local = Path(tempfile.mkdtemp(prefix="wf_jax-")) if self._remote else shared
        self._uploaded: dict[Path, tuple[int, int]] = {}
        self._lock: FolderLock | BucketLock | None = None
        self._missing: list[Path] = []

    def __enter__(self) -> Self:
        """Notes the existing files; a remote store has no empty folders to clean up."""
        if not self._remote:
            made = (self.shared / name for name in _BEGINNINGS)
            places = (*made, self.shared, *self.shared.parents)
            self._missing = [path for path in places if not path.exists()]
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        """Unlocks the folder; after a refused start, restores it first."""
        if self._lock:
            if error is not None:
                self._forget()
            self._lock.release()

    @classmethod
    def named(cls, text: str) -> Self:
        """Returns the folder for a name given by a user."""
        return cls(folder_path(text))

    def __truediv__(self, name: str) -> "RunFolder":
        """Returns a subfolder."""
        return RunFolder(self.shared / name)

    def __str__(self) -> str:
        """Returns the name that the user gave."""
        return str(self.shared)

    def open(self, config: Any, inputs: Mapping[str, str] | None = None) -> None:
        """Makes and locks the folder; writes the run's config, or checks that it is the same.

        Args:
            config: config of the run.
            inputs: the digest of every file or folder that it is trained on, by its name.

        Raises:
            LockedError: another process works in it.
            RunFolderError: the folder can not be made, holds a run with another config or of other
                inputs, or is not one that all processes see; or they have different configs.
            DistributedError: process 0 raised.
        """
        from wf_jax.training.distributed import all_agree, on_main

        self._compare_processes(config)
        on_main(lambda: self._open(config, inputs or {}))
        if not all_agree((self.shared / "config.json").exists()):
            raise RunFolderError(
                f"{self}: not all processes of the run see this folder; give a --workdir on a "
                "file system that they share, or gs://..."
            )

    def _compare_processes(self, config: Any) -> None:
        """Refuses a process that was started with another config than process 0."""
        from wf_jax.training.distributed import all_agree, from_main

        text = json.dumps(flat_config(config), sort_keys=True, default=str).encode()
        here = np.frombuffer(hashlib.sha256(text).digest(), np.uint8)
        same = bool((from_main(here) == here).all())
        if not all_agree(same):
            which = "another process of this run" if same else "this process"
            raise RunFolderError(
                f"{self}: {which} was started with another config than process 0; start all with "
                "the same options"
            )

    def _open(self, config: Any, inputs: Mapping[str, str]) -> None:
        _make(self.shared)
        if self._lock is None:
            with _writing(self.shared):
                self._lock = self._take_lock()
            if not self._remote:
                for place, _, _ in os.walk(self.shared):
                    sweep(Path(place))
        _compare(self.shared, _read_config(self.shared / "config.json"), flat_config(config))
        with _writing(self.shared):
            write_json(self.shared / "config.json", flat_config(config))
        _write_inputs(self.shared, inputs)

    def _take_lock(self) -> FolderLock | BucketLock:
        from wf_jax.training.distributed import say

        lock = BucketLock(self.shared, say) if self._remote else FolderLock(self.shared)
        if not lock.held:
            why_not = getattr(lock, "reason", "") or "this file system has no locks"
            say(f"{self}: no lock ({why_not}); start one run here at a time")
        return lock

    def _forget(self) -> None:
        """Removes the files of this start, unless something was computed; keeps another's files."""
        if _has_begun(self.shared):
            return
        for path in self._missing:
            with contextlib.suppress(OSError):
                if path.parent == self.shared and path.name in _MADE:
                    shutil.rmtree(path)
                elif path.is_dir():
                    path.rmdir()  # if it is empty
                else:
                    path.unlink()

    def make(self, action: Callable[[], object]) -> None:
        """Runs an action that makes files in `local`, once or in each process if not shared."""
        from wf_jax.training.distributed import on_main

        if self._remote:
            action()
        else:
            on_main(action)

    def upload(self) -> None:
        """Copies new or changed files in `local` to a remote folder; does nothing for a local one.

        Raises:
            OSError: a file cannot be copied; names the copy.
        """
        if not self._remote:
            return
        for path in self.local.rglob("*"):
            stat = path.stat()
            state = (stat.st_mtime_ns, stat.st_size)
            if path.is_file() and self._uploaded.get(path) != state:
                target = self.shared / path.relative_to(self.local).as_posix()
                with naming(target):
                    target.write_bytes(path.read_bytes())
                self._uploaded[path] = state

    def finish(self) -> None:
        """Uploads the results, and prints their address.

        Raises:
            RunFolderError: they are only in `local`.
        """
        from wf_jax.training.distributed import say

        if self._remote:
            try:
                self.upload()
            except OSError as error:
                raise RunFolderError(
                    f"{error.filename}: cannot be written: {why(error)}; the results are in "
                    f"{self.local}"
                ) from None
            say(f"copied to {self}")


def flat_config(config: Any) -> dict[str, Any]:
    """Flattens a config to {"train.steps": 100, ...}."""
    return _flat(dataclasses.asdict(config))


def _make(workdir: Path) -> None:
    try:
        with naming(workdir):
            workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{workdir}: cannot be made: {why(error)}") from None


@contextlib.contextmanager
def _writing(workdir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFolderError(f"{workdir}: cannot be written: {why(error)}") from None


def check_same_run(workdir: Path, config: Any) -> None:
    """Compares a config with that of the run in a folder, if one has begun there.

    Raises:
        RunFolderError: an option that may not change has.
    """
    _compare(workdir, _read_object(workdir / "config.json") or {}, flat_config(config))


def _compare(workdir: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    old = current_names(old)
    if "train.decay" in old:  # of before there was a choice
        old.setdefault("train.optimizer", "adam")
        del old["train.decay"]
    if old and _has_begun(workdir):
        for name in sorted(old.keys() | new.keys()):
            if name not in new and not name.startswith(CHANGEABLE):
                raise RunFolderError(
                    f"{workdir}: another version of wf_jax began this run, with --config."
                    f"{short(name)}={short(old[name])}, which there is no more; give another "
                    "--workdir, or go on with that version"
                )
            if old.get(name, new.get(name)) != new.get(name) and not name.startswith(CHANGEABLE):
                option, before = short(name), short(old.get(name))
                raise RunFolderError(
                    f"{workdir}: this run was started with --config.{option}={before}, "
                    f"not {new.get(name)}; give another --workdir, or the old value to continue"
                )


def _write_inputs(workdir: Path, inputs: Mapping[str, str]) -> None:
    from wf_jax.training.distributed import say

    path = workdir / "inputs.json"
    old = _read_object(path)
    if old is None or not all(isinstance(digest, str) for digest in old.values()):
        say(f"{path}: damaged; whether the files are those of before cannot be told")
        old = {}
    if _has_begun(workdir):
        for name in sorted(old.keys() & inputs.keys()):
            if old[name] != inputs[name]:
                raise RunFolderError(
                    f"{workdir}: {name} is another one than this run was trained on (digest "
                    f"{inputs[name]:.12}, not {old[name]:.12}); give another --workdir, or bring "
                    "the old one back"
                )
    with _writing(workdir):
        write_json(path, {**old, **inputs})


def _read_config(path: Path) -> dict[str, Any]:
    """Reads the config of the run; if its file is damaged, the one in its newest checkpoint."""
    config = _read_object(path)
    if config is None:
        from wf_jax.training.checkpoints import saved_config

        config = saved_config(path.parent / "checkpoints")
    return config


def _read_object(path: Path) -> dict[str, Any] | None:
    """Reads a JSON object; {} where there is no file, None where it is damaged."""
    try:
        with naming(path):
            content = read_json(path) if path.exists() else {}
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read: {why(error)}") from None
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _has_begun(workdir: Path) -> bool:
    """Returns whether the run has computed anything; a failed start does not count."""
    saved = workdir / "checkpoints"
    if saved.is_dir() and any(path.name.isdigit() for path in saved.iterdir()):
        return True
    return bool(read_text(workdir / "metrics.jsonl", LARGEST_RECORDS))


def model_folder(folder: Path) -> Path:
    """Returns the folder of the vocoder: `model` of a training run, or a converted folder.

    Raises:
        RunFolderError: the folder of a run that has none.
    """
    inside = folder / "model"
    if inside.is_dir():
        return inside
    try:
        task = read_json(folder / "config.json").get("task")
    except (OSError, ValueError, AttributeError):  # it is said when it is loaded
        return folder
    if task == "vocoder":
        raise RunFolderError(f"{folder}: this run has no model yet; wait for its first evaluation")
    if task:
        raise RunFolderError(f"{folder}: a run of task {task}, not a vocoder; name another folder")
    return folder


def write_json(path: Path, content: Any) -> None:
    """Writes JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_metrics(workdir: Path, metrics: dict[str, Any], *, reported: bool) -> None:
    """Writes metrics.json: the result, and whether its report is written."""
    write_json(workdir / "metrics.json", {**metrics, "reported": reported})


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
