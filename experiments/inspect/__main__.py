"""Describes .nam files: python -m experiments.inspect amp.nam [more.nam ...].

Of every model in it: architecture, sizes, receptive field, parameters, arithmetic per sample, and
what plays it; with the reason where that is not the native engine.
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from absl import app

from experiments.terminal.start import parse_flags, set_up
from wf_jax.amps.amp_files import read_amp
from wf_jax.amps.nam_file import NamFile, parse
from wf_jax.errors import UserError, printable

if TYPE_CHECKING:
    from wf_jax.amps.describe import Cost
    from wf_jax.amps.model import AmpModel

RATE = 48000.0  # of a file that does not say


def main(argv: list[str]) -> None:
    """Describes every file; names those that cannot be used, and then returns exit code 1."""
    set_up()
    if len(argv) < 2:
        sys.exit("name a file: python -m experiments.inspect amp.nam")
    failed = False
    for path in argv[1:]:
        try:
            file = read_amp(path)
            from wf_jax.amps.amp_files import model_of  # and with it JAX

            print("\n".join(_lines(file, model_of(file))))
        except UserError as error:
            print(error, file=sys.stderr)
            failed = True
    sys.exit(1 if failed else 0)


def _lines(file: NamFile, model: "AmpModel") -> Iterator[str]:
    rate = (
        "rate not given (48,000 Hz is usual)"
        if model.sample_rate is None
        else (f"{model.sample_rate:,g} Hz")
    )
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


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
