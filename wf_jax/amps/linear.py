"""The NAM Linear model: an impulse response, e.g. of a cabinet.

Follows NeuralAmpModelerCore (`NAM/linear.cpp`): the first weight multiplies the current sample. The
NAM trainer (0.13.0) writes the oldest sample's weight first; what it writes, players play reversed.
"""

import copy
import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.amps.arithmetic import causal_conv
from wf_jax.amps.model import AmpModel, State, remember
from wf_jax.amps.weights import Weights

# Taps above which the FFT is used, whatever the file says. On two cores, of 16 / 64 / 256 taps
# over 131,072 samples: direct 0.4 / 17 / 97 ms, FFT 0.8 ms always; blocks of 64 samples take 10 /
# 10 / 60 us and 60 / 30 / 60 us.
LONGEST_DIRECT = 32


@dataclasses.dataclass(frozen=True)
class LinearConfig:
    """The sizes of a Linear model.

    Attributes:
        receptive_field: taps of each impulse response.
        bias: whether a bias is added.
        in_channels: channels of the audio; see Linear for how they meet the outputs.
        out_channels: channels that come out.
        implementation: "auto", "direct" or "fft": what the core is asked to use.
        sample_rate: Hz; None where a file has none.

    Raises:
        ValueError: there is no rule for so many inputs and outputs.
    """

    receptive_field: int
    bias: bool
    in_channels: int = 1
    out_channels: int = 1
    implementation: str = "auto"
    sample_rate: float | None = 48000.0

    def __post_init__(self) -> None:
        """Checks the channels."""
        if self.in_channels != self.out_channels and 1 not in (self.in_channels, self.out_channels):
            raise ValueError(
                f"a Linear model has no rule for {self.in_channels} inputs and "
                f"{self.out_channels} outputs; have as many of both, or one of either"
            )

    @property
    def kernels(self) -> int:
        """Number of impulse responses."""
        inputs, outputs = self.in_channels, self.out_channels
        return 1 if inputs == outputs else max(inputs, outputs)

    @property
    def biases(self) -> int:
        """Number of biases: one per output, or one for all where inputs equal outputs."""
        if not self.bias:
            return 0
        return 1 if self.in_channels == self.out_channels else self.out_channels


class Linear(AmpModel):
    """y[t] = sum over k of kernel[k] x[t - k], + bias.

    As many outputs as inputs: every channel goes through the same kernel. One input: a kernel per
    output. One output: a kernel per input, and their sum.

    Its state is the last taps - 1 samples of its input [I, taps - 1].
    """

    def __init__(self, config: LinearConfig, weights: Weights):
        """Takes the kernels, the current sample's tap first, then the biases, from `weights`."""
        self.config = config
        self.sample_rate = config.sample_rate
        self.input_channels, self.output_channels = config.in_channels, config.out_channels
        taps = config.receptive_field
        self.kernel = nnx.Param(weights((config.kernels, taps), taps))
        self.bias = nnx.Param(weights((config.biases,), taps)) if config.bias else None

    @property
    def receptive_field(self) -> int:
        """See AmpModel.receptive_field."""
        return self.config.receptive_field

    @property
    def prewarm_samples(self) -> int:
        """See AmpModel.prewarm_samples; none, since its history begins as silence."""
        return 0

    @property
    def chunk(self) -> int:
        """Samples that `scan` computes at once: long kernels want long blocks."""
        return max(super().chunk, _power_of_two(2 * self.receptive_field))

    def state_before_prewarm(self) -> State:
        """See AmpModel.state_before_prewarm; zeros."""
        return jnp.zeros((self.input_channels, self.receptive_field - 1), self.kernel.dtype)

    def steady(self, x: jax.Array) -> tuple[State, jax.Array]:
        """See AmpModel.steady; the history is the constant."""
        state = jnp.broadcast_to(x, (x.shape[0], self.receptive_field - 1))
        return state, self.block(state, x)[1]

    def block(
        self, state: State, x: jax.Array, count: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        """See AmpModel.block."""
        seen = jnp.concatenate([state, x], axis=1)
        return remember(seen, self.receptive_field - 1, count), self._run(seen)

    def valid(self, x: jax.Array) -> jax.Array:
        """See AmpModel.valid."""
        return self._signal(self._run(self._rows(x)))

    def scaled(self, gain: float) -> AmpModel:
        """See AmpModel.scaled."""
        model = copy.copy(self)
        model.kernel = nnx.Param(self.kernel[...] * gain)
        model.bias = None if self.bias is None else nnx.Param(self.bias[...] * gain)
        return model

    def weight_arrays(self) -> Iterator[np.ndarray]:
        """Yields its arrays in the order of a .nam file."""
        yield np.asarray(self.kernel[...])
        if self.bias is not None:
            yield np.asarray(self.bias[...])

    def _run(self, seen: jax.Array) -> jax.Array:
        """Plays [I, taps - 1 + T], history included: [O, T]."""
        fast = self.receptive_field > LONGEST_DIRECT or self.config.implementation == "fft"
        convolve = convolve_fast if fast else convolve_direct
        y = convolve(seen, self.kernel[...])
        if self.output_channels == 1:
            y = y.sum(0, keepdims=True)
        return y if self.bias is None else y + self.bias[...][:, None]


def convolve_direct(seen: jax.Array, kernel: jax.Array) -> jax.Array:
    """The samples of `seen` * `kernel` that the whole kernel overlaps, tap by tap.

    Args:
        seen: [P or 1, K - 1 + T].
        kernel: [P or 1, K], the current sample's tap first.

    Returns:
        [P, T], row p with kernel p, or all with the only one.
    """
    paths = max(len(seen), len(kernel))

    def one(row: jax.Array, taps: jax.Array) -> jax.Array:
        return causal_conv(taps[None, None, ::-1], row[None], 1)[0]

    return jax.vmap(one)(
        jnp.broadcast_to(seen, (paths, seen.shape[1])),
        jnp.broadcast_to(kernel, (paths, kernel.shape[1])),
    )


def convolve_fast(seen: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same as `convolve_direct`, by FFT over overlapping frames (overlap-save)."""
    taps, length = kernel.shape[1], seen.shape[1]
    frame = min(_power_of_two(max(4 * taps, 4096)), _power_of_two(length))
    hop = frame - taps + 1  # samples of a frame that the cyclic convolution leaves intact
    frames = -(-(length - taps + 1) // hop)
    padded = jnp.pad(seen, ((0, 0), (0, frames * hop + taps - 1 - length)))
    columns = hop * np.arange(frames)[:, None] + np.arange(frame)
    spectra = jnp.fft.rfft(padded[:, columns]) * jnp.fft.rfft(kernel, frame)[:, None]
    y = jnp.fft.irfft(spectra, frame)[..., taps - 1 :]  # [P, frames, hop]
    return y.reshape(len(y), frames * hop)[:, : length - taps + 1]


def _power_of_two(n: int) -> int:
    """The least power of two that is not below n."""
    return 1 << (n - 1).bit_length()
