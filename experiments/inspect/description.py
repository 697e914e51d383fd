"""Describes .nam files for a terminal."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from wf_jax.amps.amp_files import read_amp
from wf_jax.amps.nam_file import NamFile, parse
from wf_jax.command_lines import command
from wf_jax.errors import UserError, printable

if TYPE_CHECKING:
    from wf_jax.amps.describe import Cost
    from wf_jax.amps.model import AmpModel

RATE = 48000.0  # of a file that does not say


def describe(names: Sequence[str]) -> int:
    """Describes every file, and names those that cannot be used; the exit code is then 1.

    Raises:
        UserError: no file is named.
    """
    if not names:
        raise UserError(f"name a file: {command('inspect', 'amp.nam')}")
    failed = False
    for path in names:
        try:
            file = read_amp(path)
            from wf_jax.amps.amp_files import model_of  # and with it JAX

            print("\n".join(lines(file, model_of(file))))
        except UserError as error:
            print(error, file=sys.stderr)
            failed = True
    return int(failed)


def lines(file: NamFile, model: "AmpModel") -> Iterator[str]:
    """Describes a file; yields printable lines."""
    rate = "rate not given (48,000 Hz is usual)"
    if model.sample_rate is not None:
        rate = f"{model.sample_rate:,g} Hz"
    yield f"{printable(str(file.source))}: {file.architecture}, file version {file.version}, {rate}"
    yield from (f"  {key:<18} {value}" for key, value in _metadata(file.metadata))
    yield from _model(file, model, "  ")


def _model(file: NamFile, model: "AmpModel", indent: str) -> Iterator[str]:
    """Describes one model; yields those inside a container one after the other."""
    from wf_jax.amps.container import SlimmableContainer
    from wf_jax.amps.describe import cost_of, words

    if isinstance(model, SlimmableContainer):
        low = 0.0
        for i, (submodel, high) in enumerate(zip(model.models, model.max_values, strict=True)):
            document = file.config["submodels"][i]["model"]
            last = i + 1 == len(model.models)
            yield f"{indent}sizes from {low:g} {'up' if last else f'to below {high:g}'}:"
            yield from _model(parse(document, file.source), submodel, f"{indent}  ")
            low = high
        return
    yield f"{indent}{'; '.join(words(model))}"
    rate = model.sample_rate or RATE
    for size in (*model.breakpoints, 1.0) if model.breakpoints else (None,):
        cost = cost_of(model if size is None else model.at_size(size - 1e-9 if size < 1 else 1.0))
        sized = "" if size is None else f"below size {size:g}: " if size < 1 else "full size: "
        yield f"{indent}{sized}{_cost(cost, rate)}"
    field = model.receptive_field
    if field > 1:
        yield f"{indent}receptive field {field:,} samples ({1000 * field / rate:.1f} ms)"
    else:
        yield f"{indent}remembers all it has played (its receptive field has no end)"
    yield f"{indent}played by {_engine(model)}"


def _cost(cost: "Cost", rate: float) -> str:
    return (
        f"{cost.parameters:,} parameters, {cost.macs:,} multiply-adds per sample "
        f"({cost.macs * rate / 1e6:,.1f} million per second), a memory of {cost.state:,} numbers"
    )


def _engine(model: "AmpModel") -> str:
    from wf_jax.amps.engines import why_not_natively

    reason = why_not_natively(model)
    return f"JAX; of the native engine: {reason}" if reason else "the native engine"


def _metadata(metadata: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in metadata.items():
        if value is None or key == "training":
            continue
        if key == "date" and isinstance(value, dict):
            numbers = [value.get(part) for part in ("year", "month", "day", "hour", "minute")]
            if all(isinstance(number, int) for number in numbers):
                value = "{:04}-{:02}-{:02} {:02}:{:02}".format(*numbers)
        elif isinstance(value, float):
            value = f"{value:.4g}"
        yield printable(key), printable(" ".join(str(value).split())[:100])
