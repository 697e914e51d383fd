"""Machine code for losses of spectra, on CPUs.

Begin with `distances.py`, which JAX calls; `program.py` writes what one row of audio takes,
`fourier.py` the transforms, and `spectra.py` what happens between them.
"""
