"""Audio files to arrays: reading, checking, aligning and splitting. Does not import jax."""
