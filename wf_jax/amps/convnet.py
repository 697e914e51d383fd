"""The NAM ConvNet: dilated convolutions of two taps, one after the other.

Follows NeuralAmpModelerCore (`NAM/convnet.cpp`).
"""

import copy
import dataclasses
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.amps.activations import Activation
from wf_jax.amps.model import AmpModel, State, remember
from wf_jax.amps.wavenet_layer import Conv
from wf_jax.amps.weights import Weights


@dataclasses.dataclass(frozen=True)
class ConvNetConfig:
    """The sizes of a ConvNet.

    Attributes:
        channels: width C of every block.
        dilations: samples between the two taps, one per block.
        batchnorm: whether each convolution is normalized; it has no bias then.
        activation: of every block.
        groups: of every convolution but the head.
        in_channels: channels of the audio.
        out_channels: channels that come out.
        sample_rate: Hz; None where a file has none.
    """

    channels: int
    dilations: tuple[int, ...]
    batchnorm: bool
    activation: Activation
    groups: int = 1
    in_channels: int = 1
    out_channels: int = 1
    sample_rate: float | None = 48000.0


class BatchNorm(nnx.Module):
    """scale (z - mean) / sqrt(variance + epsilon) + bias, over z [C, T].

    Mean and variance were gathered when the file was made; they are constants of the model, while
    scale and bias [C] are weights.
    """

    def __init__(self, channels: int, *, weights: Weights):
        """Takes mean, variance, scale, bias and epsilon from `weights`."""
        self.mean = _constants(weights.constant((channels,), 0.0))
        self.variance = _constants(weights.constant((channels,), 1.0))
        self.scale = nnx.Param(jnp.asarray(weights.constant((channels,), 1.0)))
        self.bias = nnx.Param(jnp.asarray(weights.constant((channels,), 0.0)))
        self.epsilon = _constants(weights.constant((1,), 1e-5))

    def __call__(self, z: jax.Array) -> jax.Array:
        """Normalizes z [C, T]."""
        deviation = np.sqrt(np.asarray(self.variance) + np.asarray(self.epsilon))
        scale = self.scale[...] / deviation.astype(z.dtype)
        bias = self.bias[...] - scale * np.asarray(self.mean, z.dtype)
        return scale[:, None] * z + bias[:, None]

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields its arrays in the order of a .nam file."""
        yield np.float32(self.mean)
        yield np.float32(self.variance)
        yield np.asarray(self.scale[...])
        yield np.asarray(self.bias[...])
        yield np.float32(self.epsilon)


class Block(nnx.Module):
    """A convolution, batch norm where there is one, and the activation."""

    def __init__(self, inputs: int, dilation: int, config: ConvNetConfig, *, weights: Weights):
        """Takes all arrays from `weights`, in the order of a .nam file."""
        self.activation = config.activation
        self.conv = Conv(
            inputs,
            config.channels,
            2,
            dilation,
            config.groups,
            bias=not config.batchnorm,
            weights=weights,
        )
        self.norm = BatchNorm(config.channels, weights=weights) if config.batchnorm else None

    def __call__(self, x: jax.Array, history: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """Maps x [I, T] after its history to ([C, .], the two joined); see Conv."""
        z, seen = self.conv(x, history)
        return self.activation(z if self.norm is None else self.norm(z)), seen

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields its arrays in the order of a .nam file."""
        for part in (self.conv, self.norm):
            if part is not None:
                yield from part.weight_arrays()


class ConvNet(AmpModel):
    """A NAM ConvNet: y = head block_n(... block_1(x)), the head a linear map of each sample.

    Its state is, per block, its last `dilation` input columns [C, dilation].
    """

    def __init__(self, config: ConvNetConfig, weights: Weights):
        """Takes all arrays from `weights`, in the order of a .nam file."""
        self.config = config
        self.sample_rate = config.sample_rate
        self.input_channels, self.output_channels = config.in_channels, config.out_channels
        widths = [config.in_channels, *[config.channels] * (len(config.dilations) - 1)]
        self.blocks = nnx.List(
            [
                Block(width, dilation, config, weights=weights)
                for width, dilation in zip(widths, config.dilations, strict=True)
            ]
        )
        self.head = Conv(config.channels, config.out_channels, weights=weights)

    @property
    def receptive_field(self) -> int:
        """See AmpModel.receptive_field."""
        return 1 + sum(self.config.dilations)

    def valid(self, x: jax.Array) -> jax.Array:
        """See AmpModel.valid; every block shortens what it is given, so nothing is padded."""
        return self._signal(self._run(self._rows(x), None)[0])

    def state_before_prewarm(self) -> State:
        """See AmpModel.state_before_prewarm; zeros."""
        dtype = self.head.kernel.dtype
        widths = [self.input_channels, *[self.config.channels] * (len(self.blocks) - 1)]
        return tuple(
            jnp.zeros((width, block.conv.lookback), dtype)
            for width, block in zip(widths, self.blocks, strict=True)
        )

    def steady(self, x: jax.Array) -> tuple[State, jax.Array]:
        """See AmpModel.steady; in closed form.

        Constant input makes every signal constant, so each convolution acts as the sum of its
        taps, and a single column goes through the network.
        """
        constant = jax.tree.map(
            lambda leaf: leaf.sum(-1, keepdims=True) if leaf.ndim == 3 else leaf, self
        )
        y, columns = constant._run(x, None)
        state = tuple(
            jnp.broadcast_to(column, (column.shape[0], block.conv.lookback))
            for column, block in zip(columns, self.blocks, strict=True)
        )
        return state, y

    def block(
        self, state: State, x: jax.Array, count: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """See AmpModel.block."""
        y, inputs = self._run(x, state)
        state = tuple(
            remember(seen, block.conv.lookback, count)
            for seen, block in zip(inputs, self.blocks, strict=True)
        )
        return state, y

    def scaled(self, gain: float) -> AmpModel:
        """See AmpModel.scaled."""
        model, model.head = copy.copy(self), copy.copy(self.head)
        model.head.kernel = nnx.Param(self.head.kernel[...] * gain)
        model.head.bias = nnx.Param(self.head.bias[...] * gain)
        return model

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields its arrays in the order of a .nam file."""
        for part in (*self.blocks, self.head):
            yield from part.weight_arrays()

    def _run(
        self, x: jax.Array, histories: Sequence[jax.Array] | None
    ) -> tuple[jax.Array, list[jax.Array]]:
        """Plays x [I, T]: (y [O, .], what each block saw); without histories each shortens it."""
        inputs = []
        for i, block in enumerate(self.blocks):
            x, seen = block(x, None if histories is None else histories[i])
            inputs.append(seen)
        return self.head(x, None)[0], inputs


def _constants(values: np.ndarray) -> tuple[float, ...]:
    """Converts float32 values to Python floats, which hold them exactly."""
    return tuple(values.tolist())
