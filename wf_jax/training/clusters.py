"""Finds the processes of a run, from a flag or a cluster's environment, without JAX."""

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from wf_jax.errors import UserError

TPU_DEVICES = ("accel*", "vfio/[0-9]*")  # under /dev


def check_choice(choice: str) -> None:
    """Checks --distributed before anything is loaded.

    Raises:
        UserError: it is not one of the forms that `parse` reads.
    """
    if choice not in ("auto", "none"):
        parse(choice)


def parse(choice: str) -> tuple[str, int, int]:
    """Parses "HOST:PORT,COUNT,INDEX" into address, count and index.

    Raises:
        UserError: it is of another form.
    """
    match = re.fullmatch(r"([^,]+:\d+),(\d+),(\d+)", choice)
    if match is None or not int(match[3]) < int(match[2]):
        raise UserError(
            f"--distributed={choice} is not auto, none or HOST:PORT,COUNT,INDEX with INDEX from 0 "
            "to COUNT - 1, e.g. 10.0.0.2:8476,4,0"
        )
    return match[1], int(match[2]), int(match[3])


def recognize(environment: Mapping[str, str]) -> tuple[str | None, int | None, int | None] | None:
    """Recognizes a cluster: (address, count, index), None where JAX knows; None for one process.

    Raises:
        UserError: a cluster of several processes that this one cannot join.
    """
    tasks = _number(environment, "SLURM_NTASKS")
    if environment.get("SLURM_JOB_ID") and tasks > 1:
        needed = ("SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID")
        _need(environment, needed, f"a Slurm job of {tasks} tasks", "start it with srun")
        # srun sets the step's own count, e.g. of `srun --ntasks=1`.
        return (
            (None, None, None) if _number(environment, "SLURM_STEP_NUM_TASKS", tasks) > 1 else None
        )
    for name in ("TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES"):
        hosts = len([host for host in environment.get(name, "").split(",") if host])
        if hosts and _number(environment, "MEGASCALE_NUM_SLICES") > 1:
            needed = ("MEGASCALE_COORDINATOR_ADDRESS", "MEGASCALE_SLICE_ID", "TPU_WORKER_ID")
            _need(environment, needed, "a job of several TPU slices", "set it per host")
            return None, None, None
        if hosts == 1 and name == "TPU_WORKER_HOSTNAMES":
            return None
        if hosts > 1:
            needed = ("TPU_WORKER_ID",)
            _need(environment, needed, f"a TPU slice of {hosts} hosts", "set it per host")
            return None, None, None
    if environment.get("OMPI_COMM_WORLD_SIZE", "1") != "1":
        return None, None, None
    if "JOB_COMPLETION_INDEX" in environment:
        raise UserError(
            f"--distributed=auto: this is pod {environment['JOB_COMPLETION_INDEX']} of an Indexed "
            "Job; give --distributed=HOST:PORT,COUNT,INDEX to train as one run, or "
            "--distributed=none for a run of its own"
        )
    devices = [path for pattern in TPU_DEVICES for path in Path("/dev").glob(pattern)]
    on_tpu = devices and importlib.util.find_spec("libtpu")
    return (None, None, None) if on_tpu else None


def _need(environment: Mapping[str, str], names: tuple[str, ...], what: str, remedy: str) -> None:
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise UserError(
            f"--distributed=auto: this is {what}, but {missing[0]} is not set; {remedy}, or give "
            "--distributed=none for a run of one process"
        )


def _number(environment: Mapping[str, str], name: str, otherwise: int = 1) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdigit() else otherwise
