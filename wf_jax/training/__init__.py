"""The training loop and its parts, which know nothing about audio."""
