"""Checkpoints of a run: the only file that imports orbax.

Orbax restores a damaged array without complaint, so every array's fingerprint is stored beside
it and compared when it comes back.
"""

import logging
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from orbax.checkpoint import v1 as ocp


class CheckpointError(RuntimeError):
    """The checkpoints of a run cannot be used; the message says why and what to do."""


@jax.jit
def _fingerprints(leaves: list[jax.Array]) -> jax.Array:
    """A uint32 per array that any single flipped bit changes: sum of bits * odd weights."""

    def one(x: jax.Array) -> jax.Array:
        bits = lax.bitcast_convert_type(x, jnp.uint32).ravel()
        return jnp.sum(bits * (2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1), dtype=jnp.uint32)

    return jnp.stack([one(leaf) for leaf in leaves])


def fingerprints(tree: Any) -> dict[str, int]:
    """Of every array of a tree (4 bytes an element), by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    values = jax.device_get(_fingerprints([leaf for _, leaf in leaves]))
    return {_name(path): int(value) for (path, _), value in zip(leaves, values, strict=True)}


class Checkpoints:
    """The checkpoints in one folder, the newest two kept; use as a context manager.

    A save happens in the background and appears complete or not at all.
    """

    def __init__(self, folder: Path):
        """Opens (and makes) `folder`."""
        self.folder = folder.absolute()
        self._checkpointer = ocp.training.Checkpointer(
            self.folder,
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=ocp.training.preservation_policies.LatestN(2),
        )

    def __enter__(self) -> "Checkpoints":
        """Nothing to open."""
        return self

    def __exit__(self, *error: object) -> None:
        """Waits for the last save."""
        self._checkpointer.close()

    def save(self, step: int, state: Any, notes: dict[str, Any]) -> None:
        """Saves `state` and JSON-able `notes` as `step`, unless that step is there already."""
        if step in self._steps():
            return
        metadata = {"notes": notes, "fingerprints": fingerprints(state)}
        self._checkpointer.save_checkpointables_async(
            step, {"state": state}, custom_metadata=metadata
        )

    def restore(self, like: Any) -> tuple[int, Any, dict[str, Any]] | None:
        """The newest checkpoint that is whole; damaged ones are passed over, and said.

        Args:
            like: a tree of arrays with the structure, shapes, types and shardings to restore.

        Returns:
            Step, state and notes, or None where there is no checkpoint.

        Raises:
            CheckpointError: the checkpoints are of another model, or none is whole.
        """
        steps = sorted(self._steps(), reverse=True)
        for step in steps:
            try:
                state, notes = self._load(step, like)
            except _Damaged as damage:
                logging.getLogger(__name__).warning(
                    "checkpoint %d in %s is damaged (%s); trying the one before it",
                    step,
                    self.folder,
                    damage,
                )
                continue
            return step, state, notes
        if steps:
            raise CheckpointError(
                f"{self.folder}: none of the checkpoints {steps} is whole; "
                "give another --workdir to start afresh"
            )
        return None

    def _steps(self) -> list[int]:
        return [checkpoint.step for checkpoint in self._checkpointer.checkpoints]

    def _load(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
        try:
            saved = self._checkpointer.metadata(step)
            stored = saved.custom_metadata
            described = stored["fingerprints"], stored["notes"]
            target = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
            )
        except Exception as error:
            raise _Damaged("its metadata cannot be read") from error
        prints, notes = described
        self._compare_names(step, like, prints)
        try:
            state = self._checkpointer.load_checkpointables(step, {"state": target})["state"]
        except Exception as error:
            # Orbax reports truncation, absence and wrong shapes in the same opaque words.
            raise _Damaged("its arrays cannot be read back") from error
        for name, value in fingerprints(state).items():
            if value != prints[name]:
                raise _Damaged(f"{name} has other bits than were saved")
        return state, notes

    def _compare_names(self, step: int, like: Any, saved: dict[str, int]) -> None:
        names = {_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(like)}
        different = sorted(names ^ set(saved))
        if different:
            where = "only in the model" if different[0] in names else "only in the checkpoint"
            raise CheckpointError(
                f"{self.folder}: checkpoint {step} is of another model: {different[0]} is {where} "
                f"({len(different)} such arrays); give another --workdir or the old config"
            )


class _Damaged(Exception):
    """One checkpoint cannot be restored."""


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
