"""The NAM WaveNet: stacks of dilated layers whose activations sum into a head.

Follows the forward pass of NeuralAmpModelerCore (`NAM/wavenet`). Inside, one sequence is
channel-major [C, T]: time is contiguous, and every layer is a few products over it.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wf_jax.amps.layers import affine, causal_conv
from wf_jax.amps.wavenet_config import LayerArrayConfig, WaveNetConfig

State = tuple[jax.Array, ...]  # per convolution: its last (K - 1) * dilation input columns [C, .]

# Columns computed at once by `scan`. Times real time on two cores, of 2048 / 8192 / 65536: nano
# 181 / 194 / 107, standard 26 / 32 / 37.
CHUNK = 8192


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> nnx.Param:
    # numpy on the host: at once, and the same bits everywhere. XLA takes 30 s to compile the
    # 236 draws of both A2 sizes, and 6 s to run them one by one.
    bound = fan_in**-0.5
    return nnx.Param(jnp.asarray(rng.uniform(-bound, bound, shape), jnp.float32))


class Conv(nnx.Module):
    """Weights of a convolution: kernel [O, I, K] and, where it has one, bias [O].

    Both start uniform in +-1 / sqrt(I * K), the rule that NAM models are trained from.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        taps: int = 1,
        dilation: int = 1,
        *,
        bias: bool = True,
        rng: np.random.Generator,
    ):
        """Draws the weights."""
        self.dilation = dilation
        self.kernel = _uniform(rng, (outputs, inputs, taps), inputs * taps)
        self.bias = _uniform(rng, (outputs,), inputs * taps) if bias else None

    @property
    def lookback(self) -> int:
        """Columns before the current one that the convolution sees."""
        return (self.kernel.shape[-1] - 1) * self.dilation

    def __call__(self, x: jax.Array, history: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """X [I, T] after its history [I, lookback] -> ([O, T], the two joined).

        Without a history the columns before x do not exist: [O, T - lookback], x.
        """
        x = x if history is None else jnp.concatenate([history, x], axis=1)
        z = causal_conv(self.kernel[...], x, self.dilation)
        if self.bias is not None:
            z = z + self.bias[...][:, None]
        return z, x


class Layer(nnx.Module):
    """z = conv(h) + mixin(condition); a = activation(z); h' = h + layer1x1(a).

    Shapes: h and h' [C, T], condition [S, T], z and a [bottleneck, T].
    """

    def __init__(self, config: LayerArrayConfig, index: int, *, rng: np.random.Generator):
        """The layer number `index` of the array that `config` describes."""
        channels, bottleneck = config.channels, config.bottleneck
        taps, dilation = config.kernel_sizes[index], config.dilations[index]
        self.activation = config.activations[index]
        self.conv = Conv(channels, bottleneck, taps, dilation, bias=False, rng=rng)
        self.conv_bias = _uniform(rng, (bottleneck,), channels * taps)
        self.mixin = _uniform(rng, (bottleneck, config.condition_size), config.condition_size)
        self.layer1x1 = _uniform(rng, (channels, bottleneck), bottleneck)
        self.layer1x1_bias = _uniform(rng, (channels,), bottleneck)

    def __call__(
        self, h: jax.Array, condition: jax.Array, history: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """-> (h', a, what the convolution saw), all aligned on their last columns."""
        z, seen = self.conv(h, history)
        n = z.shape[1]
        # The bias travels with the mixin: one product over the condition holds both.
        z = z + affine(self.mixin[...], self.conv_bias[...], _last(condition, n))
        a = self.activation(z)
        h = _last(h, n) + affine(self.layer1x1[...], self.layer1x1_bias[...], a)
        return h, a, seen


class LayerArray(nnx.Module):
    """A 1x1 convolution into C channels, dilated layers, and a head over the sum of their a."""

    def __init__(self, config: LayerArrayConfig, *, rng: np.random.Generator):
        """Draws all weights."""
        self.config = config
        self.rechannel = Conv(config.input_size, config.channels, bias=False, rng=rng)
        self.layers = nnx.List(
            [Layer(config, index, rng=rng) for index in range(len(config.dilations))]
        )
        self.head = Conv(
            config.bottleneck,
            config.head_channels,
            config.head_kernel_size,
            config.head_dilation,
            bias=config.head_bias,
            rng=rng,
        )

    def __call__(
        self,
        y: jax.Array,
        total: jax.Array | None,
        condition: jax.Array,
        histories: Sequence[jax.Array] | None,
    ) -> tuple[jax.Array, jax.Array, list[jax.Array]]:
        """One array of the stack.

        Args:
            y: [input_size, T], the previous array's residual output, or the audio.
            total: [bottleneck, T], the previous array's head output; None for the first.
            condition: [condition_size, T].
            histories: one per convolution, layers then head; None where y has no past.

        Returns:
            Residual output, head output, and what each convolution saw.
        """
        pasts = [None] * (len(self.layers) + 1) if histories is None else histories
        h, _ = self.rechannel(y, None)
        lost = 0 if histories is not None else sum(layer.conv.lookback for layer in self.layers)
        n = h.shape[1] - lost  # columns that the head sees of every layer
        if total is None:
            total = jnp.zeros_like(h, shape=(self.config.bottleneck, n))
        n = min(n, total.shape[1])  # the previous head has shortened its output
        total = _last(total, n)
        inputs = []
        for layer, past in zip(self.layers, pasts[:-1], strict=True):
            h, a, seen = layer(h, condition, past)
            total = total + _last(a, n)
            inputs.append(seen)
        head, seen = self.head(total, pasts[-1])
        return h, head, [*inputs, seen]


def _last(x: jax.Array, n: int) -> jax.Array:
    return x[:, x.shape[1] - n :]


class WaveNet(nnx.Module):
    """A NAM WaveNet over mono audio: x [B, T] -> y [B, T].

    y = head_scale * head output of the last array, each array taking the residual output and
    the head output of the one before it; every layer is conditioned on the audio itself.
    `head_scale` is a constant of the model, not a weight.
    """

    def __init__(self, config: WaveNetConfig, *, head_scale: float, rng: np.random.Generator):
        """Draws all weights."""
        self.config = config
        self.head_scale = float(head_scale)
        self.arrays = nnx.List([LayerArray(array, rng=rng) for array in config.arrays])

    @property
    def receptive_field(self) -> int:
        """Input samples that one output sample depends on."""
        return self.config.receptive_field

    @property
    def sample_rate(self) -> float | None:
        """Hz, or None where the file that the model came from does not say."""
        return self.config.sample_rate

    def valid(self, x: jax.Array) -> jax.Array:
        """Outputs whose whole receptive field lies in x: [T] -> [T - receptive_field + 1]."""
        y, _ = self._run(x[None], None)
        return _last(y, x.shape[0] - self.receptive_field + 1)[0]

    def silence(self) -> State:
        """The state of one sequence after endless silence, in closed form.

        Silence makes every signal constant, so each convolution acts as the sum of its taps,
        and a single column goes through the network.

        Returns:
            Per convolution [C, (K - 1) * dilation].
        """
        constant: WaveNet = jax.tree.map(
            lambda leaf: leaf.sum(-1, keepdims=True) if leaf.ndim == 3 else leaf, self
        )
        _, columns = constant._run(jnp.zeros((1, 1), self.arrays[0].rechannel.kernel.dtype), None)
        return tuple(
            jnp.broadcast_to(column, (column.shape[0], conv.lookback))
            for column, conv in zip(columns, self._convs(), strict=True)
        )

    def init_state(self, batch: int) -> State:
        """The state of `batch` sequences before their first sample: endless silence.

        Returns:
            Per convolution [B, C, (K - 1) * dilation].
        """
        return tuple(
            jnp.broadcast_to(history, (batch, *history.shape)) for history in self.silence()
        )

    def step(self, state: State, x: jax.Array) -> tuple[State, jax.Array]:
        """The next block x [B, T] of each sequence -> (state, y [B, T])."""
        return jax.vmap(self._block)(state, x)

    def scan(self, state: State, x: jax.Array) -> tuple[State, jax.Array]:
        """`step` over time chunks that fit a cache: x [B, n * CHUNK] -> (state, y)."""
        batch, length = x.shape
        chunks = x.reshape(batch, length // CHUNK, CHUNK).swapaxes(0, 1)
        state, y = lax.scan(self.step, state, chunks)
        return state, y.swapaxes(0, 1).reshape(batch, length)

    def __call__(self, x: jax.Array) -> jax.Array:
        """X [B, T] with silence before it -> y [B, T]."""
        batch, length = x.shape
        state = self.init_state(batch)
        if length <= CHUNK:
            return self.step(state, x)[1]
        padded = jnp.pad(x, ((0, 0), (0, -length % CHUNK)))
        return self.scan(state, padded)[1][:, :length]

    def _block(self, state: State, x: jax.Array) -> tuple[State, jax.Array]:
        y, inputs = self._run(x[None], state)
        state = tuple(
            _last(seen, conv.lookback) for seen, conv in zip(inputs, self._convs(), strict=True)
        )
        return state, y[0]

    def _run(self, x: jax.Array, state: State | None) -> tuple[jax.Array, list[jax.Array]]:
        """X [1, T] -> (y [1, .], what each convolution saw)."""
        y, total, inputs = x, None, []
        for array in self.arrays:
            start, stop = len(inputs), len(inputs) + len(array.layers) + 1
            y, total, seen = array(y, total, x, None if state is None else state[start:stop])
            inputs += seen
        return self.head_scale * total, inputs

    def _convs(self) -> list[Conv]:
        """The convolutions that have a history, in the order of the state."""
        return [
            conv
            for array in self.arrays
            for conv in (*(layer.conv for layer in array.layers), array.head)
        ]
