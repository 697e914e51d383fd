"""Fills a model with the weights of a .nam file, once their number was checked, or fresh ones."""

from collections.abc import Callable
from typing import TypeVar

from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_file import NamFile
from wf_jax.amps.nam_limits import ARRAYS, FRESH, count, count_model
from wf_jax.amps.weights import FileWeights, Shapes, Uniform, Weights
from wf_jax.errors import UserError

Model = TypeVar("Model", bound=AmpModel)


def filled(create: Callable[[Weights], Model], file: NamFile) -> Model:
    """Builds a model by `create` from the weights of `file`, or from fresh ones if `file.fresh`.

    Raises:
        UserError: it asks for more weights than there are, or for fewer, or for more than may
            be; found out before anything is built.
    """
    check(create, file)
    return create(FileWeights(file.weights) if file.fresh is None else Uniform(file.fresh))


def check(create: Callable[[Weights], AmpModel], file: NamFile) -> None:
    """Counts what `create` asks for.

    Raises:
        UserError: it asks for more weights than there are, or for fewer, or for more than may be.
    """
    shapes = Shapes(lambda: count(file, ARRAYS, 1))
    model = create(shapes)
    count_model(file, model)
    if file.fresh is not None:
        count(file, FRESH, shapes.count)
    elif len(file.weights) != shapes.count:
        raise UserError(
            f"{file.source}: {len(file.weights)} weights; a {type(model).__name__} of this config "
            f"has {shapes.count}"
        )
