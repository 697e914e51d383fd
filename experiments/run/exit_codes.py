"""Exit codes of a run that did not come to its end, beside 1 for one that cannot."""

AGAIN = 75  # after SIGTERM: the same command goes on (as wf_jax.training.distributed has it)
INTERRUPTED = 130  # by Ctrl-C, as shells have it
