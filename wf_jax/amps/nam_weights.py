"""The weights of a .nam file into a model, after their number was checked; or fresh ones."""

from collections.abc import Callable
from typing import TypeVar

from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_file import NamFile, NamFileError
from wf_jax.amps.nam_limits import ARRAYS, FRESH, MOST, count, count_model
from wf_jax.amps.weights import Shapes, Stream, TooManyArraysError, Uniform, Weights

Model = TypeVar("Model", bound=AmpModel)


def filled(create: Callable[[Weights], Model], file: NamFile) -> Model:
    """The model that `create` makes of the weights of `file`, or of fresh ones if it asks for them.

    Raises:
        NamFileError: it asks for more weights than there are, or for fewer, or for more than may
            be; found out before anything is built.
    """
    check(create, file)
    return create(Stream(file.weights) if file.fresh is None else Uniform(file.fresh))


def check(create: Callable[[Weights], AmpModel], file: NamFile) -> None:
    """Counts what `create` asks for.

    Raises:
        NamFileError: it asks for more weights than there are, or for fewer, or for more than may
            be.
    """
    shapes = Shapes(most=MOST[ARRAYS] - file.totals[ARRAYS])
    try:
        model = create(shapes)
    except TooManyArraysError:
        count(file, ARRAYS, shapes.arrays)
    count(file, ARRAYS, shapes.arrays)
    count_model(file, model)
    if file.fresh is not None:
        count(file, FRESH, shapes.count)
    elif len(file.weights) != shapes.count:
        raise NamFileError(
            f"{file.source}: {len(file.weights)} weights; a {type(model).__name__} of this config "
            f"has {shapes.count}"
        )
