"""Machine code that is made for the shape of a model: what amps and flows have in common.

`target.py` knows the processor, `emit.py` writes LLVM IR with explicit vectors, `machine_code.py`
compiles it and keeps it, `memory.py` holds what it works on, `engines.py` decides whether it plays.
"""
