"""The folder of a run: its config, checkpoints, metrics and results."""

import contextlib
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
from experiments.run.config import flat_config
from experiments.run.json_files import write_json
from experiments.run.lock import NAME as FOLDER_LOCK
from experiments.run.lock import FolderLock
from experiments.run.same_run import compare_config, has_begun, known_inputs
from wf_jax.errors import UserError, why
from wf_jax.folders import folder_path, is_remote, naming
from wf_jax.whole_files import sweep

# Files that a start makes before the first step, with the built-in recordings.
_MADE = ("pair", "clips", "corpus")
# What a run goes on with; the checkpoints go last, by which the next start knows of the run.
_PROGRESS = ("metrics.json", "metrics.jsonl", "damaged_checkpoints", "checkpoints")
_BEGINNINGS = ("config.json", "inputs.json", "metrics.jsonl", "checkpoints", *_MADE, FOLDER_LOCK)


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

    def lock(self) -> None:
        """Makes and locks the folder, unless that is done.

        Raises:
            LockedError: another process works in it.
            UserError: it cannot be made, or not be written.
        """
        _make(self.shared)
        if self._lock is None:
            with _writing(self.shared):
                self._lock = self._take_lock()
            if not self._remote:
                for place, _, _ in os.walk(self.shared):
                    sweep(Path(place))

    def restart(self) -> None:
        """Removes what a run in this local folder would go on with; its model and pages stay.

        Raises:
            OSError: something cannot be removed; names it.
        """
        for name in _PROGRESS:
            path = self.shared / name
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def open(self, config: Any, inputs: Mapping[str, str] | None = None) -> None:
        """Makes and locks the folder; writes the run's config, or checks that it is the same.

        Args:
            config: config of the run.
            inputs: the digest of every file or folder that it is trained on, by its name.

        Raises:
            UserError: another process works in the folder; it can not be made, holds a run with
                another config or of other inputs, or is not one that all processes see; they have
                different configs; or process 0 raised.
        """
        from wf_jax.training.distributed import all_agree, on_main

        self._compare_processes(config)
        on_main(lambda: self._open(config, inputs or {}))
        if not all_agree((self.shared / "config.json").exists()):
            raise UserError(
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
            raise UserError(
                f"{self}: {which} was started with another config than process 0; start all with "
                "the same options"
            )

    def _open(self, config: Any, inputs: Mapping[str, str]) -> None:
        self.lock()
        compare_config(self.shared, flat_config(config))
        known = known_inputs(self.shared, inputs)
        with _writing(self.shared):
            write_json(self.shared / "config.json", flat_config(config))
            write_json(self.shared / "inputs.json", {**known, **inputs})

    def _take_lock(self) -> FolderLock | BucketLock:
        from wf_jax.training.distributed import say

        lock = BucketLock(self.shared, say) if self._remote else FolderLock(self.shared)
        if not lock.held:
            why_not = getattr(lock, "reason", "") or "this file system has no locks"
            say(f"{self}: no lock ({why_not}); start one run here at a time")
        return lock

    def _forget(self) -> None:
        """Removes the files of this start, unless something was computed; keeps another's files."""
        if has_begun(self.shared):
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
            UserError: they are only in `local`.
        """
        from wf_jax.training.distributed import say

        if self._remote:
            try:
                self.upload()
            except OSError as error:
                raise UserError(
                    f"{error.filename}: cannot be written: {why(error)}; the results are in "
                    f"{self.local}"
                ) from None
            say(f"copied to {self}")


def _make(workdir: Path) -> None:
    try:
        with naming(workdir):
            workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{workdir}: cannot be made: {why(error)}") from None


@contextlib.contextmanager
def _writing(workdir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{workdir}: cannot be written: {why(error)}") from None
