"""Neural Amp Modeler (NAM) models: the WaveNet, A2, and the .nam file."""
