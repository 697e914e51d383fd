"""Playing a model live: what experiments.live does behind its flags."""
