"""Training passes over whole windows, forward and backward, as code of the native engine.

`shapes.py` says which models can be trained so. `signals.py`, `forward.py` and `backward.py` lay
out the signals of one window and the calls that fill them, which `plan.py` joins. `kernels.py` and
`products.py` write the backward pass's functions as LLVM IR, `program.py` puts passes together,
`passes.py` compiles them, and `valid.py` makes them a function of JAX.
"""
