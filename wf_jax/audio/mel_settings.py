"""The settings of a mel spectrogram, their checks, and its filters: Slaney's scale in numpy."""

import dataclasses

import numpy as np

from wf_jax.options import Number, option

_LENGTH = Number(0, 1 << 20, above=True)  # samples
# Settings may come from a stranger: the filters take 67 MB at most.
_MOST = {"sample_rate": 768_000, "n_fft": 1 << 16, "n_mels": 512}
_MOST_FILTERS = 1 << 24  # n_mels times n_fft


@dataclasses.dataclass(frozen=True)
class MelSettings:
    """The settings of a mel spectrogram.

    Attributes:
        sample_rate: Hz.
        n_fft: samples per frame, even.
        hop_length: samples between frames.
        win_length: samples under the Hann window, even, centered in the frame.
        n_mels: M.
        f_min: lower edge of the first band, Hz.
        f_max: upper edge of the last band, Hz.
        floor: least mel magnitude; the least log-mel is ln(floor).
        center: whether frame t is centered on sample t hop rather than on its block of hop samples.
        peak_normalize: whether clips are scaled to a peak of 0.999 first; see `peak_gain`.
    """

    sample_rate: int = option(22050, Number(0, 10_000_000, above=True))
    n_fft: int = option(1024, _LENGTH)
    hop_length: int = option(256, _LENGTH)
    win_length: int = option(1024, _LENGTH)
    n_mels: int = option(80, Number(0, 4096, above=True))
    f_min: float = option(0.0, Number(0, 5_000_000))
    f_max: float = option(8000.0, Number(0, 5_000_000, above=True))
    floor: float = option(1e-5, Number(1e-12, 1, below=True))
    center: bool = True
    peak_normalize: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError, one line with the remedy, for settings that make no mel."""
        self._check_counts()
        self._check_lengths()
        self._check_range()
        _check_filters(self)

    @property
    def padding(self) -> int:
        """Samples of the first frame that lie before the clip."""
        return self.n_fft // 2 if self.center else (self.n_fft - self.hop_length) // 2

    def frames(self, samples: int) -> int:
        """Returns the frames F of a clip of `samples`: its hops, a last partial one included."""
        return -(-samples // self.hop_length)

    def _check_counts(self) -> None:
        for name in ("sample_rate", "n_fft", "hop_length", "win_length", "n_mels"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} is {value!r}; choose a whole number of 1 or more")
            if value > _MOST.get(name, value):
                raise ValueError(f"{name} is above {_MOST[name]:,}; choose that or less")
        if self.n_mels * self.n_fft > _MOST_FILTERS:
            raise ValueError(
                f"n_mels {self.n_mels} with n_fft {self.n_fft} is too many; choose n_mels 80"
            )

    def _check_lengths(self) -> None:
        for name in ("n_fft", "win_length"):
            value = getattr(self, name)
            if value % 2:
                raise ValueError(f"{name} {value} is odd; choose {value - 1} or {value + 1}")
        if self.win_length > self.n_fft:
            size = 1 << (self.win_length - 1).bit_length()
            raise ValueError(
                f"win_length {self.win_length} is more than n_fft {self.n_fft}; "
                f"choose n_fft {size} or a shorter window"
            )
        if self.hop_length > self.win_length:
            raise ValueError(
                f"hop_length {self.hop_length} is more than win_length {self.win_length}, so "
                "samples between the frames are lost; choose hop_length "
                f"{max(1, self.win_length // 4)}"
            )

    def _check_range(self) -> None:
        nyquist = self.sample_rate / 2
        if not 0 <= self.f_min < self.f_max:
            raise ValueError(
                f"f_min {self.f_min} to f_max {self.f_max} is no range; "
                "choose f_min of 0 or more and f_max above it"
            )
        if self.f_max > nyquist:
            raise ValueError(
                f"f_max {self.f_max} is above half the sample rate {self.sample_rate}; "
                f"choose {nyquist:g} or less"
            )
        if not 1e-12 <= self.floor < 1:
            raise ValueError(f"floor {self.floor} is not in 1e-12 to 1; choose 1e-5")


def mel_filterbank(settings: MelSettings) -> np.ndarray:
    """Triangular filters of unit area on Slaney's scale, float64 [M, n_fft // 2 + 1].

    Equals librosa.filters.mel(htk=False, norm="slaney"); from Slaney's Auditory Toolbox.
    """
    return _filters(settings, settings.n_mels)


def _filters(settings: MelSettings, bands: int) -> np.ndarray:
    edges, frequency = _edges(settings, bands)[:, None], _bins(settings)
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])


def _edges(settings: MelSettings, bands: int) -> np.ndarray:
    """Hz, [M + 2]; band i begins at edge i and ends at edge i + 2."""
    low, high = _hz_to_mel(np.array([settings.f_min, settings.f_max], np.float64))
    return _mel_to_hz(np.linspace(low, high, bands + 2))


def _bins(settings: MelSettings) -> np.ndarray:
    """Hz, [n_fft // 2 + 1]."""
    return np.fft.rfftfreq(settings.n_fft, 1 / settings.sample_rate)


# Slaney's scale: linear below 1 kHz (15 mel), logarithmic above, 27 mel per factor 6.4.


def _hz_to_mel(hz: np.ndarray) -> np.ndarray:
    above = 15 + 27 / np.log(6.4) * np.log(np.maximum(hz, 1000) / 1000)
    return np.where(hz < 1000, 3 * hz / 200, above)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    above = 1000 * np.exp((np.maximum(mel, 15) - 15) * np.log(6.4) / 27)
    return np.where(mel < 15, 200 * mel / 3, above)


def _check_filters(settings: MelSettings) -> None:
    """Refuses bands between two FFT bins, which would always be at the floor."""
    empty = _empty_bands(settings, settings.n_mels)
    if not len(empty):
        return
    fewer = range(settings.n_mels - 1, 0, -1)
    enough = next((n for n in fewer if not len(_empty_bands(settings, n))), None)
    remedy = f"n_mels {enough} or less, or a larger n_fft" if enough else "a larger n_fft"
    raise ValueError(
        f"n_mels {settings.n_mels} is too many for n_fft {settings.n_fft}: no FFT bin falls "
        f"into band {', '.join(map(str, empty[:8]))}{', ...' if len(empty) > 8 else ''}; "
        f"choose {remedy}"
    )


def _empty_bands(settings: MelSettings, bands: int) -> np.ndarray:
    """Bands [N] with no FFT bin between their edges."""
    edges, bins = _edges(settings, bands), _bins(settings)
    first = np.searchsorted(bins, edges[:-2], side="right")
    return np.flatnonzero(np.searchsorted(bins, edges[2:], side="left") <= first)
