"""One training step of ours beside the NAM trainer's, alternately, on the same machine.

    python -m experiments.benchmark_capture --trainer_python=PATH

PATH is a Python that has `neural-amp-modeler` installed, in an environment of its own. A step
is forward, backward, both losses and the update of nano and standard: 16 windows of 8192 samples.
"""

from absl import flags

from experiments.benchmarks.capture import compare_steps
from experiments.terminal.start import start
from wf_jax.native.engines import AUTO, ENGINES

flags.DEFINE_string("trainer_python", None, "A Python with neural-amp-modeler")
flags.DEFINE_enum("engine", AUTO, ENGINES, "Of our passes: machine code, or JAX's")
flags.DEFINE_integer("rounds", 9, "Steps of each that count", 1)

if __name__ == "__main__":
    start(compare_steps, "--trainer_python=PATH")
