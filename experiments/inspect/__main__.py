"""Describes .nam files: python -m experiments.inspect amp.nam [more.nam ...].

Of every model in it: architecture, sizes, receptive field, parameters, arithmetic per sample, and
what plays it; with the reason where that is not the native engine.
"""

from experiments.inspect.description import describe
from experiments.terminal.start import start

if __name__ == "__main__":
    start(describe)
