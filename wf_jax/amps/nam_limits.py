"""The size limits of a model in a .nam file: far above every sensible one, and still playable.

Files come from strangers. What one asks for is counted before any of it is made; a model at every
limit compiles within seconds and plays in less than 1 GiB.
"""

import jax
from flax import nnx

from wf_jax.amps.linear import Linear
from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_file import NamFile
from wf_jax.amps.recurrent import Recurrent
from wf_jax.amps.wavenet_layer import Conv, Pointwise
from wf_jax.errors import UserError

MOST_SIGNAL = 1 << 26  # numbers in what one convolution makes of CHUNK samples; 256 MiB
CHUNK = 1 << 13  # as a CPU plays them, so that the same files are taken everywhere

# Of all models in one file together; in parentheses the keys that they depend on. On two cores
# 2048 arrays are built in 0.7 s, and 4096 taps compiled in 6 s.
ARRAYS = "arrays of weights (layers)"
TAPS = "taps (kernel_size)"
MEMORY = "numbers of memory (kernel_size, dilations, channels)"
PRODUCTS = "multiplications per sample (channels, groups)"
PREWARM = "multiplications before the first sample (num_layers, hidden_size, sample_rate)"
FRESH = "new weights (channels)"
MOST = {
    ARRAYS: 1 << 11,
    TAPS: 1 << 12,
    MEMORY: 1 << 26,
    PRODUCTS: 1 << 24,
    PREWARM: 50_000_000_000,
    FRESH: 10_000_000,
}


def count(file: NamFile, what: str, number: int) -> None:
    """Adds to the totals of the whole file.

    Raises:
        UserError: a total is now above MOST.
    """
    file.totals[what] += number
    if file.totals[what] > MOST[what]:
        raise UserError(
            f"{file.source}: config asks for more than {MOST[what]:,} {what}, with all models of "
            "this file together"
        )


def count_model(file: NamFile, model: AmpModel) -> None:
    """Counts the cost of playing a model; its weights may be shapes only.

    Raises:
        UserError: the file asks for more than MOST, or a convolution for more than MOST_SIGNAL.
    """
    if isinstance(model, Linear):
        count(file, MEMORY, model.receptive_field * model.input_channels)
    if isinstance(model, Recurrent):
        # A step of a cell costs as much as a thousand weights, at least.
        kernels = (leaf.size for leaf in jax.tree.leaves(model.cells) if leaf.ndim > 1)
        step = sum(kernels) + 1000 * len(model.cells)
        count(file, PREWARM, model.prewarm_samples * step)
    # A condition model counts again in the model that it conditions.
    for _, part in nnx.iter_modules(model):
        if isinstance(part, Conv | Pointwise):
            count(file, PRODUCTS, part.kernel.size * part.groups)  # as `layers.dense` has them
        if isinstance(part, Conv):
            _count_convolution(file, part.kernel, part)


def _count_convolution(file: NamFile, kernel: jax.ShapeDtypeStruct, conv: Conv) -> None:
    outputs, inputs, taps = kernel.shape
    count(file, TAPS, taps)
    count(file, MEMORY, conv.lookback * inputs * conv.groups)
    signal = taps * outputs * (conv.lookback + CHUNK)
    if signal > MOST_SIGNAL:
        raise UserError(
            f"{file.source}: config: {taps:,} taps (kernel_size) for {outputs:,} channels over "
            f"{conv.lookback:,} samples (dilations) take {signal:,} numbers; {MOST_SIGNAL:,} are "
            "the most"
        )
