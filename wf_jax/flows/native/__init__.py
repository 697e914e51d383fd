"""Decoding of WaveFlows on a CPU, by code that is compiled for their shape."""
