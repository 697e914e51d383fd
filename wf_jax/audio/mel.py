"""Log-mel spectrograms as vocoders take them, as differentiable jnp functions.

Magnitude STFT with a periodic Hann window, Slaney's mel scale with area-normalised triangles,
natural log. `center=True` is librosa's framing (Parakeet's first WaveFlow, Tacotron 2),
`center=False` that of HiFi-GAN and PaddleSpeech: frame t is centred on the block of samples
[t hop, (t + 1) hop).
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wf_jax.audio.stft import frames_from, hann

# Least power of a bin: the gradient of the magnitude stays finite in silence, and nothing that
# reaches a floor of 1e-12 or more changes.
_POWER_FLOOR = 1e-24
# Settings may come from a stranger: the filters take 67 MB at most.
_MOST = {"sample_rate": 768_000, "fft_size": 1 << 16, "bands": 512}
_MOST_FILTERS = 1 << 24  # bands times fft_size


@dataclasses.dataclass(frozen=True)
class MelSettings:
    """How a mel spectrogram is made.

    Attributes:
        sample_rate: Hz.
        fft_size: samples per frame, even.
        hop: samples between frames.
        window_length: samples under the Hann window, even, centred in the frame.
        bands: M.
        low_hz: lower edge of the first band, Hz.
        high_hz: upper edge of the last band, Hz.
        floor: least mel magnitude; the least log-mel is ln(floor).
        center: whether frame t is centred on sample t hop rather than on its block of hop samples.
        peak_normalise: whether clips are scaled to a peak of 0.999 first; see `peak_gain`.
    """

    sample_rate: int = 22050
    fft_size: int = 1024
    hop: int = 256
    window_length: int = 1024
    bands: int = 80
    low_hz: float = 0.0
    high_hz: float = 8000.0
    floor: float = 1e-5
    center: bool = True
    peak_normalise: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError, one line with the remedy, for settings that make no mel."""
        self._check_counts()
        self._check_lengths()
        self._check_range()
        _check_filters(self)

    @property
    def padding(self) -> int:
        """Samples by which the first frame begins before the clip."""
        return self.fft_size // 2 if self.center else (self.fft_size - self.hop) // 2

    def frames(self, samples: int) -> int:
        """F of a clip of `samples`: its hops, the last one counted even if begun only."""
        return -(-samples // self.hop)

    def _check_counts(self) -> None:
        for name in ("sample_rate", "fft_size", "hop", "window_length", "bands"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} is {value!r}; choose a whole number of 1 or more")
            if value > _MOST.get(name, value):
                raise ValueError(f"{name} is above {_MOST[name]:,}; choose that or less")

        if self.bands * self.fft_size > _MOST_FILTERS:
            raise ValueError(
                f"bands {self.bands} of fft_size {self.fft_size} are too many; choose bands 80"
            )

    def _check_lengths(self) -> None:
        for name in ("fft_size", "window_length"):
            value = getattr(self, name)
            if value % 2:
                raise ValueError(f"{name} {value} is odd; choose {value - 1} or {value + 1}")
        if self.window_length > self.fft_size:
            size = 1 << (self.window_length - 1).bit_length()
            raise ValueError(
                f"window_length {self.window_length} is more than fft_size {self.fft_size}; "
                f"choose fft_size {size} or a shorter window"
            )
        if self.hop > self.window_length:
            raise ValueError(
                f"hop {self.hop} is more than window_length {self.window_length}, so samples "
                f"between the frames are lost; choose hop {max(1, self.window_length // 4)}"
            )

    def _check_range(self) -> None:
        nyquist = self.sample_rate / 2
        if not 0 <= self.low_hz < self.high_hz:
            raise ValueError(
                f"low_hz {self.low_hz} to high_hz {self.high_hz} is no range; "
                "choose low_hz of 0 or more and high_hz above it"
            )
        if self.high_hz > nyquist:
            raise ValueError(
                f"high_hz {self.high_hz} is above half the sample rate {self.sample_rate}; "
                f"choose {nyquist:g} or less"
            )
        if not 1e-12 <= self.floor < 1:
            raise ValueError(f"floor {self.floor} is not in 1e-12 to 1; choose 1e-5")


def mel_filterbank(settings: MelSettings) -> np.ndarray:
    """Triangular filters of unit area on Slaney's scale, float64 [M, fft_size // 2 + 1].

    Equals librosa.filters.mel(htk=False, norm="slaney"); from Slaney's Auditory Toolbox.
    """
    return _filters(settings, settings.bands)


def mel_spectrogram(x: jax.Array, settings: MelSettings) -> jax.Array:
    """Log-mel of whole clips.

    The clip is filled up with zeros to whole hops, then reflected at both ends. A clip too short
    to be reflected once is reflected to and fro. For whole hops these are librosa's frames (its
    first T / hop, where it centres); for other lengths librosa reflects the clip itself, and the
    frames that reach beyond its end differ.

    Args:
        x: [..., T], full scale 1.
        settings: how.

    Returns:
        [..., M, ceil(T / hop)], natural log of magnitudes, least value ln(floor).

    Raises:
        ValueError: integer samples.
    """
    x = _floating(x)
    if x.shape[-1] == 0:
        return jnp.zeros((*x.shape[:-1], settings.bands, 0), x.dtype)
    return mel_of_context(_with_context(x, settings), settings)


def mel_of_clips(x: jax.Array, lengths: jax.Array, settings: MelSettings) -> jax.Array:
    """`mel_spectrogram` of clips of many lengths that stand in one array.

    Args:
        x: [B, T], T a multiple of the hop; zeros after the end of a clip.
        lengths: [B], samples of each clip.
        settings: how.

    Returns:
        [B, M, T / hop], of which the first ceil(lengths / hop) frames are the clip's mel and the
        others silence, ln(floor).

    Raises:
        ValueError: integer samples.
    """
    x, hop = _floating(x), settings.hop
    count = x.shape[1] // hop
    frames = -(-lengths // hop)
    # The clip in whole hops, reflected to and fro at both ends: a triangular wave of places.
    places = jnp.arange((count - 1) * hop + settings.fft_size) - settings.padding
    last = (frames * hop - 1)[:, None]
    places = jnp.mod(places[None, :], jnp.maximum(2 * last, 1))
    framed = jnp.take_along_axis(x, jnp.minimum(places, 2 * last - places), axis=1)
    mel = mel_of_context(framed, settings)
    real = jnp.arange(count) < frames[:, None]
    return jnp.where(real[:, None, :], mel, math.log(settings.floor))


def _with_context(x: jax.Array, settings: MelSettings) -> jax.Array:
    count, lead = settings.frames(x.shape[-1]), [(0, 0)] * (x.ndim - 1)
    samples = count * settings.hop
    x = jnp.pad(x, [*lead, (0, samples - x.shape[-1])])
    left, needed = settings.padding, (count - 1) * settings.hop + settings.fft_size
    right = max(0, needed - left - samples)
    return jnp.pad(x, [*lead, (left, right)], mode="reflect")[..., :needed]


def mel_of_context(x: jax.Array, settings: MelSettings) -> jax.Array:
    """Log-mel of excerpts that bring their context: frame t starts at sample t hop of x.

    For frames a to b of a clip these are its samples from a hop - padding, so that crops see
    what the whole clip's mel sees.

    Args:
        x: [..., N], full scale 1, N at least fft_size.
        settings: how.

    Returns:
        [..., M, 1 + (N - fft_size) // hop], natural log of magnitudes.

    Raises:
        ValueError: integer samples, or fewer than one frame.
    """
    x = _floating(x)
    if x.shape[-1] < settings.fft_size:
        raise ValueError(
            f"{x.shape[-1]} samples are less than one frame of {settings.fft_size}; "
            "pass longer excerpts, or whole clips to mel_spectrogram"
        )
    count = 1 + (x.shape[-1] - settings.fft_size) // settings.hop
    window = np.pad(hann(settings.window_length), (settings.fft_size - settings.window_length) // 2)
    framed = frames_from(x, count, settings.hop, settings.fft_size)
    spectrum = jnp.fft.rfft(framed * jnp.asarray(window, x.dtype))
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    magnitude = jnp.sqrt(jnp.maximum(power, _POWER_FLOOR))  # [..., F, fft_size // 2 + 1]
    filters = jnp.asarray(mel_filterbank(settings), x.dtype)
    # Highest: TensorFloat-32 would round to 2^-11, up to 5e-4 in the log.
    mel = jnp.einsum("mk,...fk->...mf", filters, magnitude, precision=lax.Precision.HIGHEST)
    return jnp.log(jnp.maximum(mel, settings.floor))


def peak_gain(x: jax.Array, settings: MelSettings) -> jax.Array:
    """What to multiply clips [..., T] by before anything else, [..., 1].

    0.999 / max |x| where the settings ask for peak normalisation; 1 where not, and for silence.
    """
    x = _floating(x)
    if not settings.peak_normalise:
        return jnp.ones((*x.shape[:-1], 1), x.dtype)
    peak = jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0.0)
    silent = peak < 1e-9
    return jnp.where(silent, 1.0, 0.999 / jnp.where(silent, 1.0, peak))


def _floating(x: jax.Array) -> jax.Array:
    """X as at least float32: the FFT takes nothing less."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"audio is {x.dtype}; convert to float with full scale 1 (int16 / 32768)")
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _filters(settings: MelSettings, bands: int) -> np.ndarray:
    edges, frequency = _edges(settings, bands)[:, None], _bins(settings)
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])


def _edges(settings: MelSettings, bands: int) -> np.ndarray:
    """Hz, [M + 2]; band i begins at edge i and ends at edge i + 2."""
    low, high = _hz_to_mel(np.array([settings.low_hz, settings.high_hz], np.float64))
    return _mel_to_hz(np.linspace(low, high, bands + 2))


def _bins(settings: MelSettings) -> np.ndarray:
    """Hz, [fft_size // 2 + 1]."""
    return np.fft.rfftfreq(settings.fft_size, 1 / settings.sample_rate)


# Slaney's scale: linear below 1 kHz (15 mel), logarithmic above, 27 mel per factor 6.4.


def _hz_to_mel(hz: np.ndarray) -> np.ndarray:
    above = 15 + 27 / np.log(6.4) * np.log(np.maximum(hz, 1000) / 1000)
    return np.where(hz < 1000, 3 * hz / 200, above)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    above = 1000 * np.exp((np.maximum(mel, 15) - 15) * np.log(6.4) / 27)
    return np.where(mel < 15, 200 * mel / 3, above)


def _check_filters(settings: MelSettings) -> None:
    """No band may lie between two FFT bins: it would hold the floor whatever is played."""
    empty = _empty_bands(settings, settings.bands)
    if not len(empty):
        return
    fewer = range(settings.bands - 1, 0, -1)
    enough = next((n for n in fewer if not len(_empty_bands(settings, n))), None)
    remedy = f"bands {enough} or less, or a larger fft_size" if enough else "a larger fft_size"
    raise ValueError(
        f"bands {settings.bands} are too many for fft_size {settings.fft_size}: no FFT bin falls "
        f"into band {', '.join(map(str, empty[:8]))}{', ...' if len(empty) > 8 else ''}; "
        f"choose {remedy}"
    )


def _empty_bands(settings: MelSettings, bands: int) -> np.ndarray:
    """Bands [N] with no FFT bin between their edges."""
    edges, bins = _edges(settings, bands), _bins(settings)
    first = np.searchsorted(bins, edges[:-2], side="right")
    return np.flatnonzero(np.searchsorted(bins, edges[2:], side="left") <= first)
