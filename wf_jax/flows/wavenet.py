"""WaveNet: each sample from all that came before; and the flow of several such nets.

van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016; Ping, Peng and Chen,
"ClariNet", 2019 (the Gaussian head); the autoregressive flow of the WaveFlow paper. Sampling keeps
each layer's past in a ring (Paine et al., "Fast Wavenet Generation Algorithm", 2016).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.flows.flow import Flow, real
from wf_jax.flows.gated_net import GatedNet, NetShape
from wf_jax.flows.heads import Gaussian, Head, head_of
from wf_jax.flows.upsampler import Upsampler
from wf_jax.flows.wavenet_config import WaveNetConfig


class WaveNet(Flow):
    """A net that gives the density of every sample x_t, from x_<t and the condition of t.

    It is the net of a WaveFlow whose height is the clip's length: a row is a sample, and the kernel
    [K, 1] looks up only. Where a WaveFlow copies its first row, here the first sample's density
    follows from its condition alone. With a Gaussian head z_t = (x_t - mean_t) / deviation_t is
    standard normal, so it is a flow; several of them, each over the samples in the other order,
    are the autoregressive flow.
    """

    def __init__(self, config: WaveNetConfig, rng: np.random.Generator):
        """Draws the weights."""
        self.config = config
        self.upsampler = Upsampler(config.upsample_factors, rng=rng)
        shape = NetShape(
            conditions=config.mel.n_mels,
            channels=config.channels,
            outputs=self.head.outputs,
            taps=(config.kernel, 1),
            dilations=config.dilations,
            dtype=config.compute_dtype,
            precision=config.matmul_precision,
        )
        self.nets = nnx.List([GatedNet(shape, rng=rng) for _ in range(config.flows)])
        if not config.has_latent:  # components that start equal would stay equal
            for net in self.nets:
                kernel, bias = net.end.kernel, net.end.bias
                bound = config.channels**-0.5
                kernel[...] = rng.uniform(-bound, bound, kernel.shape).astype(np.float32)
                bias[...] = rng.uniform(-bound, bound, bias.shape).astype(np.float32)

    @property
    def head(self) -> Head:
        """The head, which interprets the outputs."""
        return head_of(self.config)

    def forward(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """See Flow.forward.

        Raises:
            ValueError: the head has no latent.
        """
        head, mask = self._gaussian(), _mask(audio, lengths)
        x, c = self._inputs(audio, mel, lengths)
        log_det = jnp.zeros_like(x[:, 0])
        for number, net in enumerate(self.nets):
            if number:
                x, c = _turned(x, lengths), _turned(c, lengths)
            z, log_scale = head.latent(self._outputs(net, x, c), x)
            x = z * mask
            log_det = log_det + jnp.sum(log_scale * mask, axis=1)
        return (x if len(self.nets) % 2 else _turned(x, lengths)), log_det

    def inverse(self, z: jax.Array, mel: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
        """See Flow.inverse: sample after sample.

        Raises:
            ValueError: the head has no latent.
        """
        self._gaussian()
        self._check(z, mel)
        return self.generate(z, jnp.zeros_like(z[:, 0], jnp.uint32), mel, lengths)

    def log_likelihood(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None = None
    ) -> jax.Array:
        """See Flow.log_likelihood."""
        if self.config.flows > 1:
            return super().log_likelihood(audio, mel, lengths)
        return jnp.sum(self.log_densities(audio, mel, lengths), axis=1)

    def log_densities(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None = None
    ) -> jax.Array:
        """Computes the log density of each sample given those before it, [B, T]; one net only."""
        x, c = self._inputs(audio, mel, lengths)
        (net,) = self.nets
        return self.head.log_prob(self._outputs(net, x, c), x) * _mask(audio, lengths)

    def parameters(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None = None
    ) -> jax.Array:
        """Computes the head's outputs [B, T, O] for each sample of given audio; one net only."""
        (net,) = self.nets
        return self._outputs(net, *self._inputs(audio, mel, lengths))

    def generate(
        self,
        noise: jax.Array,
        seeds: jax.Array,
        mel: jax.Array,
        lengths: jax.Array | None = None,
        temperature: jax.Array | float = 1.0,
    ) -> jax.Array:
        """See Flow.generate."""
        mask = _mask(noise, lengths)
        x, c = self._inputs(noise, mel, lengths)
        last = len(self.nets) - 1
        if last % 2:
            x, c = _turned(x, lengths), _turned(c, lengths)
        for number in range(last, -1, -1):
            drawn = self._drawn(self.nets[number], x, seeds, c, temperature)
            x, temperature = drawn * mask, 1.0  # of the latent, which the last flow is given
            if number:
                x, c = _turned(x, lengths), _turned(c, lengths)
        return x

    def _drawn(
        self,
        net: GatedNet,
        noise: jax.Array,
        seeds: jax.Array,
        c: jax.Array,
        temperature: jax.Array | float,
    ) -> jax.Array:
        """Draws samples [B, T], one after the other, from noise [B, T] and conditions [B, T, M]."""
        head = self.head
        keys = _keys(seeds, noise.shape[1])

        def draw(out: jax.Array, noise: jax.Array, keys: jax.Array) -> jax.Array:
            return head.draw(out, noise, keys, temperature).astype(noise.dtype)

        def update(out: jax.Array, row: Any) -> tuple[jax.Array, jax.Array]:
            x = draw(out[:, 0], *row)
            return x[:, None], x

        with jax.default_matmul_precision(self.config.matmul_precision):
            first = draw(net.before_the_first(c[:, 0]), noise[:, 0], keys[:, 0])[:, None]
            if noise.shape[1] == 1:
                return first
            rows = (noise[:, 1:], keys[:, 1:])
            others = net.fold().scan(first, rows, c[:, 1:, None], None, update)
        return jnp.concatenate([first, others], axis=1)

    def _outputs(self, net: GatedNet, x: jax.Array, c: jax.Array) -> jax.Array:
        """Computes the head's outputs [B, T, O] for samples x [B, T], conditions [B, T, M]."""
        with jax.default_matmul_precision(self.config.matmul_precision):
            first = net.before_the_first(c[:, :1])
            if x.shape[1] == 1:
                return first
            others = net(x[:, :-1, None, None], c[:, 1:, None])[:, :, 0]
        return jnp.concatenate([first.astype(others.dtype), others], axis=1)

    def _inputs(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        """Returns audio [B, T], zero where it is not real, and the condition [B, T, M]."""
        self._check(audio, mel)
        return audio * _mask(audio, lengths), self._upsampled(mel, audio.shape[1], lengths)

    def _gaussian(self) -> Gaussian:
        if not self.config.has_latent:
            raise ValueError(
                f"a {self.config.head} head has no latent: use log_prob and sample, or the "
                "gaussian head"
            )
        return self.head


def _mask(audio: jax.Array, lengths: jax.Array | None) -> jax.Array | float:
    """Returns a mask [B, T], 1 where a sample is real."""
    return 1.0 if lengths is None else real(lengths, audio.shape[1]).astype(audio.dtype)


def _keys(seeds: jax.Array, samples: int) -> jax.Array:
    """Makes a key for every sample [B, samples] from seeds [B], whatever the number of samples."""
    numbers = jnp.arange(samples)
    return jax.vmap(
        lambda seed: jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(numbers)
    )(seeds)


def _turned(x: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """Reverses the real samples of [B, T, ...]; the padding after them stays."""
    if lengths is None:
        return jnp.flip(x, axis=1)
    places = jnp.arange(x.shape[1])
    order = jnp.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
    return jax.vmap(lambda row, order: row[order])(x, order)
