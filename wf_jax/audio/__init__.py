"""Audio features as jnp functions."""
