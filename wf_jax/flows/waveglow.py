"""WaveGlow: a bipartite flow over the same squeeze, all samples at once in both directions.

Prenger, Valle and Catanzaro, "WaveGlow: A Flow-based Generative Network for Speech Synthesis",
2019; layout and sizes of NVIDIA's released code.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wf_jax.flows.flow import Flow, real
from wf_jax.flows.gated_net import GatedNet, NetShape
from wf_jax.flows.waveglow_config import WaveGlowConfig


class GlowUpsampler(nnx.Module):
    """One transposed convolution over time, all bands to all bands, several hops long.

    Output sample t of band n is bias[n] + sum over frames f and bands m of
    mel[m, f] kernel[t - f hop, m, n]; F frames give the first F * hop samples.
    """

    def __init__(self, config: WaveGlowConfig, *, rng: np.random.Generator):
        """Draws the weights, uniform in +-1 / sqrt(bands * taps), PyTorch's for this layer."""
        bands, taps = config.mel.n_mels, config.upsample_hops * config.mel.hop_length
        bound = (bands * taps) ** -0.5
        self.hop = config.mel.hop_length
        self.kernel = nnx.Param(rng.uniform(-bound, bound, (taps, bands, bands)).astype(np.float32))
        self.bias = nnx.Param(rng.uniform(-bound, bound, bands).astype(np.float32))

    def __call__(self, mel: jax.Array, frames: jax.Array | None = None) -> jax.Array:
        """Upsamples mel [B, M, F] to [B, F * hop, M]; of clip b only the first frames[b] count."""
        x, kernel = mel.swapaxes(1, 2), self.kernel[...]
        if frames is not None:
            x = jnp.where(jnp.arange(x.shape[1])[:, None] < frames[:, None, None], x, 0)
        bands, count, hops = x.shape[2], x.shape[1], kernel.shape[0] // self.hop
        # A block of a hop sees its own frame and those before it: one product of [hops * M].
        padded = jnp.pad(x, ((0, 0), (hops - 1, 0), (0, 0)))
        seen = [padded[:, hops - 1 - k : hops - 1 - k + count] for k in range(hops)]
        matrix = kernel.reshape(hops, self.hop, bands, bands).swapaxes(1, 2)
        blocks = jnp.concatenate(seen, axis=-1) @ matrix.reshape(hops * bands, self.hop * bands)
        return blocks.reshape(x.shape[0], -1, bands) + self.bias[...]


class GlowFlow(nnx.Module):
    """Mixes the channels of each column, y = W x, then maps the second half of y given the first.

    y1 = exp(log_scale) y1 + shift, both from y0 by a net over the columns. W starts as a random
    rotation.
    """

    def __init__(self, config: WaveGlowConfig, channels: int, *, rng: np.random.Generator):
        """Draws the weights of a flow over `channels`."""
        shape = NetShape(
            inputs=channels // 2,
            conditions=config.groups * config.mel.n_mels,
            channels=config.channels,
            outputs=channels,  # shift and log scale
            taps=(1, config.kernel),
            dilations=config.dilations,
            dtype=config.compute_dtype,
            precision=config.matmul_precision,
        )
        self.mixing = nnx.Param(_rotation(channels, rng))
        self.net = GatedNet(shape, rng=rng)

    def forward(
        self, x: jax.Array, c: jax.Array, columns: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        """Maps x [B, W, C], condition [B, W, D] to y [B, W, C], log_det [B]; columns [B, W, 1]."""
        y = _mixed(x, self.mixing[...])
        kept, changed = jnp.split(y, 2, axis=-1)
        log_scale, shift = self._scale_and_shift(kept, c, columns)
        changed = changed * jnp.exp(log_scale) + shift
        mixed = jnp.linalg.slogdet(self.mixing[...])[1].astype(x.dtype)
        count = x.shape[1] if columns is None else jnp.sum(columns, axis=(1, 2))
        log_det = jnp.sum(log_scale, axis=(1, 2)) + count * mixed
        return jnp.concatenate([kept, changed], axis=-1), log_det

    def inverse(self, y: jax.Array, c: jax.Array, columns: jax.Array | None) -> jax.Array:
        """Maps y [B, W, C] back to x [B, W, C]."""
        kept, changed = jnp.split(y, 2, axis=-1)
        log_scale, shift = self._scale_and_shift(kept, c, columns)
        changed = (changed - shift) * jnp.exp(-log_scale)
        y = jnp.concatenate([kept, changed], axis=-1)
        return _mixed(y, jnp.linalg.inv(self.mixing[...]).astype(y.dtype))

    def _scale_and_shift(
        self, kept: jax.Array, c: jax.Array, columns: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        rows = None if columns is None else columns[:, None]
        out = self.net(kept[:, None], c[:, None], rows)[:, 0]
        out = out if columns is None else out * columns
        shift, log_scale = jnp.split(out, 2, axis=-1)
        return log_scale, shift


class WaveGlow(Flow):
    """Audio x <-> latent z, both [B, T], given mel [B, M, F].

    Groups of g neighboring samples are the channels of T / g columns. Each flow mixes the channels
    of a column by a matrix and maps half of them by the others; after every few flows some channels
    leave as latent. log_det is the sum of all log scales and of log |det W| per column.

    Samples of a column that is not full, fewer than g at the end of a clip, are copied.
    """

    def __init__(self, config: WaveGlowConfig, rng: np.random.Generator):
        """Draws the weights; the flows between early outputs are stacked on a leading axis."""
        self.config = config
        self.upsampler = GlowUpsampler(config, rng=rng)
        self.stages = nnx.List(
            [
                jax.tree.map(
                    lambda *leaves: np.stack(leaves),
                    *[GlowFlow(config, channels, rng=rng) for _ in range(flows)],
                )
                for flows, channels in config.stages
            ]
        )

    def forward(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """See Flow.forward."""
        x, c, columns, rest = self._grouped(audio, mel, lengths)
        size, left, log_det = self.config.early_size, [], jnp.zeros_like(audio[:, 0])

        def body(carry: Any, flow: GlowFlow) -> Any:
            x, log_det = carry
            x, added = flow.forward(x, c, columns)
            return (x, log_det + added), None

        with jax.default_matmul_precision(self.config.matmul_precision):
            for number, flows in enumerate(self.stages):
                if number:
                    left.append(x[..., :size])
                    x = x[..., size:]
                one = jax.checkpoint(body, prevent_cse=False)
                (x, log_det), _ = lax.scan(one, (x, log_det), flows)
        return self._samples(jnp.concatenate([*left, x], axis=-1), columns, rest), log_det

    def inverse(self, z: jax.Array, mel: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
        """See Flow.inverse."""
        y, c, columns, rest = self._grouped(z, mel, lengths)
        size, stages = self.config.early_size, len(self.stages)

        def body(y: jax.Array, flow: GlowFlow) -> tuple[jax.Array, None]:
            return flow.inverse(y, c, columns), None

        x = y[..., size * (stages - 1) :]
        with jax.default_matmul_precision(self.config.matmul_precision):
            for number in range(stages - 1, -1, -1):
                x, _ = lax.scan(body, x, self.stages[number], reverse=True)
                if number:
                    x = jnp.concatenate([y[..., size * (number - 1) : size * number], x], axis=-1)
        return self._samples(x, columns, rest)

    def _grouped(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array | None, jax.Array]:
        """Groups samples into columns [B, W, g], with their condition [B, W, g * M].

        Also returns the mask of real columns, [B, W, 1] or None, and the samples [B, T] outside
        full columns, zeros elsewhere.
        """
        self._check(audio, mel)
        groups, samples = self.config.groups, audio.shape[1]
        missing = -samples % groups
        if lengths is None and missing:
            lengths = jnp.full_like(audio[:, 0], samples, jnp.int32)
        c = self._upsampled(mel, samples, lengths)
        c = jnp.pad(c, ((0, 0), (0, missing), (0, 0)))
        c = c.reshape(c.shape[0], -1, groups * c.shape[2])
        filled = jnp.pad(audio, ((0, 0), (0, missing)))
        x = filled.reshape(audio.shape[0], -1, groups)
        if lengths is None:
            return x, c, None, jnp.zeros_like(audio)
        whole = lengths // groups
        columns = real(whole, x.shape[1])[..., None].astype(audio.dtype)
        outside = real(lengths, samples) - real(whole * groups, samples)
        return x * columns, c * columns, columns, audio * outside.astype(audio.dtype)

    def _samples(self, x: jax.Array, columns: jax.Array | None, rest: jax.Array) -> jax.Array:
        """Reshapes columns [B, W, g] to samples [B, T]."""
        x = x if columns is None else x * columns
        return x.reshape(x.shape[0], -1)[:, : rest.shape[1]] + rest


def _mixed(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """Multiplies x [B, W, C] by the matrix [C, C], at full precision: it is audio."""
    return jnp.einsum("bwj,ij->bwi", x, matrix, precision="highest")


def _rotation(channels: int, rng: np.random.Generator) -> np.ndarray:
    """Draws a random orthogonal matrix [C, C] of determinant 1."""
    q, r = np.linalg.qr(rng.standard_normal((channels, channels)))
    q = q * np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    return q.astype(np.float32)
