"""Compares SOAP at several rates with Adam on a small vocoder, after equal steps.

python -m experiments.train --config=waveflow:tiny \
        --sweep=experiments/configs/sweep_vocoder_optimizer.py --workdir=runs/vocoder_optimizers \
        --config.train.steps=300 --config.data.corpus=CORPUS
python -m experiments.runs runs/vocoder_optimizers
"""

from typing import Any

RATES = (0.001, 0.002, 0.004, 0.008)


def get_sweep() -> list[dict[str, Any]]:
    """Adam at the config's own rate, SOAP at four, and with windows or clipping changed."""
    changes: list[dict[str, Any]] = [{"train.learning_rate": rate} for rate in RATES]
    changes += [{"train.batch_size": 8}, {"train.clip_norm": 0.0}, {"train.hold": 0.6}]
    return [{"train.optimizer": "adam"}, *({"train.optimizer": "soap"} | c for c in changes)]
