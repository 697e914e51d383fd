"""Command lines: python -m experiments.NAME --help."""

import os

# XLA's own log lines, errors of which come as exceptions too; read when its library is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
