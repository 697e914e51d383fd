"""What every command line does first."""

from absl import flags, logging


def quiet() -> None:
    """Hides what libraries log below warnings, unless --verbosity asks for it."""
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
