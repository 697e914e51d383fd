"""Passes of training over whole windows, forward and backward, as code of the native engine.

`shapes.py` says what can be trained so, `plan.py` lays out the signals of one window and the calls
that fill them, `kernels.py` and `products.py` write the backward pass's functions as LLVM IR,
`program.py` puts a pass together, and `valid.py` makes it a function of JAX.
"""
