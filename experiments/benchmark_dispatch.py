"""Measure what a training step costs the host, beside what it costs the devices.

    python -m experiments.benchmark_dispatch --task=a2 --task=waveflow_64 --task=waveflow_tiny

Per step: the whole time, what the host spends on sending it (its own work; the devices compute
meanwhile, on a CPU on the same cores), what it waits for batches, and the share of both. Steps are
sent as the training loop sends them, one dispatch ahead; medians of rounds.
"""

from absl import flags

from experiments.benchmarks.steps import TASKS, measure
from experiments.terminal.start import start
from wf_jax.training.settings import OPTIMIZERS

flags.DEFINE_multi_enum("task", ["a2"], TASKS, "What to measure; may be repeated")
flags.DEFINE_multi_enum("optimizer", ["adam"], OPTIMIZERS, "Of the steps; may be repeated")
flags.DEFINE_multi_integer("substeps", [1, 8], "Steps per dispatch; may be repeated")
flags.DEFINE_float("seconds", 20.0, "Of a round, two dispatches at least", 0.1)
flags.DEFINE_integer("rounds", 3, "Rounds that count", 1)

if __name__ == "__main__":
    start(measure, "--task=a2")
