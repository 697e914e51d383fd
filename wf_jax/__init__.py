"""Compact audio WaveNets in JAX: likelihood vocoders and Neural Amp Modeler captures."""
