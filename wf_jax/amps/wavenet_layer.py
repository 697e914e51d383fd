"""The parts of a NAM WaveNet: convolution, FiLM, and the dilated layer.

Follows the forward pass of NeuralAmpModelerCore (`NAM/wavenet`). One sequence is channel-major
[C, T]: time is contiguous, and every layer is a few products over it.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.amps.arithmetic import affine, causal_conv, dense, product
from wf_jax.amps.wavenet_config import FILMS, LayerArrayConfig
from wf_jax.amps.weights import Weights


def last(x: jax.Array, n: int) -> jax.Array:
    """The last n columns of x [C, T]."""
    return x[:, x.shape[1] - n :]


class Conv(nnx.Module):
    """A dilated convolution: kernel [O, I / groups, K] and, where it has one, bias [O]."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        taps: int = 1,
        dilation: int = 1,
        groups: int = 1,
        *,
        bias: bool = True,
        weights: Weights,
    ):
        """Takes the kernel, then the bias, from `weights`."""
        self.dilation, self.groups = dilation, groups
        fan_in = inputs // groups * taps
        self.kernel = nnx.Param(weights((outputs, inputs // groups, taps), fan_in))
        self.bias = nnx.Param(weights((outputs,), fan_in)) if bias else None

    @property
    def lookback(self) -> int:
        """Columns before the current one that the convolution sees."""
        return (self.kernel.shape[-1] - 1) * self.dilation

    def __call__(self, x: jax.Array, history: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """Maps x [I, T] after its history [I, lookback] to ([O, T], the two joined).

        Without a history the columns before x do not exist: [O, T - lookback], x.
        """
        x = x if history is None else jnp.concatenate([history, x], axis=1)
        z = causal_conv(dense(self.kernel[...], self.groups), x, self.dilation)
        if self.bias is not None:
            z = z + self.bias[...][:, None]
        return z, x

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields its arrays in the order of a .nam file."""
        yield np.asarray(self.kernel[...])
        if self.bias is not None:
            yield np.asarray(self.bias[...])


class Pointwise(nnx.Module):
    """A 1x1 convolution: kernel [O, I / groups] and, where it has one, bias [O]."""

    def __init__(
        self, inputs: int, outputs: int, groups: int = 1, *, bias: bool = True, weights: Weights
    ):
        """Takes the kernel, then the bias, from `weights`."""
        self.groups = groups
        self.kernel = nnx.Param(weights((outputs, inputs // groups), inputs // groups))
        self.bias = nnx.Param(weights((outputs,), inputs // groups)) if bias else None

    def matrix(self) -> jax.Array:
        """Returns the kernel as a dense matrix [O, I]."""
        return dense(self.kernel[...][..., None], self.groups)[..., 0]

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [I, T] to [O, T]."""
        if self.bias is None:
            return product(self.matrix(), x)
        return affine(self.matrix(), self.bias[...], x)

    weight_arrays = Conv.weight_arrays


class Film(nnx.Module):
    """y = x * scale(c) + shift(c), both linear in the condition c."""

    def __init__(
        self, channels: int, condition_size: int, shift: bool, groups: int, *, weights: Weights
    ):
        """Takes scale and shift from `weights` for a signal with `channels` rows."""
        self.channels = channels
        rows = channels * (2 if shift else 1)
        self.conv = Pointwise(condition_size, rows, groups, weights=weights)

    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        """Modulates x [C, T] by condition [S, at least T], aligned on their last columns."""
        rows = self.conv(last(condition, x.shape[1]))
        if rows.shape[0] == self.channels:
            return x * rows
        scale, shift = jnp.split(rows, 2)
        return x * scale + shift

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields its arrays in the order of a .nam file."""
        return self.conv.weight_arrays()


class Layer(nnx.Module):
    """z = conv(h) + mixin(c); a = activation(z); h' = h + layer1x1(a); to the head goes a.

    With gating z has two halves: "gated" is a = act(z1) act2(z2), "blended" goes from z1 (at
    act2 = 0) to act(z1) (at 1). Every signal on the way may be modulated by a FiLM.

    Shapes: h and h' [C, T], c [S, T], z [b or 2 b, T], a [b, T].
    """

    def __init__(self, config: LayerArrayConfig, index: int, *, weights: Weights):
        """Takes the arrays of layer `index` of the array that `config` describes from `weights`."""
        channels, bottleneck, width = config.channels, config.bottleneck, config.width(index)
        condition_size = config.condition_size
        self.gate, self.secondary = config.gate(index), config.secondary(index)
        self.activation = config.activations[index]
        taps, dilation = config.kernel_sizes[index], config.dilations[index]
        groups = config.groups_input
        self.conv = Conv(channels, width, taps, dilation, groups, bias=False, weights=weights)
        self.conv_bias = nnx.Param(weights((width,), channels // groups * taps))
        self.mixin = Pointwise(
            condition_size, width, config.groups_input_mixin, bias=False, weights=weights
        )
        self.layer1x1 = (
            Pointwise(bottleneck, channels, config.layer1x1_groups, weights=weights)
            if config.layer1x1_groups
            else None
        )
        self.head1x1 = (
            Pointwise(bottleneck, config.head1x1_channels, config.head1x1_groups, weights=weights)
            if config.head1x1_channels
            else None
        )
        modulated = {
            "conv_pre_film": channels,
            "input_mixin_pre_film": condition_size,
            "activation_post_film": bottleneck,
            "layer1x1_post_film": channels,
            "head1x1_post_film": config.head1x1_channels,
        }
        self.films = nnx.Dict(
            {
                place: Film(
                    modulated.get(place, width),
                    condition_size,
                    film.shift,
                    film.groups,
                    weights=weights,
                )
                for place, film in config.films
            }
        )

    def __call__(
        self, h: jax.Array, condition: jax.Array, history: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns (h', head input, what the convolution saw), aligned on the last columns."""

        def film(place: str, x: jax.Array) -> jax.Array:
            return self.films[place](x, condition) if place in self.films else x

        z, seen = self.conv(film("conv_pre_film", h), history)
        n = z.shape[1]
        mixed = film("input_mixin_pre_film", last(condition, n))
        bias = self.conv_bias[...]
        if "conv_post_film" in self.films or "input_mixin_post_film" in self.films:
            z = film("conv_post_film", z + bias[:, None])
            z = z + film("input_mixin_post_film", self.mixin(mixed))
        else:
            # The bias travels with the mixin: one product over the condition holds both.
            z = z + affine(self.mixin.matrix(), bias, mixed)
        a = film("activation_post_film", self._activate(film("activation_pre_film", z)))
        if self.layer1x1 is not None:  # without it the residual passes unchanged, as in the core
            h = last(h, n) + film("layer1x1_post_film", self.layer1x1(a))
        to_head = a if self.head1x1 is None else film("head1x1_post_film", self.head1x1(a))
        return last(h, n), to_head, seen

    def _activate(self, z: jax.Array) -> jax.Array:
        if self.gate == "none":
            return self.activation(z)
        z, gate = jnp.split(z, 2)
        gate = self.secondary(gate)
        if self.gate == "gated":
            return self.activation(z) * gate
        return gate * self.activation(z) + (1.0 - gate) * z

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields its arrays in the order of a .nam file."""
        yield from self.conv.weight_arrays()
        yield np.asarray(self.conv_bias[...])
        films = (self.films[place] for place in FILMS if place in self.films)
        for part in (self.mixin, self.layer1x1, self.head1x1, *films):
            if part is not None:
                yield from part.weight_arrays()
