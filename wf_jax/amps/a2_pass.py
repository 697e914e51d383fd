"""A fast forward pass of A2 on CPU over one sequence: whole files by `scan`, live audio by `block`.

The function is that of a `WaveNet` as `a2.py` describes it, to float32 rounding. Figures are of one
core of an EPYC with AVX-512 on which a large float32 product reaches 92 to 105 GFLOP/s.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
from jax import lax

from wf_jax.amps.a2 import DILATIONS, HEAD_KERNEL_SIZE, KERNEL_SIZES, NEGATIVE_SLOPE
from wf_jax.amps.wavenet import WaveNet

# For the `jax.jit` around `block` or `scan`: LANES floats are one AVX-512 register. With the 256
# bits of XLA's own choice a convolution takes 1.7 times as long. Known to jax 0.10.2 and 0.12.
COMPILER_OPTIONS = {"xla_cpu_prefer_vector_width": 512}

# Whether the pass is fast. XLA of jax 0.10.2 drops `optimization_barrier` before it forms fusions:
# convolutions are computed again in every row that needs them, at 14 and 0.7 times real time where
# the general pass makes 185 and 44 (the results are right).
IS_FAST = jax.__version_info__ >= (0, 12)

LANES = 16
ROWS = 24  # inputs of one sum of products: of 48 a third leaves the 32 registers and comes back
GROUP = 4  # layers whose activations are added to the head's input in one go

LOOKBACKS = (
    *((taps - 1) * dilation for taps, dilation in zip(KERNEL_SIZES, DILATIONS, strict=True)),
    HEAD_KERNEL_SIZE - 1,
)
# Columns that are kept per convolution: whole lanes, so that new columns are written aligned.
SPANS = tuple(-(-lookback // LANES) * LANES for lookback in LOOKBACKS)
ENDS = tuple(itertools.accumulate(SPANS))

# [C, sum(SPANS)]: the last columns that each convolution saw, side by side. The first one saw the
# audio, which stands in row 0. One array, since 24 of them cost 60 us per call.
State = jax.Array
# (index, h [I, T / 16, 16]) -> what convolution `index` sees, [I, (span + T) / 16, 16].
Join = Callable[[int, jax.Array], jax.Array]


class Layer(NamedTuple):
    """Weights of one layer; I = 1 in the first layer, else C.

    The first layer sees the audio itself: the 1x1 convolution before it is multiplied into its
    kernel, which leaves 6 of the 18 products per output in nano, 6 of 48 in standard.
    """

    mixin: jax.Array  # [C]
    bias: jax.Array  # [C]
    kernel: jax.Array  # [K * I, C], the oldest tap first
    layer1x1: jax.Array  # [I, C]
    layer1x1_bias: jax.Array  # [C]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class A2Pass:
    """The weights of an A2 model, packed: as single arrays they cost 45 to 65 us per call.

    Attributes:
        columns: [N, C]: the 1x1 convolution from the audio, then the weights of each `Layer`.
        head: [16, C], times head_scale.
        head_bias: [1], times head_scale.
        sample_rate: Hz, or None where the model's file does not say.
    """

    columns: jax.Array
    head: jax.Array
    head_bias: jax.Array
    sample_rate: float | None = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(cls, model: WaveNet) -> Self:
        """Packs the weights of an A2 model."""
        (array,) = model.arrays
        rechannel = array.rechannel.kernel[...][:, 0]  # [C, 1]
        columns = [rechannel.T]
        for index, layer in enumerate(array.layers):
            kernel = layer.conv.kernel[...]  # [O, I, K]
            if index == 0:
                kernel = jnp.einsum("oik,ij->ojk", kernel, rechannel)
            columns += [
                layer.mixin.kernel[...].T,
                layer.conv_bias[...][None],
                kernel.transpose(2, 1, 0).reshape(-1, len(kernel)),
                layer.layer1x1.kernel[...].T,
                layer.layer1x1.bias[...][None],
            ]
        return cls(
            jnp.concatenate(columns),
            head=model.head_scale * array.head.kernel[...][0].T,
            head_bias=model.head_scale * array.head.bias[...],
            sample_rate=model.sample_rate,
        )

    @property
    def channels(self) -> int:
        """3 (nano) or 8 (standard)."""
        return self.columns.shape[1]

    @property
    def receptive_field(self) -> int:
        """Input samples that one output sample depends on: 6347."""
        return 1 + sum(LOOKBACKS)

    @property
    def finite_memory(self) -> bool:
        """True: an output depends on no more than `receptive_field` samples."""
        return True

    @property
    def input_channels(self) -> int:
        """Mono."""
        return 1

    @property
    def output_channels(self) -> int:
        """Mono."""
        return 1

    @property
    def chunk(self) -> int:
        """Samples that `scan` computes at once; half or twice as many cost up to 7 %."""
        return 4096 if self.channels == 3 else 2048

    def silence(self) -> State:
        """The state after endless silence: every signal is constant, a kernel acts as its sum."""
        rechannel, layers = self._unpack()
        h = total = jnp.zeros_like(rechannel)
        seen = []
        for index, layer in enumerate(layers):
            seen.append(h)
            inputs = h if index else h[:1]  # silence, in the audio as in the channels
            taps = jnp.tile(inputs, KERNEL_SIZES[index])
            a = _leaky(layer.bias + taps @ layer.kernel)
            total = total + a
            h = h + a @ layer.layer1x1 + layer.layer1x1_bias
        seen.append(total)
        histories = [
            jnp.broadcast_to(column[:, None], (self.channels, span))
            for column, span in zip(seen, SPANS, strict=True)
        ]
        return jnp.concatenate(histories, axis=1)

    def block(
        self, state: State, x: jax.Array, count: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """The next samples of one sequence; donate the state, which then is changed in place.

        Args:
            state: of `silence`, `block` or `scan`.
            x: [1, T], any T; computed in multiples of 16.
            count: int32 scalar in 0..T where only the first `count` samples are real: the state
                advances by so many, and the rest of y means nothing.

        Returns:
            State, y [1, T].
        """
        length = x.shape[1]
        advance = length if count is None else count

        def join(index: int, h: jax.Array) -> jax.Array:
            nonlocal state
            history = _history(state, index).reshape(len(h), -1, LANES)
            seen = lax.optimization_barrier(jnp.concatenate([history, h], axis=1))
            kept = lax.dynamic_slice_in_dim(_flat(seen), advance, SPANS[index], axis=1)
            state = lax.dynamic_update_slice(state, kept, (0, ENDS[index] - SPANS[index]))
            # Later histories are read from the changed state: reading them from the old one
            # would keep both alive, and the change would be a copy of the whole.
            seen, state = lax.optimization_barrier((seen, state))
            return seen

        lanes = jnp.pad(x[0], (0, -length % LANES)).reshape(-1, LANES)
        y = lax.optimization_barrier(self)._run(join, lanes)
        return state, y[None, :length]

    def scan(
        self, state: State, x: jax.Array, chunks: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """`block` over chunks that fit a cache: x [1, n * chunk] -> (state, y).

        What a convolution sees, history and chunk side by side, stays in one buffer that every
        step changes in place. Histories that are joined with a chunk, cut off again and carried
        on are copied three times: a quarter of the whole time.

        Args:
            state: of `silence`, `block` or `scan`.
            x: [1, n * chunk].
            chunks: int32 scalar in 0..n where only so many are real; y after them is 0.

        Returns:
            State, y [1, n * chunk].
        """
        columns = self.chunk // LANES
        packed = lax.optimization_barrier(self)
        parts = x.reshape(-1, columns, LANES)

        def step(index: jax.Array, carry: tuple) -> tuple:
            buffers, y = carry
            seen = []

            def join(index: int, h: jax.Array) -> jax.Array:
                buffer, span = buffers[index], SPANS[index] // LANES
                buffer = lax.dynamic_update_slice(buffer, buffer[:, columns:], (0, 0, 0))
                buffer = lax.dynamic_update_slice(buffer, h, (0, span, 0))
                seen.append(lax.optimization_barrier(buffer))
                return seen[-1]

            out = packed._run(join, lax.dynamic_index_in_dim(parts, index, keepdims=False))
            return tuple(seen), lax.dynamic_update_index_in_dim(y, out, index, axis=0)

        histories = [_history(state, index) for index in range(len(SPANS))]
        buffers = tuple(
            jnp.pad(history, ((0, 0), (self.chunk, 0))).reshape(len(history), -1, LANES)
            for history in histories
        )
        y = jnp.zeros((parts.shape[0], self.chunk), x.dtype)
        played = parts.shape[0] if chunks is None else chunks
        buffers, y = lax.fori_loop(0, played, step, (buffers, y))
        kept = [_flat(buffer[:, columns:]) for buffer in buffers]
        kept[0] = jnp.broadcast_to(kept[0], (self.channels, SPANS[0]))
        return jnp.concatenate(kept, axis=1), y.reshape(1, -1)

    def _unpack(self) -> tuple[jax.Array, list[Layer]]:
        """The 1x1 convolution from the audio [C], and the layers."""
        start, layers = 1, []
        for index, taps in enumerate(KERNEL_SIZES):
            inputs = self.channels if index else 1
            sizes = (1, 1, taps * inputs, self.channels, 1)
            stops = [start + stop for stop in itertools.accumulate(sizes)]
            mixin, bias, kernel, layer1x1, layer1x1_bias = (
                self.columns[stop - size : stop] for stop, size in zip(stops, sizes, strict=True)
            )
            layers.append(Layer(mixin[0], bias[0], kernel, layer1x1, layer1x1_bias[0]))
            start = stops[-1]
        return self.columns[0], layers

    def _run(self, join: Join, x: jax.Array) -> jax.Array:
        """Audio x [T / 16, 16] -> y [T]."""
        rechannel, layers = self._unpack()
        h, total, waiting = x[None], None, []
        for index, layer in enumerate(layers):
            seen = join(index, h)
            z = _convolve(layer, seen, index, x)
            waiting.append(z)
            if len(waiting) == GROUP and index < len(layers) - GROUP:
                total = lax.optimization_barrier(_add_activations(total, waiting))
                waiting = []
            h = seen[:, SPANS[index] // LANES :]
            h = _residual(layer, h if index else rechannel[:, None, None] * h, z)
        total = _add_activations(total, waiting).transpose(1, 0, 2)
        # A matrix product on purpose: XLA turns the body of a loop without any library call into
        # one function, which takes 1.6 times as long.
        taps = self.head @ _flat(join(len(layers), total))  # [16, 16 + T]
        rows = [lax.slice_in_dim(taps[k], k + 1, k + 1 + x.size) for k in range(HEAD_KERNEL_SIZE)]
        return _sum(rows) + self.head_bias


def _convolve(layer: Layer, seen: jax.Array, index: int, x: jax.Array) -> jax.Array:
    """Convolves a layer's input [I, (span + T) / 16, 16], audio x [T / 16, 16], to [T / 16, C, 16].

    With outputs in this order XLA's inner loop runs over C while 16 samples of every input wait in
    registers, so that each product is one instruction: 5.2 us for a layer of nano over 4096
    samples and 9.4 us for one of standard over 1024. Outputs [C, T] take 9.3 us in nano, and a
    matrix product of gathered taps with its activation 14 us in both.
    """
    rows = _flat(seen)
    inputs, taps = len(rows), KERNEL_SIZES[index]
    z = layer.bias[:, None] + layer.mixin[:, None] * x[:, None]
    for first in range(0, taps, ROWS // inputs):
        terms = [z]
        for k in range(first, min(first + ROWS // inputs, taps)):
            start = SPANS[index] - (taps - 1 - k) * DILATIONS[index]
            for i in range(inputs):
                row = lax.slice_in_dim(rows[i], start, start + x.size).reshape(-1, 1, LANES)
                terms.append(layer.kernel[k * inputs + i][:, None] * row)
        z = lax.optimization_barrier(_sum(terms))
    return z


def _residual(layer: Layer, h: jax.Array, z: jax.Array) -> jax.Array:
    """H [C, T / 16, 16], z [T / 16, C, 16] -> the next h.

    The activation is computed here, again for every output: a loop over 16 lanes of only the
    products is short enough for LLVM to unroll it before it makes vectors, and then stays scalar
    (8.4 against 3.1 us in nano). It is taken of rows, since XLA stores an activation of all of z.
    """
    terms = [h + layer.layer1x1_bias[:, None, None]]
    terms += [weights[:, None, None] * _leaky(z[:, c]) for c, weights in enumerate(layer.layer1x1)]
    return _sum(terms)


def _add_activations(total: jax.Array | None, zs: list[jax.Array]) -> jax.Array:
    return _sum([*([] if total is None else [total]), *(_leaky(z) for z in zs)])


def _sum(terms: list[jax.Array]) -> jax.Array:
    """In four chains: a multiply-add waits four cycles for the one before it in its chain.

    9.4 against 13.1 us for a layer of standard over 1024 samples.
    """
    chains = terms[:4]
    for n, term in enumerate(terms[4:]):
        chains[n % 4] = chains[n % 4] + term
    while len(chains) > 1:
        chains = [*chains[2:], chains[0] + chains[1]]
    return chains[0]


def _leaky(z: jax.Array) -> jax.Array:
    return jnp.where(z > 0, z, NEGATIVE_SLOPE * z)


def _flat(seen: jax.Array) -> jax.Array:
    """[I, n, 16] -> [I, 16 n]."""
    return seen.reshape(len(seen), -1)


def _history(state: State, index: int) -> jax.Array:
    """The last columns that convolution `index` saw, [I, span]."""
    return state[: None if index else 1, ENDS[index] - SPANS[index] : ENDS[index]]
