"""Evaluates a trained vocoder on the held-out clips of its corpus.

    python -m experiments.evaluate --workdir=RUN

Likelihood of every clip, and how good its resynthesis is, beside Griffin-Lim from the same mel and
WORLD from the recording; docs/voice.md says what each score is. PESQ, Zimtohrli, WORLD and its
pitch take the extra `judge`. The numbers go to RUN/evaluation.json too, and the first four clips
can be heard on RUN/evaluation.html.
"""

from absl import flags

from experiments.terminal.start import start
from experiments.vocoder.run_evaluation import evaluate

flags.DEFINE_string("workdir", None, "Folder of the training run")
flags.DEFINE_string("corpus", None, "Another prepared corpus than the run's own")
flags.DEFINE_integer("clips", None, "How many held-out clips; all if left out", 1)
flags.DEFINE_string(
    "output", None, "JSON file; RUN/evaluation.json if left out; the page is beside it"
)

if __name__ == "__main__":
    start(evaluate, "--workdir=RUN")
