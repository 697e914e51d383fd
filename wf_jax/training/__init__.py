"""What every training run shares; it knows nothing about audio."""
