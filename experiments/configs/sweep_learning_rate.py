"""Sweeps the learning rate of a capture: four values, two seeds each, eight runs in a row.

    python -m experiments.train --config=a2_capture \
        --sweep=experiments/configs/sweep_learning_rate.py --workdir=runs/rates \
        --config.data.input=di.wav --config.data.output=amp.wav --config.train.epochs=40
    python -m experiments.runs runs/rates

In epochs, not in minutes, so that all take the same steps. 40 epochs of a minute of DI are 720
steps, about 3 minutes on two CPU cores. `a2_capture:demo` needs no recordings.
"""

from typing import Any


def get_sweep() -> list[dict[str, Any]]:
    """Returns the options of each trial; all others come from the config and command line."""
    return [
        {"train.learning_rate": rate, "train.seed": seed}
        for rate in (0.005, 0.01, 0.02, 0.04)
        for seed in (0, 1)
    ]
