"""Cases of experiments.benchmark."""
