"""Compact audio WaveNets in JAX: likelihood vocoders and Neural Amp Modeler captures."""

__version__ = "0.1.0"
