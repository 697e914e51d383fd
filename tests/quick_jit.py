"""`jax.jit` for tests of mathematics on a handful of numbers."""

from functools import partial

import jax

# Compiled in half the time; what it computes takes longer.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
