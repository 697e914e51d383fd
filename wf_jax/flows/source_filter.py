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

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wf_jax.audio.mel import context_of_clips
from wf_jax.audio.mel_matching import match_mel
from wf_jax.audio.pitch_rows import pitch_of_context, pitch_range
from wf_jax.flows.flow import real
from wf_jax.flows.frames import between, center_of, held
from wf_jax.flows.harmonic_source import at_samples, phases
from wf_jax.flows.mel_filter import (
    Filter,
    color,
    frame_taps,
    interpolated,
    mel_filters,
    whiten,
)
from wf_jax.flows.source_filter_config import SourceFilterConfig
from wf_jax.flows.waveflow import WaveFlow

_MIDDLE, _SPREAD = -5.0, 2.0  # of log-mels
_USUAL = 5.2  # of the log of a pitch in Hz
_TAPS = 3  # frames
_STEEPEST = 0.8  # log-area ratio, halved, and log scale of the filter that the net gives
_BINS = 96  # of pitch
_BLUR = 1.0  # bins, of the pitch that is to be guessed
_CONTEXT = 2  # frames on each side that the guess sees


class FrameConv(nnx.Module):
    """A convolution over frames, centered, with the first and the last frame repeated around."""

    def __init__(
        self, taps: int, inputs: int, outputs: int, *, rng: np.random.Generator | None = None
    ):
        """Draws uniform weights in +-1 / sqrt(fan-in); without `rng` all are zero."""
        shape, bound = (taps * inputs, outputs), (taps * inputs) ** -0.5
        self.taps = taps
        drawn = np.zeros(shape) if rng is None else rng.uniform(-bound, bound, shape)
        self.kernel = nnx.Param(drawn.astype(np.float32))
        self.bias = nnx.Param(np.zeros(outputs, np.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, F, I] to [B, F, O]."""
        half = self.taps // 2
        padded = jnp.pad(x, ((0, 0), (half, half), (0, 0)), mode="edge")
        seen = [padded[:, i : i + x.shape[1]] for i in range(self.taps)]
        return jnp.concatenate(seen, axis=-1) @ self.kernel[...] + self.bias[...]


class Source(NamedTuple):
    """The source of a clip, which is known before its samples are.

    Attributes:
        conditions: [B, F * hop, D], of the nets.
        harmonics: [B, F * hop], their sum.
        residual: the filter of what is left.
    """

    conditions: jax.Array
    harmonics: jax.Array
    residual: Filter


class SourceNet(nnx.Module):
    """Mel and pitch rows [B, M + 3, F] -> Source."""

    def __init__(self, config: SourceFilterConfig, *, rng: np.random.Generator):
        """Draws the weights; no harmonic sounds at first, and the filter does nothing."""
        self.config = config
        units, bands = config.features, config.mel.n_mels
        self.hidden = FrameConv(_TAPS, bands + 1, units, rng=rng)
        self.features = FrameConv(_TAPS, units, units, rng=rng)
        self.amplitudes = FrameConv(_TAPS, units, 2 * config.harmonics)
        self.residual = FrameConv(_TAPS, units, config.residual_order + 1)

    def __call__(self, rows: jax.Array, frames: jax.Array | None = None) -> jax.Array:
        """Returns the conditions alone; of clip b only the first frames[b] count."""
        return self.source(rows, frames).conditions

    def source(self, rows: jax.Array, frames: jax.Array | None = None) -> Source:
        """Computes all of it."""
        config, mel = self.config, self.config.mel
        rows = held(rows.swapaxes(1, 2), frames)
        scaled = (rows[..., : mel.n_mels] - _MIDDLE) / _SPREAD
        seen = jnp.concatenate([scaled, rows[..., mel.n_mels : mel.n_mels + 1]], axis=-1)
        hidden = held(jnp.tanh(self.hidden(seen)), frames)
        features, amplitudes, filters = (
            held(part(hidden), frames) for part in (self.features, self.amplitudes, self.residual)
        )
        # A mel that is no speech must not give a filter near the edge of stability.
        filters = _STEEPEST * jnp.tanh(filters / _STEEPEST)
        residual = interpolated(filters[..., 1:], filters[..., 0], mel, config.order)
        features, amplitudes = (between(v, mel) for v in (features, amplitudes))
        pitch = _ended(rows[..., mel.n_mels :], frames)
        voicing, log_f0, phase = at_samples(pitch, mel.hop_length, center_of(mel), mel.sample_rate)
        numbers = jnp.asarray(np.arange(1, config.harmonics + 1), rows.dtype)
        angle = 2 * np.pi * phase[..., None] * numbers
        below_half = jnp.exp(log_f0)[..., None] * numbers < mel.sample_rate / 2
        sounding = voicing[..., None] * below_half
        waves = jnp.concatenate([jnp.cos(angle) * sounding, jnp.sin(angle) * sounding], axis=-1)
        total = jnp.sum(waves * amplitudes, axis=-1)
        first = waves[..., :: config.harmonics]
        more = [voicing, log_f0 - _USUAL, total]
        conditions = [features, first, *(v[..., None] for v in more)]
        return Source(jnp.concatenate(conditions, axis=-1), total, residual)


class PitchGuess(nnx.Module):
    """Guesses voicing and pitch of frames from their log-mel."""

    def __init__(self, config: SourceFilterConfig, *, rng: np.random.Generator):
        """Draws the weights."""
        self.range = pitch_range(config.mel)
        units = config.pitch_units
        self.first = FrameConv(2 * _CONTEXT + 1, config.mel.n_mels, units, rng=rng)
        self.second = FrameConv(_TAPS, units, units, rng=rng)
        self.last = FrameConv(1, units, 1 + _BINS, rng=rng)

    def __call__(
        self, mel: jax.Array, frames: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Maps log-mels [B, M, F] to logits of voicing [B, F] and of pitch bins [B, F, bins].

        Of clip b only the first frames[b] count.
        """
        x = held(((mel - _MIDDLE) / _SPREAD).swapaxes(1, 2), frames)
        for layer in (self.first, self.second):
            x = held(jax.nn.silu(layer(x)), frames)
        out = self.last(x)
        return out[..., 0], out[..., 1:]

    def loss(self, mel: jax.Array, voicing: jax.Array, log_f0: jax.Array) -> jax.Array:
        """Computes the mean cross-entropy of voicing, and of pitch where it is voiced."""
        logit, bins = self(mel)
        apart = (log_f0[..., None] - jnp.asarray(self._centers, log_f0.dtype)) / self._step
        wanted = jax.nn.softmax(-0.5 * jnp.square(apart / _BLUR))
        pitch = -jnp.sum(wanted * jax.nn.log_softmax(bins), axis=-1)
        voiced = jnp.logaddexp(0.0, logit) - voicing * logit
        return jnp.mean(voiced + voicing * pitch)

    def guess(self, mel: jax.Array, frames: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Returns voicing [B, F] and the log of the pitch in Hz [B, F].

        The pitch is the mean of the likeliest bin and its neighbors, and goes on where a frame is
        not voiced.
        """
        logit, bins = self(mel, frames)
        voicing = jax.nn.sigmoid(2 * logit)
        best = jnp.argmax(bins, axis=-1, keepdims=True)
        near = jnp.abs(np.arange(_BINS) - best) <= 2
        share = jax.nn.softmax(jnp.where(near, bins, -jnp.inf))
        return voicing, share @ jnp.asarray(self._centers, mel.dtype)

    @property
    def _centers(self) -> np.ndarray:
        return np.linspace(*np.log(self.range), _BINS)

    @property
    def _step(self) -> float:
        return float(np.log(self.range[1] / self.range[0]) / (_BINS - 1))


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
        self.pitch = PitchGuess(config, rng=rng)

    def _new_upsampler(self, rng: np.random.Generator) -> SourceNet:
        return SourceNet(self.config, rng=rng)

    def analyze(self, context: jax.Array) -> jax.Array:
        """See Flow.analyze: [B, M + 3, F]."""
        mel = super().analyze(context)
        return jnp.concatenate([mel, self._pitch_of(context, mel)], axis=1)

    def side_loss(self, mel: jax.Array) -> jax.Array:
        """Computes the loss of the net that guesses the pitch from the mel."""
        mel, pitch = jnp.split(mel, [self.config.mel.n_mels], axis=1)
        return self.pitch.loss(mel, pitch[:, 0], pitch[:, 1])

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
        voicing, log_f0 = self.pitch.guess(mel, frames)
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
            source = self.upsampler.source(mel, frames)
        bands = held(mel[:, : settings.n_mels].swapaxes(1, 2), frames)
        return source, mel_filters(bands, settings, self.config.order)

    def _filled(self, x: jax.Array) -> jax.Array:
        """Fills x [B, T] up with zeros to whole frames."""
        return jnp.pad(x, ((0, 0), (0, -x.shape[1] % self.config.mel.hop_length)))


def _ended(pitch: jax.Array, frames: jax.Array | None) -> jax.Array:
    """Ends the voicing of pitch rows [B, F, 3] with each clip."""
    if frames is None:
        return pitch
    there = jnp.arange(pitch.shape[1]) < frames[:, None]
    return pitch.at[..., 0].multiply(there)
