"""What every command line does first."""

import sys

from absl import flags, logging


def quiet() -> None:
    """Hides what libraries log below warnings, unless --verbosity asks for it."""
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)


def parse_config_flags(argv: list[str]) -> list[str]:
    """Parses flags for `app.run`; what a config does not have is one line, not a traceback."""
    config = next((a.partition("=")[2] for a in argv if a.startswith("--config=")), "the config")
    try:
        return flags.FLAGS(argv)
    except KeyError as error:
        sys.exit(f"{error.args[0].split(' on ')[0]} in {config}; that file lists every option")
    except flags.Error as error:
        # An error inside the config file comes as a traceback in a message: its end is the reason.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        sys.exit(lines[-1] if "Traceback" in str(error) else "\n".join(lines))
