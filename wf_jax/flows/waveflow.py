"""WaveFlow: a likelihood model of audio that is autoregressive over a few squeezed rows.

Ping, Peng, Zhao and Song, "WaveFlow: A Compact Flow-based Model for Raw Audio", ICML 2020.
"Forward" is the density direction x -> z.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wf_jax.flows.decoding import current_decode
from wf_jax.flows.flow import Flow
from wf_jax.flows.gated_net import GatedNet, NetShape
from wf_jax.flows.squeeze import composed, permutations, sample_mask, squeeze, unsqueeze
from wf_jax.flows.upsampler import Upsampler
from wf_jax.flows.waveflow_config import WaveFlowConfig

LARGE = 2**30  # bytes that the conditions of one flow may take at once


class WaveFlow(Flow):
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
        self.upsampler = self._new_upsampler(rng)
        shape = NetShape(
            conditions=config.conditions,
            channels=config.channels,
            outputs=2,  # log scale and shift
            taps=(config.kernel, config.kernel),
            dilations=config.dilations,
            dtype=config.compute_dtype,
            precision=config.matmul_precision,
        )
        nets = [GatedNet(shape, rng=rng) for _ in range(config.flows)]
        self.flows = jax.tree.map(lambda *leaves: np.stack(leaves), *nets)

    def _new_upsampler(self, rng: np.random.Generator) -> Callable[..., jax.Array]:
        return Upsampler(self.config.upsample_factors, rng=rng)

    def forward(
        self,
        audio: jax.Array,
        mel: jax.Array,
        lengths: jax.Array | None = None,
        *,
        row_by_row: bool | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """See Flow.forward.

        With `row_by_row` it goes over the rows one after another, which takes less memory and more
        time; None: where a clip is long.
        """
        x, c, mask = self._squeezed(audio, mel, lengths)
        if row_by_row is None:
            row_by_row = self._is_long(audio.shape[1])
        z, log_det = self.encode(x, c, mask, row_by_row=row_by_row)
        return unsqueeze(z)[:, : audio.shape[1]], log_det

    def inverse(self, z: jax.Array, mel: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
        """Maps latent [B, T] to audio [B, T]: the inverse of `forward`, same arguments."""
        squeezed, c, mask = self._squeezed(z, mel, lengths)
        decode = current_decode() or self.decode
        return unsqueeze(decode(squeezed, c, mask))[:, : z.shape[1]]

    def condition(
        self, mel: jax.Array, samples: int, lengths: jax.Array | None = None
    ) -> jax.Array:
        """Upsamples mel [B, M, F] to [B, h, W, M] for `samples`, the last column filled up."""
        height, c = self.config.height, self._upsampled(mel, samples, lengths)
        c = jnp.pad(c, ((0, 0), (0, -samples % height), (0, 0)))
        return c.reshape(c.shape[0], -1, height, c.shape[2]).swapaxes(1, 2)

    def encode(
        self, x: jax.Array, c: jax.Array, mask: jax.Array | None = None, *, row_by_row: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Maps squeezed audio [B, h, W], condition [B, h, W, M] to z [B, h, W], log_det [B].

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
                jax.checkpoint(body, prevent_cse=False), carry, (self.flows, self.orders())
            )
        return z[:, np.argsort(composed(self.orders()))], log_det

    def decode(self, z: jax.Array, c: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Inverts `encode`: [B, h, W] -> [B, h, W]."""
        columns, orders = _columns(mask), self.orders()
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

    def orders(self) -> np.ndarray:
        """Returns the order of the rows after each flow, [K, h]: see `squeeze.permutations`."""
        config = self.config
        return permutations(config.permutation, config.flows, config.height)

    def _squeezed(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array | None]:
        """Squeezes the audio, the condition, and the mask where any sample is missing."""
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

    def _is_long(self, samples: int) -> bool:
        if not isinstance(samples, int):  # a symbol: exported for every length
            return True
        return 4 * samples * self.config.layers * 2 * self.config.channels > LARGE


def _forward_at_once(
    net: GatedNet, x: jax.Array, c: jax.Array, mask: jax.Array | None, columns: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Applies one flow x -> z, before the permutation: z [B, h, W] and its log_det [B]."""
    out = net(x[:, :-1, :, None], c[:, 1:], columns)
    log_scale, shift = _scale_and_shift(out, None if mask is None else mask[:, 1:])
    z = x[:, 1:] * jnp.exp(log_scale) + shift
    return jnp.concatenate([x[:, :1], z], axis=1), jnp.sum(log_scale, axis=(1, 2))


def _forward_by_row(
    net: GatedNet, x: jax.Array, c: jax.Array, mask: jax.Array | None, columns: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Computes what `_forward_at_once` does, row by row: slower with gradients, less memory."""

    def update(out: jax.Array, row: Any) -> tuple[jax.Array, Any]:
        x, mask = row
        log_scale, shift = _scale_and_shift(out, mask)
        return x, (x * jnp.exp(log_scale) + shift, log_scale)

    z, log_scale = net.fold().scan(x[:, 0], _others(x, mask), c[:, 1:], columns, update)
    return jnp.concatenate([x[:, :1], z], axis=1), jnp.sum(log_scale, axis=(1, 2))


def _inverse(
    net: GatedNet, z: jax.Array, c: jax.Array, mask: jax.Array | None, columns: jax.Array | None
) -> jax.Array:
    """Inverts one flow z -> x, after the permutation was undone: [B, h, W] -> [B, h, W]."""

    def update(out: jax.Array, row: Any) -> tuple[jax.Array, Any]:
        z, mask = row
        log_scale, shift = _scale_and_shift(out, mask)
        x = (z - shift) * jnp.exp(-log_scale)
        return x, x

    x = net.fold().scan(z[:, 0], _others(z, mask), c[:, 1:], columns, update)
    return jnp.concatenate([z[:, :1], x], axis=1)


def _scale_and_shift(out: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Splits outputs [..., 2] into log scale and shift, both 0 where the mask is 0."""
    log_scale, shift = out[..., 0], out[..., 1]
    return (log_scale, shift) if mask is None else (log_scale * mask, shift * mask)


def _others(x: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array | None]:
    """Returns all rows but the first, of x and of the mask."""
    return x[:, 1:], None if mask is None else mask[:, 1:]


def _columns(mask: jax.Array | None) -> jax.Array | None:
    """Returns the columns that hold a real sample, from a mask [B, h, W]: [B, 1, W, 1]."""
    return None if mask is None else jnp.max(mask, axis=1)[:, None, :, None]


def _reordered(mask: jax.Array | None, order: jax.Array) -> jax.Array | None:
    return None if mask is None else mask[:, order]
