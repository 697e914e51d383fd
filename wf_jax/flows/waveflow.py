"""WaveFlow: a likelihood model of audio that is autoregressive over a few squeezed rows.

Ping, Peng, Zhao and Song, "WaveFlow: A Compact Flow-based Model for Raw Audio", ICML 2020.
"Forward" is the density direction x -> z.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wf_jax.flows.config import WaveFlowConfig
from wf_jax.flows.row_net import RowNet
from wf_jax.flows.squeeze import composed, permutations, sample_mask, squeeze, unsqueeze
from wf_jax.flows.upsampler import Upsampler

LOG_2PI = float(np.log(2 * np.pi))


class WaveFlow(nnx.Module):
    """Audio x <-> latent z, both [B, T], given mel [B, M, F].

    Squeezed into h rows, each of K flows copies row 0 and maps row i to
    z_i = exp(log_scale) * x_i + shift, both from rows above and the condition of row i; then the
    rows change places. log_det is the sum of all log scales.

    T may be anything up to F * hop. Where it is not a multiple of the height, or where `lengths`
    says that a clip is shorter, the missing samples are constants: they stay zero in every flow
    and add nothing to the likelihood, which so remains exact, and a clip's result does not depend
    on the batch that it is in.
    """

    def __init__(self, config: WaveFlowConfig, rng: np.random.Generator):
        """Draws the weights; the flows' arrays are stacked on a leading axis."""
        self.config = config
        self.upsampler = Upsampler(config.upsample_factors, rng=rng)
        nets = [RowNet(config, rng=rng) for _ in range(config.flows)]
        self.flows = jax.tree.map(lambda *leaves: np.stack(leaves), *nets)

    def forward(
        self,
        audio: jax.Array,
        mel: jax.Array,
        lengths: jax.Array | None = None,
        *,
        row_by_row: bool = False,
    ) -> tuple[jax.Array, jax.Array]:
        """The density direction.

        Args:
            audio: [B, T] float32.
            mel: [B, M, F] with F * hop >= T.
            lengths: [B], samples of each clip that are real; None: all T.
            row_by_row: go over the rows one after another: less memory, more time.

        Returns:
            z [B, T], each value in the place of its sample, and log |det dz/dx| [B].
        """
        x, c, mask = self._squeezed(audio, mel, lengths)
        z, log_det = self.encode(x, c, mask, row_by_row=row_by_row)
        return unsqueeze(z)[:, : audio.shape[1]], log_det

    def inverse(self, z: jax.Array, mel: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
        """Latent [B, T] -> audio [B, T]: the inverse of `forward`, same arguments."""
        squeezed, c, mask = self._squeezed(z, mel, lengths)
        return unsqueeze(self.decode(squeezed, c, mask))[:, : z.shape[1]]

    def log_prob(
        self,
        audio: jax.Array,
        mel: jax.Array,
        lengths: jax.Array | None = None,
        *,
        row_by_row: bool = False,
    ) -> jax.Array:
        """Log-likelihood in nats per real sample, [B]; arguments as in `forward`."""
        z, log_det = self.forward(audio, mel, lengths, row_by_row=row_by_row)
        count = audio.shape[1] if lengths is None else jnp.maximum(lengths, 1)
        return (log_det - 0.5 * jnp.sum(jnp.square(z), axis=1)) / count - 0.5 * LOG_2PI

    def sample(self, key: jax.Array, mel: jax.Array, temperature: float = 1.0) -> jax.Array:
        """Audio [B, F * hop] for mel [B, M, F]; the latent has deviation `temperature`."""
        shape = (mel.shape[0], mel.shape[2] * self.config.mel.hop)
        return self.inverse(temperature * jax.random.normal(key, shape), mel)

    def condition(
        self, mel: jax.Array, samples: int, lengths: jax.Array | None = None
    ) -> jax.Array:
        """Mel [B, M, F] -> [B, h, W, M] for `samples` samples, the last column filled up."""
        height, hop = self.config.height, self.config.mel.hop
        frames = None if lengths is None else -(-lengths // hop)
        with jax.default_matmul_precision(self.config.matmul_precision):
            c = self.upsampler(mel[:, :, : -(-samples // hop)], frames)[:, :samples]
        c = jnp.pad(c, ((0, 0), (0, -samples % height), (0, 0)))
        return c.reshape(c.shape[0], -1, height, c.shape[2]).swapaxes(1, 2)

    def encode(
        self, x: jax.Array, c: jax.Array, mask: jax.Array | None = None, *, row_by_row: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Squeezed audio [B, h, W] and condition [B, h, W, M] -> z [B, h, W], log_det [B].

        The mask [B, h, W] is 1 at real samples; None: all are.
        """
        columns = _columns(mask)
        one_flow = _forward_by_row if row_by_row else _forward_at_once

        def body(carry, flow):
            x, c, mask, log_det = carry
            net, order = flow
            x, added = one_flow(net, x, c, mask, columns)
            return (x[:, order], c[:, order], _reordered(mask, order), log_det + added), None

        carry = (x, c, mask, jnp.zeros_like(x[:, 0, 0]))
        with jax.default_matmul_precision(self.config.matmul_precision):
            (z, _, _, log_det), _ = lax.scan(
                jax.checkpoint(body, prevent_cse=False), carry, (self.flows, self._orders())
            )
        return z[:, np.argsort(composed(self._orders()))], log_det

    def decode(self, z: jax.Array, c: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """The inverse of `encode`: [B, h, W] -> [B, h, W]."""
        columns, orders = _columns(mask), self._orders()
        last = composed(orders)  # the order that the rows of z are in

        def body(carry, flow):
            z, c, mask = carry
            net, order = flow
            z, c, mask = z[:, order], c[:, order], _reordered(mask, order)
            return (_inverse(net, z, c, mask, columns), c, mask), None

        carry = (z[:, last], c[:, last], _reordered(mask, last))
        with jax.default_matmul_precision(self.config.matmul_precision):
            (x, _, _), _ = lax.scan(body, carry, (self.flows, orders), reverse=True)
        return x

    def _orders(self) -> np.ndarray:
        config = self.config
        return permutations(config.permutation, config.flows, config.height)

    def _squeezed(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array | None]:
        """Rows of the audio, of the condition, and of the mask where anything is missing."""
        self._check(audio, mel)
        height, samples = self.config.height, audio.shape[1]
        filled = jnp.pad(audio, ((0, 0), (0, -samples % height)))
        if lengths is None and samples % height:
            lengths = jnp.full_like(audio[:, 0], samples, jnp.int32)
        x, c = squeeze(filled, height), self.condition(mel, samples, lengths)
        if lengths is None:
            return x, c, None
        mask = sample_mask(lengths, filled.shape[1], height)
        return x * mask, c * mask[..., None], mask

    def _check(self, audio: jax.Array, mel: jax.Array) -> None:
        bands, hop = self.config.mel.bands, self.config.mel.hop
        if audio.ndim != 2 or mel.ndim != 3 or mel.shape[:2] != (audio.shape[0], bands):
            raise ValueError(
                f"audio {audio.shape} and mel {mel.shape} are not [B, T] and [B, {bands}, F]"
            )
        if audio.shape[1] > mel.shape[2] * hop:
            raise ValueError(
                f"{audio.shape[1]} samples are more than {mel.shape[2]} mel frames of hop {hop} "
                f"stand for; give {-(-audio.shape[1] // hop)} frames or fewer samples"
            )


def _forward_at_once(
    net: RowNet, x: jax.Array, c: jax.Array, mask: jax.Array | None, columns: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """One flow x -> z, before the permutation: z [B, h, W] and its log_det [B]."""
    log_scale, offset = net(x[:, :-1], c[:, 1:], columns)
    if mask is not None:
        log_scale, offset = log_scale * mask[:, 1:], offset * mask[:, 1:]
    z = x[:, 1:] * jnp.exp(log_scale) + offset
    return jnp.concatenate([x[:, :1], z], axis=1), jnp.sum(log_scale, axis=(1, 2))


def _forward_by_row(
    net: RowNet, x: jax.Array, c: jax.Array, mask: jax.Array | None, columns: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """The same, row by row."""

    def update(log_scale: jax.Array, offset: jax.Array, x: jax.Array) -> tuple[jax.Array, Any]:
        return x, (x * jnp.exp(log_scale) + offset, log_scale)

    z, log_scale = net.fold().scan(x, c, mask, columns, update)
    return jnp.concatenate([x[:, :1], z], axis=1), jnp.sum(log_scale, axis=(1, 2))


def _inverse(
    net: RowNet, z: jax.Array, c: jax.Array, mask: jax.Array | None, columns: jax.Array | None
) -> jax.Array:
    """One flow z -> x, after the permutation was undone: [B, h, W] -> [B, h, W]."""

    def update(log_scale: jax.Array, offset: jax.Array, z: jax.Array) -> tuple[jax.Array, Any]:
        x = (z - offset) * jnp.exp(-log_scale)
        return x, x

    x = net.fold().scan(z, c, mask, columns, update)
    return jnp.concatenate([z[:, :1], x], axis=1)


def _columns(mask: jax.Array | None) -> jax.Array | None:
    """[B, h, W] -> [B, 1, W, 1]: the columns that hold a real sample."""
    return None if mask is None else jnp.max(mask, axis=1)[:, None, :, None]


def _reordered(mask: jax.Array | None, order: jax.Array) -> jax.Array | None:
    return None if mask is None else mask[:, order]
