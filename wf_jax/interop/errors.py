"""The one error of importing published weights."""


class WeightImportError(ValueError):
    """A weight file or its configuration cannot be used; one line: where, what and the remedy."""
