"""Tries other recipes for a capture than the default's, over the same number of samples.

    python -m experiments.train --config=a2_capture \
        --sweep=experiments/configs/sweep_recipe.py --workdir=runs/recipes \
        --config.data.input=di.wav --config.data.output=amp.wav
    python -m experiments.runs runs/recipes

A change of the number of windows or of their length keeps the samples that are trained on.
"""

from typing import Any

STEPS = 150  # of 16 windows of 8,192 samples


def get_sweep() -> list[dict[str, Any]]:
    """Sixteen windows a step, and one change at a time."""
    changes: list[dict[str, Any]] = [
        {},
        {"train.learning_rate": 0.01},
        {"train.learning_rate": 0.03},
        {"train.hold": 0.3},
        {"train.hold": 0.8},
        {"train.batch_size": 8, "train.steps": 2 * STEPS},
        {"train.batch_size": 4, "train.steps": 4 * STEPS},
        {"train.batch_size": 8, "train.steps": 2 * STEPS, "train.learning_rate": 0.01},
        {"train.window": 4096, "train.steps": 2 * STEPS},
        {"train.window": 16384, "train.batch_size": 8},
        {"loss.mrstft": 0.0},
        {"loss.mrstft": 0.002},
        {"train.weight_decay": 0.0},
    ]
    return [{"train.steps": STEPS, "train.batch_size": 16} | change for change in changes]
