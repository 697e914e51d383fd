"""The one error of importing published weights."""

from wf_jax.errors import UserError


class WeightImportError(UserError):
    """A weight file or its configuration cannot be used; one line: where, what and the remedy."""
