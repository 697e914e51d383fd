"""A small flow of one voice: WaveFlow between a filter and a source that are known beforehand.

The source-filter model of speech (Fant, "Acoustic theory of speech production", 1960) as a flow of
steps that are invertible and exact: a filter that is taken from the mel whitens the audio; the sum
of the harmonics of its pitch, weighted by a small net, is subtracted; a filter that the net gives
whitens what is left; WaveFlow does the rest, and is given the source (Wang, Takaki and Yamagishi,
"Neural source-filter waveform models", 2019).

A clip is conditioned on its mel and on three rows of pitch below it. Where there is audio they are
measured. Of a mel alone a net that is trained beside the flow guesses voicing and pitch, and the
phase, of which a mel knows nothing, begins at 0.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wf_jax.audio.mel import context_of_clips
from wf_jax.audio.mel_matching import match_mel
from wf_jax.audio.pitch_rows import pitch_of_context
from wf_jax.flows.band_scale import BandScale
from wf_jax.flows.flow import real
from wf_jax.flows.frames import held
from wf_jax.flows.harmonic_source import phases
from wf_jax.flows.mel_filter import Filter, color, frame_taps, mel_filters, whiten
from wf_jax.flows.pitch_guess import PitchGuess
from wf_jax.flows.source_filter_config import SourceFilterConfig
from wf_jax.flows.source_net import Source, SourceNet
from wf_jax.flows.waveflow import WaveFlow


class SourceFilterFlow(WaveFlow):
    """Audio x <-> latent z, both [B, T], given mel and pitch rows [B, M + 3, F].

    Of a mel alone, [B, M, F], the rows are completed: from the audio in the density direction, by
    a guess in the other. So the two are inverse to each other for given rows only. What `generate`
    and `sample` draw is then pulled to its mel.
    """

    config: SourceFilterConfig

    def __init__(self, config: SourceFilterConfig, rng: np.random.Generator):
        """Draws the weights."""
        super().__init__(config, rng)
        self.band_scale = BandScale(config.mel.n_mels)
        self.pitch = PitchGuess(config, rng=rng)

    def _new_upsampler(self, rng: np.random.Generator) -> SourceNet:
        return SourceNet(self.config, rng=rng)

    def adapt(self, mels: Callable[[], np.ndarray]) -> None:
        """See Flow.adapt: the scale of the bands."""
        self.band_scale.adapt(mels())

    def analyze(self, context: jax.Array) -> jax.Array:
        """See Flow.analyze: [B, M + 3, F]."""
        mel = super().analyze(context)
        return jnp.concatenate([mel, self._pitch_of(context, mel)], axis=1)

    def side_loss(self, mel: jax.Array) -> jax.Array:
        """Computes the loss of the net that guesses the pitch from the mel."""
        mel, pitch = jnp.split(mel, [self.config.mel.n_mels], axis=1)
        return self.pitch.loss(self.band_scale(mel), pitch[:, 0], pitch[:, 1])

    def measured(
        self, mel: jax.Array, audio: jax.Array, lengths: jax.Array | None = None
    ) -> jax.Array:
        """Adds the pitch rows of audio [B, T] to its mel [B, M, F], where they are missing."""
        settings = self.config.mel
        if mel.shape[1] != settings.n_mels:
            return mel
        samples, hop = audio.shape[1], settings.hop_length
        if lengths is None:
            lengths = jnp.full_like(audio[:, 0], samples, jnp.int32)
        filled = jnp.pad(audio, ((0, 0), (0, mel.shape[2] * hop - samples)))
        there = jnp.where(real(lengths, filled.shape[1]) > 0, filled, 0)
        pitch = self._pitch_of(context_of_clips(there, lengths, settings), mel)
        return jnp.concatenate([mel, lax.stop_gradient(pitch)], axis=1)

    def _pitch_of(self, context: jax.Array, mel: jax.Array) -> jax.Array:
        """Measures the pitch rows [B, 3, F] of audio with its context, whose mel is given."""
        settings = self.config.mel
        taps = frame_taps(mel.swapaxes(1, 2), settings, self.config.order)
        return pitch_of_context(context, taps, settings)

    def guessed(self, mel: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
        """Adds the pitch rows that a mel [B, M, F] sounds like, where they are missing."""
        settings = self.config.mel
        if mel.shape[1] != settings.n_mels:
            return mel
        frames = None if lengths is None else -(-lengths // settings.hop_length)
        voicing, log_f0 = self.pitch.guess(self.band_scale(mel), frames)
        phase = phases(log_f0, settings.hop_length, settings.sample_rate)
        return jnp.concatenate([mel, jnp.stack([voicing, log_f0, phase], axis=1)], axis=1)

    def forward(
        self,
        audio: jax.Array,
        mel: jax.Array,
        lengths: jax.Array | None = None,
        *,
        row_by_row: bool | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """See WaveFlow.forward."""
        self._check(audio, mel)
        mel = self.measured(mel, audio, lengths)
        samples = audio.shape[1]
        source, (emphasis, predictor) = self._known(mel, samples, lengths)
        e = whiten(whiten(self._filled(audio), emphasis), predictor)
        e = whiten(e - source.harmonics, source.residual)[:, :samples]
        scale = predictor.log_scale + source.residual.log_scale
        scale = jnp.repeat(scale, self.config.order, axis=1)[:, :samples]
        if lengths is not None:
            scale = jnp.where(real(lengths, samples) > 0, scale, 0)
        z, log_det = super().forward(e, mel, lengths, row_by_row=row_by_row)
        return z, log_det - jnp.sum(scale, axis=1)

    def inverse(self, z: jax.Array, mel: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
        """Inverts `forward`, same arguments."""
        self._check(z, mel)
        mel = self.guessed(mel, lengths)
        samples = z.shape[1]
        source, (emphasis, predictor) = self._known(mel, samples, lengths)
        e = self._filled(super().inverse(z, mel, lengths))
        e = color(e, source.residual) + source.harmonics
        x = color(color(e, predictor), emphasis)[:, :samples]
        return x if lengths is None else jnp.where(real(lengths, samples) > 0, x, 0)

    def generate(
        self,
        noise: jax.Array,
        seeds: jax.Array,
        mel: jax.Array,
        lengths: jax.Array | None = None,
        temperature: jax.Array | float = 1.0,
    ) -> jax.Array:
        """Draws audio as every flow does, and pulls it to its mel: see match_mel."""
        drawn = super().generate(noise, seeds, mel, lengths, temperature)
        settings, samples = self.config.mel, drawn.shape[1]
        mel = mel[:, : settings.n_mels, : settings.frames(samples)]
        if lengths is None:
            lengths = jnp.full_like(drawn[:, 0], samples, jnp.int32)
        drawn = self._filled(drawn)
        return match_mel(drawn, mel, lengths, settings, self.config.matches)[:, :samples]

    def _known(
        self, mel: jax.Array, samples: int, lengths: jax.Array | None
    ) -> tuple[Source, tuple[Filter, Filter]]:
        """Computes source and filters of the frames that have samples.

        After a clip's end they are those of its last frame.
        """
        settings = self.config.mel
        mel = mel[:, :, : settings.frames(samples)]
        frames = None if lengths is None else -(-lengths // settings.hop_length)
        with jax.default_matmul_precision(self.config.matmul_precision):
            source = self.upsampler.source(self._scaled(mel), frames)
        bands = held(mel[:, : settings.n_mels].swapaxes(1, 2), frames)
        return source, mel_filters(bands, settings, self.config.order)

    def _upsampled(self, mel: jax.Array, samples: int, lengths: jax.Array | None) -> jax.Array:
        """See Flow: of mel and pitch rows [B, M + 3, F]."""
        return super()._upsampled(self._scaled(mel), samples, lengths)

    def _scaled(self, rows: jax.Array) -> jax.Array:
        """Scales the mel of mel and pitch rows [B, M + 3, F]."""
        mel, pitch = jnp.split(rows, [self.config.mel.n_mels], axis=1)
        return jnp.concatenate([self.band_scale(mel), pitch], axis=1)

    def _filled(self, x: jax.Array) -> jax.Array:
        """Fills x [B, T] up with zeros to whole frames."""
        return jnp.pad(x, ((0, 0), (0, -x.shape[1] % self.config.mel.hop_length)))
