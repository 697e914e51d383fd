"""Part `parity`: compares the device with float64 on the host's CPU, same seeds and weights."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from experiments.accelerator import (
    parity_amps,
    parity_audio,
    parity_flows,
    parity_training,
)
from experiments.accelerator.parity_checks import Check, Errors
from experiments.accelerator.report import Options, Report
from wf_jax.platforms import available_cores

MOST_THREADS = 4  # programs that are compiled at the same time

NOTES = (
    "Parity is to float64 on the host's CPU. Errors are the largest difference over the RMS of the "
    "float64 result; of log_det and log-likelihood the difference in nats per sample, of gradients "
    "and of the change of parameters the length of the difference over that of the float64 vector. "
    "'Round trip' is x -> z -> x against x itself.",
    "Tolerances of flows are those of float32 plus what rounded factors of products may do: to 8 "
    "bits in bfloat16; at the default precision to 11 bits on a GPU (TF32), to 8 on a TPU, not at "
    "all on a CPU. Weights are random: a trained flow amplifies more on the way to z. Amps, mel, "
    "losses and training are float32 at full precision on every device.",
)


def measure(report: Report, options: Options) -> None:
    """Adds one row for each check, most valuable first, and counts those within tolerance."""
    pool = ThreadPoolExecutor(min(available_cores(), MOST_THREADS))
    try:
        # Begun in the order of their value: while one is compiled, another one is traced.
        begun = [(check, pool.submit(check.errors)) for check in _checks(options, pool)]
        _promise(report, [check for check, _ in begun])
        within = [check.report(report, _waiting(report, future)) for check, future in begun]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    report.note(f"{sum(within)} of {len(within)} rows are within tolerance.")
    for note in NOTES:
        report.note(note)


def _checks(options: Options, pool: ThreadPoolExecutor) -> Iterator[Check]:
    """Returns all checks, the most valuable first."""
    small = options.small
    flows, amps = parity_flows.cases(small), parity_amps.cases(options.folder, small)
    yield from flows.pop("h16").checks(pool, small)
    for name in [name for name in amps if name.startswith("A2")]:
        yield amps.pop(name).check(small)
    yield from parity_training.checks(small)
    yield from parity_audio.checks(small)
    for flow in flows.values():
        yield from flow.checks(pool, small)
    for amp in amps.values():
        yield amp.check(small)


def _promise(report: Report, checks: list[Check]) -> None:
    """Adds rows of tolerances to the top of the tables, one for all checks that share them."""
    rows = dict.fromkeys((check.table, tuple(check.promise.items())) for check in checks)
    for table, cells in rows:
        report.row(table, **dict(cells))


def _waiting(report: Report, future: "Future[Errors]") -> Callable[[], Errors]:
    """Waits for the result of another thread, but no longer than there is time."""

    def result() -> Errors:
        try:
            return future.result(max(report.seconds_left, 0.0))
        except TimeoutError:
            raise TimeoutError("no time left") from None

    return result
