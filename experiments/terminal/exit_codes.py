"""Exit codes of an unfinished run; 1 is for one that failed, or for several that all did."""

PARTIAL = 65  # of several captures some failed, mostly for their files, or another process has them
AGAIN = 75  # after SIGTERM: the same command goes on (as wf_jax.training.distributed has it)
INTERRUPTED = 130  # by Ctrl-C, as shells have it
