"""From audio files to arrays: reading, checking, aligning and splitting. No jax here."""
