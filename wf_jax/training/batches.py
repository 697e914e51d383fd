"""Makes batches and sends them to the devices: each process its own rows, one dispatch ahead."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from wf_jax.training.task import Task


class Batches:
    """Global arrays for `several_steps`, made in a thread.

    The rows of a batch are dealt out in order: to the parts of an accumulated batch, within a part
    to the devices. So a part holds the same rows for any number of devices and processes.
    """

    def __init__(
        self,
        task: Task,
        mesh: Mesh,
        plan: Callable[[int], int],
        *,
        substeps: int = 1,
        accumulate: int = 1,
    ):
        """Takes the source of the batches; makes none yet.

        Args:
            task: makes the rows.
            mesh: the devices.
            plan: step -> how many steps the dispatch that begins there takes, 0 for none.
            substeps: steps that a dispatch has room for.
            accumulate: parts of a batch.
        """
        self._task, self._mesh, self._plan = task, mesh, plan
        self._substeps, self._accumulate = substeps, accumulate
        rows = np.arange(task.batch_size).reshape(accumulate, jax.process_count(), -1)
        self._rows = rows[:, jax.process_index()].ravel()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: tuple[int, Future] | None = None

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def resident(self) -> dict[str, jax.Array]:
        """Places the arrays that every batch shares on all devices."""
        everywhere = NamedSharding(self._mesh, PartitionSpec())
        return {
            name: jax.make_array_from_process_local_data(everywhere, array)
            for name, array in self._task.resident.items()
        }

    def take(self, step: int) -> dict[str, jax.Array]:
        """Returns the batches of the dispatch that begins at `step`: [substeps, parts, ...].

        Starts to make those of the next dispatch.
        """
        if self._next is None or self._next[0] != step:
            self._begin(step)
        batches = self._next[1].result()
        self._begin(step + self._plan(step))
        return batches

    def _begin(self, step: int) -> None:
        count = self._plan(step)
        self._next = (step, self._thread.submit(self._make, step, count)) if count else None

    def _make(self, step: int, count: int) -> dict[str, jax.Array]:
        steps = [step + min(i, count - 1) for i in range(self._substeps)]  # the rest is not used
        made = {s: self._task.batch(s, self._rows) for s in dict.fromkeys(steps)}
        return {
            name: self._place(np.stack([self._parts(name, made[s][name]) for s in steps]), name)
            for name in made[step]
        }

    def _parts(self, name: str, array: np.ndarray) -> np.ndarray:
        """Reshapes [..., rows, ...] to [parts, ..., rows / parts, ...]."""
        axis = self._task.batch_axes[name]
        return np.stack(np.split(array, self._accumulate, axis))

    def _place(self, array: np.ndarray, name: str) -> jax.Array:
        """Builds the global array from [substeps, parts, ..., rows here, ...]."""
        axis = self._task.batch_axes[name] + 2
        shape = list(array.shape)
        shape[axis] *= jax.process_count()
        spec = PartitionSpec(*[None] * axis, self._mesh.axis_names)
        sharding = NamedSharding(self._mesh, spec)
        return jax.make_array_from_process_local_data(sharding, array, tuple(shape))
