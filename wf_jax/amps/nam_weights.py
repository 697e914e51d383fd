"""The weights of a .nam file into a model, after their number was checked; or fresh ones."""

from collections.abc import Callable
from typing import TypeVar

from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_file import NamFile, NamFileError
from wf_jax.amps.weights import Shapes, Stream, Uniform, Weights

Model = TypeVar("Model", bound=AmpModel)


def filled(create: Callable[[Weights], Model], file: NamFile) -> Model:
    """The model that `create` makes of the weights of `file`, or of fresh ones if it asks for them.

    Raises:
        NamFileError: it asks for more weights than there are, or for fewer; found out before
            anything is built.
    """
    if file.fresh is not None:
        return create(Uniform(file.fresh))
    shapes = Shapes()
    name = type(create(shapes)).__name__
    if len(file.weights) != shapes.count:
        raise NamFileError(
            f"{file.source}: {len(file.weights)} weights; a {name} of this config has "
            f"{shapes.count}"
        )
    return create(Stream(file.weights))
