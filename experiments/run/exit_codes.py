"""Exit codes of an unfinished run; 1 is for one that failed."""

AGAIN = 75  # after SIGTERM: the same command goes on (as wf_jax.training.distributed has it)
INTERRUPTED = 130  # by Ctrl-C, as shells have it
