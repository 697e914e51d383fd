"""Saves and restores the checkpoints of a run, by orbax.

Orbax restores a damaged array without complaint, so every array's fingerprint is stored beside
it and compared when it comes back; so is a digest of what is stored in words.
"""

import contextlib
import dataclasses
import logging
import os
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

import wf_jax
from wf_jax.errors import UserError
from wf_jax.folders import copy_files, is_remote
from wf_jax.options import MOST
from wf_jax.training.checkpoint_faults import (
    METADATA,
    DamagedError,
    check_permissions,
    check_same_arrays,
    refuse_forbidden,
    sentence,
)
from wf_jax.training.distributed import all_agree, from_main
from wf_jax.training.fingerprints import describe, digest
from wf_jax.training.saved_checkpoints import (
    STATE,
    can_be_listed,
    checked,
    literal_folder,
    saved_steps,
)
from wf_jax.whole_files import flush

_POLICIES = ocp.training.preservation_policies
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_NEWEST = 100  # checkpoints that are looked at
_LISTING_SECONDS = 60.0
_PYTHON = platform.python_version()
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Restored:
    """A checkpoint that was whole.

    Attributes:
        step: it was saved at.
        state: the arrays.
        notes: what the run wrote beside them.
    """

    step: int
    state: Any
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints in one folder; use as a context manager, in every process of a run.

    A save runs in the background and appears complete or not at all.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: int = 2,
        keep_best: int = 0,
        config: dict[str, Any] | None = None,
    ):
        """Opens (and makes) `folder`, which all processes see.

        Args:
            folder: local, or remote by etils.epath.
            keep: how many of the newest stay.
            keep_best: how many more stay of those that were saved with a metric: the lowest.
            config: of the run, written into every checkpoint.

        Raises:
            UserError: the folder cannot be made, or this user may not read or write it.
        """
        self.folder = folder.absolute() if isinstance(folder, Path) else folder
        self._config = config or {}
        check_permissions(self.folder, os.R_OK | os.W_OK)
        self._closing = contextlib.ExitStack()
        if not is_remote(self.folder):
            self._make()
        self._plain = self._closing.enter_context(literal_folder(self.folder))
        policies: list[Any] = [_POLICIES.LatestN(keep)]
        if keep_best:
            best = _POLICIES.BestN(
                get_metric_fn=lambda metrics: metrics["metric"],
                reverse=True,  # the lowest are the best
                n=keep_best,
                keep_checkpoints_without_metrics=False,
            )
            policies.append(best)
        self._kept = _POLICIES.AnyPreservationPolicy(policies)
        # Orbax opens all or none; what it cannot list must go first.
        if jax.process_index() == 0:
            self._set_unlistable_aside(keep)
        all_agree(True)
        try:
            self._checkpointer = self._open(self._kept)
        except Exception as error:
            self._closing.close()
            raise UserError(sentence(self.folder, "cannot be opened", error)) from error

    def __enter__(self) -> Self:
        """Returns self."""
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        """Waits for the last save.

        Raises:
            UserError: it could not be written.
        """
        try:
            self._checkpointer.close()
            self._flush_newest()
        except Exception as failure:
            if error is None:  # or the first error is the one to hear of
                raise self._unwritten(failure) from failure
        finally:
            self._closing.close()

    def save(
        self, step: int, state: Any, notes: dict[str, Any], metric: float | None = None
    ) -> None:
        """Saves `state` and JSON-able `notes` as `step`, unless that step is there already.

        Args:
            step: when.
            state: a tree of arrays.
            notes: what `restore` gives back beside it.
            metric: by which the best are kept; lower is better.

        Raises:
            UserError: this one, or the one before it, could not be written.
        """
        if step in self._steps():
            return
        described = {
            "notes": notes,
            "config": self._config,
            "versions": {name: version(name) for name in _PACKAGES}
            | {"wf_jax": wf_jax.__version__, "python": _PYTHON},
            "arrays": describe(state),
        }
        try:
            self._checkpointer.save_checkpointables_async(
                step,
                {STATE: state},
                custom_metadata={**described, "digest": digest(described)},
                metrics=None if metric is None else {"metric": metric},
            )
        except Exception as error:
            raise self._unwritten(error) from error

    def restore(self, like: Any) -> Restored | None:
        """Restores the newest whole checkpoint onto any devices; None where there is none.

        Damaged ones are passed over, which is reported, and moved into the folder
        "damaged_checkpoints" beside this one.

        Args:
            like: a tree of arrays with the structure, shapes, types and shardings to restore.

        Raises:
            UserError: the checkpoints are of another model, may not be read, or none is whole.
        """
        steps = self._agreed_steps()
        damaged: list[int] = []
        for step in steps:
            restored, reason = self._try(step, like)
            if restored is not None:
                if damaged and jax.process_index() == 0:
                    for passed in damaged:
                        self._set_aside(passed)
                if jax.process_index() == 0:
                    self._delete_surplus()
                all_agree(True)
                self._checkpointer.reload()
                return restored
            damaged.append(step)
            self._complain(step, reason)
        if steps:
            raise UserError(
                f"{self.folder}: none of the checkpoints {steps} is whole; "
                "give another --workdir to start afresh"
            )
        return None

    def _flush_newest(self) -> None:
        """Flushes the last checkpoint to the disk, so that it outlasts a loss of power.

        Earlier ones need it less: where one is lost, the one before it is taken.
        """
        steps = saved_steps(self.folder)
        if steps and not is_remote(self.folder):
            newest = self.folder / str(max(steps))
            for path in (*newest.rglob("*"), newest, self.folder):
                flush(path)

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(sentence(self.folder, "cannot be opened", error)) from error

    def _open(self, keeping: Any) -> Any:
        return ocp.training.Checkpointer(
            self._plain,
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=keeping,
            cleanup_tmp_directories=True,  # of a save that a full disk or a crash has ended
        )

    def _set_unlistable_aside(self, keep: int) -> None:
        listed = 0
        for step in sorted(saved_steps(self.folder), reverse=True):
            if can_be_listed(self._plain / str(step)):
                listed += 1
            elif listed >= keep and not all(
                (self.folder / str(step) / name).exists() for name in (METADATA, STATE)
            ):
                _delete(self.folder / str(step))  # as a process did that was killed meanwhile
            else:
                self._complain(step, "its metadata cannot be read")
                self._set_aside(step)

    def _delete_surplus(self) -> None:
        """Deletes what a process that was killed would have deleted after its last save."""
        there = self._checkpointer.checkpoints
        context = _POLICIES.PreservationContext()
        kept = self._kept.should_preserve(there, context=context)
        for checkpoint, stays in zip(there, kept, strict=True):
            if not stays:
                _delete(self.folder / str(checkpoint.step))

    def _agreed_steps(self) -> list[int]:
        """Returns the newest checkpoints that process 0 sees, newest first, in every process.

        Raises:
            UserError: another process does not see them for a minute; listings of shared
                disks may be late.
        """
        seen = np.full(_NEWEST, -1, np.int32)
        here = sorted((step for step in self._steps() if step <= MOST), reverse=True)[:_NEWEST]
        seen[: len(here)] = here
        steps = [int(step) for step in from_main(seen) if step >= 0]
        deadline = time.monotonic() + _LISTING_SECONDS
        while missing := set(steps) - set(self._steps()):
            if time.monotonic() > deadline:
                raise UserError(
                    f"{self.folder}: process {jax.process_index()} does not see checkpoint "
                    f"{max(missing)}; give a --workdir that all processes share"
                )
            time.sleep(1.0)
            self._checkpointer.reload()
        return steps

    def _complain(self, step: int, reason: str) -> None:
        _LOG.warning(
            "%s: checkpoint %d is damaged (%s); trying the one before it",
            self.folder,
            step,
            reason,
        )

    def _steps(self) -> list[int]:
        return [checkpoint.step for checkpoint in self._checkpointer.checkpoints]

    def _try(self, step: int, like: Any) -> tuple[Restored | None, str]:
        """Restores one checkpoint if every process finds it whole, else None and what is wrong."""
        reason, described = "", {}
        try:
            described = self._read_description(step)
        except DamagedError as damage:
            reason = str(damage)
        if not all_agree(not reason):
            return None, reason or "another process cannot read it"
        check_same_arrays(self.folder, step, like, described["arrays"])
        state = None
        try:
            state = self._load(step, like, described["arrays"])
        except DamagedError as damage:
            reason = str(damage)
        if not all_agree(not reason):
            return None, reason or "another process cannot read it"
        return Restored(step, state, described["notes"]), ""

    def _read_description(self, step: int) -> dict[str, Any]:
        try:
            return checked(self._checkpointer.metadata(step).custom_metadata)
        except DamagedError:
            raise
        except Exception as error:
            refuse_forbidden(self.folder / str(step), error)
            raise DamagedError("its metadata cannot be read") from error

    def _load(self, step: int, like: Any, saved: dict[str, Any]) -> Any:
        target = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
        )
        try:
            state = self._checkpointer.load_checkpointables(step, {STATE: target})[STATE]
        except Exception as error:
            # Orbax reports truncation, absence and wrong shapes in the same opaque words.
            if "RESOURCE_EXHAUSTED" in str(error):
                raise
            refuse_forbidden(self.folder / str(step), error)
            raise DamagedError("its arrays cannot be read back") from error
        for name, found in describe(state).items():
            if found != saved[name]:
                raise DamagedError(f"{name} has other bits than were saved")
        return state

    def _set_aside(self, step: int) -> None:
        aside = self.folder.parent / "damaged_checkpoints"
        aside.mkdir(exist_ok=True)
        number = sum(1 for _ in aside.glob(f"{step}*"))
        source, target = self.folder / str(step), aside / f"{step}-{number}".removesuffix("-0")
        if is_remote(source):
            copy_files(source, target)
            source.rmtree()
        else:
            source.rename(target)

    def _unwritten(self, error: BaseException) -> UserError:
        return UserError(sentence(self.folder, "a checkpoint could not be written", error))


def _delete(checkpoint: Path) -> None:
    if is_remote(checkpoint):
        checkpoint.rmtree()
    else:
        shutil.rmtree(checkpoint, ignore_errors=True)
