"""The native engine: plain WaveNets played on a CPU by code that is compiled for their shape.

`shapes.py` says what it plays, `plan.py` lays out one arena of float32 for weights, memory and
scratch, `weights.py` fills it, `emit.py`, `activations.py`, `layers.py` and `program.py` write the
block function as LLVM IR with explicit vectors, `objects.py` compiles and keeps it, and `engine.py`
calls it. The code holds no weights: one object serves every model of a shape.
"""
