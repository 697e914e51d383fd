"""The native engine: plain WaveNets played on a CPU by code that is compiled for their shape.

`shapes.py` says what it plays, `plan.py` lays out the arena, one array of float32 for weights,
memory and scratch, as `steps.py` and `target.py` describe it, and `weights.py` fills it. `emit.py`,
`activations.py`, `tiles.py`, `layers.py` and `program.py` write the block function as LLVM IR with
explicit vectors, `objects.py` compiles and keeps it, `engine.py` calls it, and `blocks.py` and
`stretches.py` play live audio and whole files. The code holds no weights: one object serves every
model of a shape.
"""
