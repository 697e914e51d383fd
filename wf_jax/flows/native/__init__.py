"""WaveFlow's synthesis on a CPU: latent to audio by code that is compiled for the net's shape.

`shapes.py` says what it decodes. `kernel.py` has the sizes, `gate.py`, `tiles.py` and `program.py`
write the code, `weights.py` and `layout.py` fill the memory that it works on and list its steps,
and `decoder.py` runs it.
"""
