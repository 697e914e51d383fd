"""A published checkpoint and its configuration, read from their files as a model."""

from typing import TYPE_CHECKING

from wf_jax.errors import UserError
from wf_jax.interop.files import read_arrays
from wf_jax.interop.source_config import read_config

if TYPE_CHECKING:
    from wf_jax.flows.flow import Flow

# The function of wf_jax.interop that makes a model of a source's arrays.
IMPORTERS = {
    "parakeet": "from_parakeet",
    "l0sg": "from_l0sg",
    "nvidia": "from_nvidia_waveglow",
}


def read_checkpoint(path: str, source: str, source_config: str) -> "Flow":
    """Reads the model of a published checkpoint.

    Args:
        path: of the checkpoint.
        source: whose it is, one of IMPORTERS.
        source_config: path of the configuration that it was trained with.

    Raises:
        UserError: a file cannot be used, or the two do not belong together.
    """
    from wf_jax import interop  # and with it JAX

    config, arrays = read_config(source_config), read_arrays(path)
    try:
        return getattr(interop, IMPORTERS[source])(arrays, config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
