"""Joins several processes into one run, lets them agree, and parts them.

The engine is `jax.distributed`; this module decides when to start it. Call `start` before anything
touches a device.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from wf_jax.errors import UserError, first_line
from wf_jax.mesh import gather_processes
from wf_jax.training import rendezvous
from wf_jax.training.clusters import parse, recognize
from wf_jax.training.peers import BEAT_SECONDS, PeerWatch

AGAIN = 75  # exit code: start me again (EX_TEMPFAIL of sysexits.h)
START_SECONDS = 600.0  # that processes wait for each other at the start
MESSAGE_BYTES = 2000


class NotTogetherError(UserError):
    """The error of processes that did not all come in time; worth another try."""


_watch: PeerWatch | None = None


def start(choice: str = "auto", environment: Mapping[str, str] = os.environ) -> None:
    """Joins the processes of a run, if it has several.

    Args:
        choice: "auto" recognizes Cloud TPU, GKE TPU slices, Slurm and Open MPI, and is one process
            anywhere else; "none" is one process; "HOST:PORT,COUNT,INDEX" names process 0's
            address, how many there are, and which this is.
        environment: where "auto" looks.

    Raises:
        UserError: the choice is none of these, a cluster is half configured, or the others
            do not come.
    """
    global _watch
    if choice == "none":
        return
    found = recognize(environment) if choice == "auto" else parse(choice)
    if found is None:
        return
    address, count, index = found
    if address is None:
        with rendezvous.saying("waiting for the cluster to say where process 0 is"):
            address, count, index = _by_jax()
    # A signal is agreed on inside the training step, together with the clock.
    jax.config.update("jax_enable_preemption_service", False)
    logging.getLogger("jax._src.distributed").setLevel(logging.ERROR)
    late = (
        f"--distributed={choice}: the processes of this run did not find each other within "
        f"{START_SECONDS:g} s; see that all were started, and that each can reach "
        f"{address or 'process 0'}"
    )
    if address and count and index is not None:
        host, _, port = address.rpartition(":")
        try:
            rendezvous.gather(
                host.strip("[]"), int(port), count, index, START_SECONDS, rendezvous.to_stderr
            )
        except TimeoutError as error:
            raise NotTogetherError(f"{late} ({error})") from None
        except OSError as error:
            raise UserError(
                f"--distributed={choice}: process 0 cannot listen on port {port} "
                f"({error.strerror or error}); give another one"
            ) from None
    # JAX's own time limit ends the process with a stack trace.
    timer = threading.Timer(START_SECONDS, _give_up, [late])
    timer.daemon = True
    timer.start()
    try:
        with rendezvous.saying("waiting for the other processes of this run"):
            jax.distributed.initialize(
                address,
                count,
                index,
                initialization_timeout=round(2 * START_SECONDS) + 60,
                shutdown_timeout_seconds=60,
            )
    except (RuntimeError, ValueError) as error:
        reason = first_line(error)
        if "DEADLINE_EXCEEDED" in reason or "UNAVAILABLE" in reason:
            raise NotTogetherError(f"{late} ({reason})") from None
        raise UserError(
            f"--distributed={choice}: this process cannot join the others: {reason}; is "
            f"{address or 'the address of process 0'} free, and right?"
        ) from None
    finally:
        timer.cancel()
    if count is not None and jax.process_count() != count:
        raise UserError(
            f"--distributed={choice}: {count} processes were announced, {jax.process_count()} came"
        )
    if jax.process_count() > 1:
        try:
            _watch = PeerWatch.start(AGAIN, _host(address))
        except OSError as error:
            raise NotTogetherError(
                f"--distributed={choice}: the processes of this run cannot watch each other: "
                f"{error.strerror or error}; each must reach every port of process 0"
            ) from None


def _give_up(message: str) -> None:
    sys.stderr.write(f"\n{message}\n")
    sys.stderr.flush()
    os._exit(AGAIN)


def _host(address: str | None) -> str | None:
    """Returns the host of process 0, as the others reach it."""
    address = address or getattr(_jax_state(), "coordinator_address", None)
    return address.rpartition(":")[0].strip("[]") if address else None


def _jax_state() -> Any:
    """Returns the state that `jax.distributed` found by itself; not public, so it may vanish."""
    try:
        from jax._src import distributed

        return distributed.global_state
    except (ImportError, AttributeError):
        return None


def _by_jax() -> tuple[str | None, int | None, int | None]:
    """Returns address, count and index as JAX finds them in a cluster; None where it does not say.

    Not public, so it may vanish: then JAX waits without saying who is missing.
    """
    try:
        from jax._src.clusters import ClusterEnv

        found = ClusterEnv.auto_detect_unset_distributed_params(
            None, None, None, None, None, round(START_SECONDS)
        )
        address, count, index = found[:3]
    except Exception:  # a cluster's own faults too: JAX says them once more
        return None, None, None
    whole = address and count and index is not None and address.rpartition(":")[2].isdigit()
    return (address, count, index) if whole else (None, None, None)


def say(line: str) -> None:
    """Prints a line, once for all processes."""
    if is_main():
        print(line, flush=True)


def is_main() -> bool:
    """Returns True in process 0, which writes the files of a run."""
    return jax.process_index() == 0


def on_main(action: Callable[[], object]) -> None:
    """Calls a function in process 0 while the others wait.

    Raises:
        UserError: in the others, with the message of what it raised in process 0, which
            raises that itself.
    """
    if jax.process_count() == 1:
        action()
        return
    said, raised = b"", None
    if is_main():
        try:
            action()
        except Exception as error:
            raised, said = error, str(error).encode()[:MESSAGE_BYTES] or b"failed"
    text = np.zeros(MESSAGE_BYTES, np.uint8)
    text[: len(said)] = np.frombuffer(said, np.uint8)
    message = bytes(from_main(text)).rstrip(b"\0").decode(errors="replace")
    if raised:
        raise raised
    if message:
        raise UserError(*f"process 0: {message}".splitlines())


def from_main(tree: Any) -> Any:
    """Sends process 0's arrays to every process."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(tree))


def all_agree(good: bool) -> bool:
    """Returns True if the value is true in every process; all must ask."""
    return bool(gather_processes(np.bool_(good)).all())


def part() -> None:
    """Disconnects the processes: called by all at one point, before process 0 goes on alone."""
    global _watch
    if _watch is None:
        return
    multihost_utils.sync_global_devices("part")
    _watch.close()
    _watch = None
    jax.distributed.shutdown()


def wait_for_news() -> None:
    """Waits until this process's watch has noticed a lost peer; does not return if there is one."""
    if _watch is not None:
        time.sleep(BEAT_SECONDS)


def leave(code: int) -> None:
    """Ends a process that cannot wait for the others; returns where there are none.

    The others end with the same code.
    """
    if _watch is not None:
        _watch.leave(code)
        logging.shutdown()
        os._exit(code)
