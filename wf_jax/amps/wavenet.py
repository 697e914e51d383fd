"""The NAM WaveNet: stacks of dilated layers whose activations sum into a head.

Follows the forward pass of NeuralAmpModelerCore (`NAM/wavenet`).
"""

import copy
import dataclasses
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.amps.activations import Activation
from wf_jax.amps.model import AmpModel, State, nearest_size, remember
from wf_jax.amps.wavenet_config import LayerArrayConfig, WaveNetConfig
from wf_jax.amps.wavenet_layer import Conv, Layer, last
from wf_jax.amps.weights import Shapes, Weights
from wf_jax.modules import split


class LayerArray(nnx.Module):
    """A 1x1 convolution into C channels, dilated layers, and a head over the sum of their a."""

    def __init__(self, config: LayerArrayConfig, *, weights: Weights):
        """Takes all arrays from `weights`, in the order of a .nam file."""
        self.config = config
        self.rechannel = Conv(config.input_size, config.channels, bias=False, weights=weights)
        self.layers = nnx.List(
            [Layer(config, index, weights=weights) for index in range(len(config.dilations))]
        )
        self.head = Conv(
            config.head_inputs,
            config.head_channels,
            config.head_kernel_size,
            config.head_dilation,
            bias=config.head_bias,
            weights=weights,
        )

    def __call__(
        self,
        y: jax.Array,
        total: jax.Array | None,
        condition: jax.Array,
        histories: Sequence[jax.Array] | None,
    ) -> tuple[jax.Array, jax.Array, list[jax.Array]]:
        """Plays one array of the stack.

        Args:
            y: [input_size, T], the previous array's residual output, or the audio.
            total: [head_inputs, T], the previous array's head output; None for the first.
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
            total = jnp.zeros_like(h, shape=(self.config.head_inputs, n))
        n = min(n, total.shape[1])  # the previous head has shortened its output
        total = last(total, n)
        inputs = []
        for layer, past in zip(self.layers, pasts[:-1], strict=True):
            h, a, seen = layer(h, condition, past)
            total = total + last(a, n)
            inputs.append(seen)
        head, seen = self.head(total, pasts[-1])
        return h, head, [*inputs, seen]

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields its arrays in the order of a .nam file."""
        for part in (self.rechannel, *self.layers, self.head):
            yield from part.weight_arrays()


class WaveNet(AmpModel):
    """A NAM WaveNet.

    y = head_scale * head output of the last array, each array taking the residual output and
    the head output of the one before it; then, where there is one, the post-stack head. Every
    layer is conditioned on the audio, or on the condition model's output for it. `head_scale`
    is a constant of the model, not a weight.

    Its state is the condition model's state (() without one) and, per convolution, its last
    (K - 1) * dilation input columns [C, .].
    """

    def __init__(
        self,
        config: WaveNetConfig,
        *,
        head_scale: float,
        weights: Weights,
        condition: AmpModel | None = None,
    ):
        """Takes all arrays from `weights`, in the order of a .nam file.

        Args:
            config: what to build.
            head_scale: factor on the output; files have their own.
            weights: where the arrays come from.
            condition: makes the condition from the audio; the audio itself if None.
        """
        self.config = config
        self.sample_rate = config.sample_rate
        self.input_channels, self.output_channels = config.in_channels, config.out_channels
        self.condition = condition
        self.a2_as_written = True  # see a2.size_of
        self.arrays = nnx.List([LayerArray(array, weights=weights) for array in config.arrays])
        self.post_head = nnx.List([])
        if config.post_head is not None:
            inputs = config.arrays[-1].head_channels
            widths = config.post_head.widths
            for taps, width in zip(config.post_head.kernel_sizes, widths, strict=True):
                self.post_head.append(Conv(inputs, width, taps, weights=weights))
                inputs = width
        (scale,) = weights.constant((1,), head_scale)
        self.head_scale = float(str(scale))  # 0.01, not the float32's 0.0099999998

    @property
    def receptive_field(self) -> int:
        """Input samples that one output sample depends on."""
        before = 0 if self.condition is None else self.condition.receptive_field - 1
        return self.config.receptive_field + before

    @property
    def finite_memory(self) -> bool:
        """See AmpModel.finite_memory."""
        return self.condition is None or self.condition.finite_memory

    @property
    def lookback(self) -> int:
        """See AmpModel.lookback."""
        before = 0 if self.condition is None else self.condition.lookback
        return self.config.receptive_field - 1 + before

    @property
    def prewarm_samples(self) -> int:
        """See AmpModel.prewarm_samples."""
        before = 1 if self.condition is None else self.condition.prewarm_samples
        return self.config.receptive_field - 1 + before

    def valid(self, x: jax.Array) -> jax.Array:
        """See AmpModel.valid; every layer shortens what it is given, so nothing is padded."""
        rows = self._rows(x)
        condition = rows
        if self.condition is not None:
            condition = self.condition.valid(x)
            condition = condition[None] if condition.ndim == 1 else condition
        y, _ = self._run(last(rows, condition.shape[1]), condition, None)
        return self._signal(last(y, rows.shape[1] - self.lookback))

    def state_before_prewarm(self) -> State:
        """See AmpModel.state_before_prewarm; zeros, and the condition model's own state."""
        dtype = self.arrays[0].rechannel.kernel.dtype
        histories = [
            jnp.zeros((conv.kernel.shape[1] * conv.groups, conv.lookback), dtype)
            for conv in self._convs()
        ]
        return () if self.condition is None else self.condition.state_before_prewarm(), tuple(
            histories
        )

    def steady(self, x: jax.Array) -> tuple[State, jax.Array]:
        """See AmpModel.steady; in closed form.

        Constant input makes every signal constant, so each convolution acts as the sum of its
        taps, and a single column goes through the network.
        """
        state, condition = (), x
        if self.condition is not None:
            state, condition = self.condition.steady(x)
        constant = jax.tree.map(
            lambda leaf: leaf.sum(-1, keepdims=True) if leaf.ndim == 3 else leaf, self
        )
        y, columns = constant._run(x, condition, None)
        histories = [
            jnp.broadcast_to(column, (column.shape[0], conv.lookback))
            for column, conv in zip(columns, self._convs(), strict=True)
        ]
        return (state, tuple(histories)), y

    def block(
        self, state: State, x: jax.Array, count: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """See AmpModel.block."""
        before, histories = state
        condition = x
        if self.condition is not None:
            before, condition = self.condition.block(before, x, count)
        y, inputs = self._run(x, condition, histories)
        histories = tuple(
            remember(seen, conv.lookback, count)
            for seen, conv in zip(inputs, self._convs(), strict=True)
        )
        return (before, histories), y

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """See AmpModel.breakpoints."""
        counts = [len(array.allowed_channels) for array in self.config.arrays]
        return tuple(sorted({i / n for n in counts for i in range(1, n)}))

    def at_size(self, size: float) -> AmpModel:
        """The model cut down to its first channels, where the file allows that.

        Each array takes the width number min(floor(size * n), n - 1) of its n allowed ones, and
        keeps the first rows and columns of every weight.
        """
        if not any(array.allowed_channels for array in self.config.arrays):
            return self
        arrays = sliced(self.config.arrays, nearest_size(size))
        config = dataclasses.replace(self.config, arrays=arrays)
        smaller = WaveNet(
            config, head_scale=self.head_scale, weights=Shapes(), condition=self.condition
        )
        definition, shapes = split(smaller)
        _, params = split(self)
        return definition(
            {name: params[name][tuple(map(slice, shapes[name].shape))] for name in shapes}
        )

    def scaled(self, gain: float) -> AmpModel:
        """See AmpModel.scaled."""
        model = copy.copy(self)
        if not self.post_head:
            model.head_scale = self.head_scale * gain
            return model
        end = copy.copy(self.post_head[-1])
        end.kernel = nnx.Param(end.kernel[...] * gain)
        end.bias = nnx.Param(end.bias[...] * gain)
        model.post_head = nnx.List([*list(self.post_head)[:-1], end])
        return model

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields its arrays in the order of a .nam file, without the condition model's."""
        for part in (*self.arrays, *self.post_head):
            yield from part.weight_arrays()
        yield np.float32([self.head_scale])

    def _run(
        self, x: jax.Array, condition: jax.Array, histories: Sequence[jax.Array] | None
    ) -> tuple[jax.Array, list[jax.Array]]:
        """Plays x [I, T] with condition [S, T]: (y [O, .], what each convolution saw)."""
        y, total, inputs = x, None, []
        for array in self.arrays:
            start, stop = len(inputs), len(inputs) + len(array.layers) + 1
            pasts = None if histories is None else histories[start:stop]
            y, total, seen = array(y, total, condition, pasts)
            inputs += seen
        y = self.head_scale * total
        for conv in self.post_head:
            past = None if histories is None else histories[len(inputs)]
            y, seen = conv(self.config.post_head.activation(y), past)
            inputs.append(seen)
        return y, inputs

    def _convs(self) -> list[Conv]:
        """The convolutions that have a history, in the order of the state."""
        convs = [
            conv
            for array in self.arrays
            for conv in (*(layer.conv for layer in array.layers), array.head)
        ]
        return [*convs, *self.post_head]


def sliced(arrays: tuple[LayerArrayConfig, ...], size: float) -> tuple[LayerArrayConfig, ...]:
    """Cuts the arrays of a slimmable WaveNet to `size` in [0, 1]; the core's rule."""
    widths = []
    for array in arrays:
        allowed = array.allowed_channels or (array.channels,)
        widths.append(allowed[min(int(size * len(allowed)), len(allowed) - 1)])
    result = []
    for i, (array, width) in enumerate(zip(arrays, widths, strict=True)):
        bottleneck = max(1, array.bottleneck * width // array.channels)
        bottleneck = bottleneck if array.layer1x1_groups else width
        result.append(
            dataclasses.replace(
                array,
                input_size=array.input_size if i == 0 else widths[i - 1],
                channels=width,
                bottleneck=bottleneck,
                activations=_narrowed(array.activations, bottleneck),
                secondary_activations=_narrowed(array.secondary_activations, bottleneck),
                head_channels=widths[i + 1] if i + 1 < len(arrays) else array.head_channels,
                allowed_channels=(),
            )
        )
    return tuple(result)


def _narrowed(activations: tuple[Activation, ...], channels: int) -> tuple[Activation, ...]:
    """Keeps the slopes of the first channels, where each channel has its own."""
    return tuple(
        dataclasses.replace(each, negative_slopes=each.negative_slopes[:channels])
        for each in activations
    )
