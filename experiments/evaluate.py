"""Evaluates a trained vocoder on the held-out clips of its corpus.

    python -m experiments.evaluate --workdir=RUN

Likelihood of every clip, and how far its resynthesis is from the original: see
wf_jax.audio.quality for the measures. The numbers go to RUN/evaluation.json too.
"""

from pathlib import Path

from absl import flags

from experiments.terminal.start import start
from experiments.vocoder.run_evaluation import evaluate

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training run", required=True)
_CORPUS = flags.DEFINE_string("corpus", None, "Another prepared corpus than the run's own")
_CLIPS = flags.DEFINE_integer("clips", None, "How many held-out clips; all if left out", 1)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file; RUN/evaluation.json if left out")


def main() -> None:
    """Evaluates one run."""
    evaluate(Path(_WORKDIR.value), _CORPUS.value, _CLIPS.value, _OUTPUT.value)


if __name__ == "__main__":
    start(main, "--workdir=RUN")
