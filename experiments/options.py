"""Lists every option of a config: type, default and meaning.

    python -m experiments.options a2_capture
    python -m experiments.options waveflow:64

On a command line an option is written --config.NAME=VALUE.
"""

from experiments.terminal.options_help import print_options
from experiments.terminal.start import start

if __name__ == "__main__":
    start(print_options)
