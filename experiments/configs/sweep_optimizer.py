"""Compares both optimizers of captures, three seeds each, after equal steps.

    python -m experiments.train --config=a2_capture \
        --sweep=experiments/configs/sweep_optimizer.py --workdir=runs/optimizers \
        --config.train.steps=300 \
        --config.data.input=di.wav --config.data.output=amp.wav
    python -m experiments.runs runs/optimizers

Each has its own learning rate, schedule and number of windows per step;
--config.train.batch_size=16 gives both as many.
"""

from typing import Any


def get_sweep() -> list[dict[str, Any]]:
    """Returns six trials."""
    return [
        {"train.optimizer": optimizer, "train.seed": seed}
        for seed in (0, 1, 2)
        for optimizer in ("soap", "adam")
    ]
