"""The base class of all flows: likelihood and samples, from the two directions.

"Forward" is the density direction x -> z, as in the WaveFlow and WaveGlow papers.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wf_jax.audio.draws import clip_keys, draw
from wf_jax.audio.mel import mel_of_context
from wf_jax.flows.config import FlowConfig

LOG_2PI = float(np.log(2 * np.pi))


class Flow(nnx.Module):
    """A likelihood model of audio [B, T] given mel [B, M, F].

    A family gives `forward` and `inverse`, or, where it has no latent (config.has_latent),
    `log_likelihood` and `generate`. T may be anything up to F * hop. Where `lengths` says that a
    clip is shorter, what follows it is of no effect, its latent and audio are zero, and a clip's
    result does not depend on the batch that it is in.
    """

    config: FlowConfig
    upsampler: Callable[..., jax.Array]  # mel [B, M, F], frames [B] or None -> [B, F * hop, M]

    def adapt(self, mels: Callable[[], np.ndarray]) -> None:
        """Measures what training leaves as it is, before it begins; nothing here.

        Args:
            mels: returns log-mels [N, M] of the corpus.
        """

    def analyze(self, context: jax.Array) -> jax.Array:
        """Computes what the flow is conditioned on, its mel, of audio with its context.

        Args:
            context: [B, N], as `wf_jax.audio.mel.mel_of_context` takes it.

        Returns:
            [B, M, F].
        """
        return mel_of_context(context, self.config.mel)

    def side_loss(self, mel: jax.Array) -> jax.Array | float:
        """Computes the loss of parts that the likelihood does not train; none here.

        Args:
            mel: [B, M, F], from `analyze`.
        """
        del mel
        return 0.0

    def forward(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Maps audio to latent: the density direction.

        Args:
            audio: [B, T] float32.
            mel: [B, M, F] with F * hop >= T.
            lengths: [B], samples of each clip that are real; None: all T.

        Returns:
            z [B, T], each value in the place of its sample, and log |det dz/dx| [B].
        """
        raise NotImplementedError

    def inverse(self, z: jax.Array, mel: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
        """Latent [B, T] -> audio [B, T]: the inverse of `forward`, same arguments."""
        raise NotImplementedError

    def log_likelihood(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None = None
    ) -> jax.Array:
        """Log density of whole clips in nats, [B]; arguments as in `forward`."""
        z, log_det = self.forward(audio, mel, lengths)
        constant = 0.5 * LOG_2PI * _samples(audio, lengths)
        return log_det - 0.5 * jnp.sum(jnp.square(z), axis=1) - constant

    def log_prob(
        self, audio: jax.Array, mel: jax.Array, lengths: jax.Array | None = None
    ) -> jax.Array:
        """Log-likelihood in nats per real sample, [B]; arguments as in `forward`."""
        nats = self.log_likelihood(audio, mel, lengths)
        return nats / jnp.maximum(_samples(audio, lengths), 1)

    def generate(
        self,
        noise: jax.Array,
        seeds: jax.Array,
        mel: jax.Array,
        lengths: jax.Array | None = None,
        temperature: jax.Array | float = 1.0,
    ) -> jax.Array:
        """Draws audio.

        Args:
            noise: [B, T] standard normal.
            seeds: [B] uint32, of what a model may need to draw beside that.
            mel: [B, M, F] with F * hop >= T.
            lengths: [B], samples of each clip that are wanted; None: all T.
            temperature: 1 draws from the model; less stays closer to the most likely, 0 uses no
                noise.

        Returns:
            Audio [B, T].
        """
        del seeds
        return self.inverse(temperature * noise, mel, lengths)

    def sample(self, key: jax.Array, mel: jax.Array, temperature: float = 1.0) -> jax.Array:
        """Draws audio [B, F * hop] for mel [B, M, F]; see `generate`, and `draw` for the noise."""
        mel = jnp.asarray(mel)
        keys = clip_keys(key, mel.shape[0])
        noise, seeds = draw(
            keys, jnp.zeros(mel.shape[:1], jnp.int32), mel, self.config.mel.hop_length
        )
        return self.generate(noise, seeds, mel, temperature=temperature)

    def _upsampled(self, mel: jax.Array, samples: int, lengths: jax.Array | None) -> jax.Array:
        """Computes the condition of every sample: mel [B, M, F] -> [B, samples, M]."""
        hop = self.config.mel.hop_length
        frames = None if lengths is None else -(-lengths // hop)
        with jax.default_matmul_precision(self.config.matmul_precision):
            return self.upsampler(mel[:, :, : -(-samples // hop)], frames)[:, :samples]

    def _check(self, audio: jax.Array, mel: jax.Array) -> None:
        """Raises ValueError if the sizes of audio [B, T] and mel [B, M, F] do not match."""
        hop, bands = self.config.mel.hop_length, {self.config.mel.n_mels, self.config.bands}
        known = audio.ndim == 2 and mel.ndim == 3 and mel.shape[1] in bands
        if not known or mel.shape[0] != audio.shape[0]:
            rows = " or ".join(map(str, sorted(bands)))
            raise ValueError(
                f"audio {audio.shape} and mel {mel.shape} are not [B, T] and [B, {rows}, F]"
            )
        if audio.shape[1] > mel.shape[2] * hop:
            raise ValueError(
                f"{audio.shape[1]} samples are more than {mel.shape[2]} mel frames of hop {hop} "
                f"stand for; give {-(-audio.shape[1] // hop)} frames or fewer samples"
            )


def _samples(audio: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """Number of real samples of each clip, of the audio's type: [B], or one number for all."""
    return jnp.asarray(audio.shape[1] if lengths is None else lengths).astype(audio.dtype)


def real(lengths: jax.Array, samples: int) -> jax.Array:
    """Returns a mask from lengths [B]: [B, samples] float32, 1 where a sample is real."""
    return (jnp.arange(samples) < lengths[:, None]).astype(jnp.float32)
