"""Recognizes mel spectrograms that are not natural logs of magnitudes, before they are vocoded.

Goes by the range of their values alone. In doubt it says nothing: a clip may be silent, quiet,
loud, noisy, or smooth from a text-to-speech front end.
"""

import numpy as np

from wf_jax.audio.mel_settings import MelSettings, mel_filterbank
from wf_jax.levels import FULL_SCALE
from wf_jax.likelihood import LOG_FULL_SCALE

_NATURAL_PER_DB = np.log(10) / 20
# What front ends overshoot by at either end, in nepers. The least values are taken as the 0.1%
# quantile, so that a few wild ones say nothing.
_SLACK = 1.5
# Values within 1e-3 of the least count as clipped to a floor; noise puts one or two there.
_PILED_UP = 3
_FEW_FRAMES = 16  # say too little of how speech is spread
# Nepers by which the upper half of the bands is louder than the lower: -2.1 to -1.0 in speech.
_UPSIDE_DOWN = 0.5


def describe_scale(mel: np.ndarray, settings: MelSettings) -> str | None:
    """Says in one line which wrong scale `mel` seems to have and how to convert it, or None.

    Natural-log mels of speech lie in ln(floor) to about 2.5: -11.513 to 2.5 for 1e-5.

    Args:
        mel: [M, F].
        settings: what it should have been made with.
    """
    fault = _shape_fault(mel, settings.n_mels) or _number_fault(mel)
    if fault:
        return fault
    mel = mel.astype(np.float64)
    rules = (_not_logarithmic, _clipped_elsewhere, _narrow, _too_low, _too_high, _normalized)
    return next(filter(None, (rule(mel, settings) for rule in rules)), None)


def describe_doubts(mel: np.ndarray) -> str | None:
    """Says in one line what remains doubtful about a mel that `describe_scale` accepts, or None.

    A clip may be spoken all the same: a hiss is loudest in its highest bands too.

    Args:
        mel: [M, F].
    """
    bands, frames = mel.shape
    if bands == frames:
        return (
            f"shape ({bands}, {frames}) is read as [bands, frames]; which axis is which cannot be "
            "told: if it is [frames, bands], pass mel.T"
        )
    low, high = np.array_split(mel.astype(np.float64), 2)
    if high.mean() - low.mean() > _UPSIDE_DOWN:
        return (
            "its upper bands are louder than its lower ones, as speech seldom is; if the highest "
            "band comes first, pass mel[::-1]"
        )
    return None


def _shape_fault(mel: np.ndarray, bands: int) -> str | None:
    shape = tuple(mel.shape)
    if mel.ndim == 3 and shape[0] == 1:
        return f"shape {shape} has a batch axis; pass mel[0], [{bands}, frames]"
    if mel.ndim != 2:
        return f"shape {shape} is not [{bands}, frames]; pass one mel spectrogram"
    if shape[0] == bands:
        return None if shape[1] else f"shape {shape} has no frames; pass a longer clip"
    if shape[1] == bands:
        return f"shape {shape} is [frames, bands]; transpose it (mel.T)"
    return f"shape {shape} has {shape[0]} bands, not {bands}; make it with {bands} bands"


def _number_fault(mel: np.ndarray) -> str | None:
    if mel.dtype.kind not in "fiu":
        return f"type {mel.dtype} is not real numbers; pass float32"
    bad = mel.size - np.count_nonzero(np.isfinite(mel))
    if not bad:
        return None
    return (
        f"{bad} of {mel.size} values are NaN or infinite; clip magnitudes to the floor before "
        "the log: np.log(np.maximum(magnitude, floor))"
    )


def _not_logarithmic(mel: np.ndarray, settings: MelSettings) -> str | None:
    """Recognizes mels that are positive throughout: every band would be above 0 dB at once."""
    low, high, ceiling = mel.min(), mel.max(), _ceiling(settings)
    if low < 0:
        return None
    # Speech: the median is 0.1% of the peak if linear, 40% if scaled into 0..1 and clipped there.
    if high == 0 or np.median(mel[mel > 0]) < 0.1 * high:
        log_of = f"np.maximum(mel, {settings.floor:g})"
        if high > np.exp(ceiling + 0.5):
            return _line(mel, "linear power", f"np.log(np.sqrt({log_of})), about")
        return _line(mel, "linear magnitudes", f"np.log({log_of})")
    if ceiling + _SLACK < high < ceiling + _SLACK + LOG_FULL_SCALE:
        return None  # see _too_high
    return _line(mel, "normalized", _UNDO)


def _too_low(mel: np.ndarray, settings: MelSettings) -> str | None:
    """Recognizes values below ln(floor): decibels, power, or another floor, by how far."""
    floor, low = np.log(settings.floor), np.quantile(mel, 0.001)
    if low >= floor - _SLACK:
        return None
    if low < 2 * floor - _SLACK or np.ptp(mel) > 30:
        return _line(mel, "decibels (20 log10)", f"mel * {_NATURAL_PER_DB:.6f}")
    # Deviation above the floor: 2 nepers in speech, so 4 in that of its power.
    if np.std(mel[mel > mel.min() + 0.01]) > 3:
        return _line(mel, "the natural log of power", "mel / 2, about")
    return _line(
        mel,
        f"a natural log with a lower floor than {settings.floor:g}",
        f"np.maximum(mel, {floor:.3f})",
    )


def _too_high(mel: np.ndarray, settings: MelSettings) -> str | None:
    """Recognizes values above those of full-scale audio."""
    if mel.max() <= _ceiling(settings) + _SLACK:
        return None
    if np.ptp(mel) > 30:
        return _line(mel, "decibels (20 log10)", f"mel * {_NATURAL_PER_DB:.6f}")
    if abs(mel.mean()) < 0.5:
        return _line(mel, "normalized", _UNDO)
    if mel.mean() < 0:
        return _line(mel, "the natural log of power", "mel / 2, about")
    return _line(
        mel, f"from audio with full scale {FULL_SCALE}, not 1", f"mel - {LOG_FULL_SCALE:.3f} if so"
    )


def _clipped_elsewhere(mel: np.ndarray, settings: MelSettings) -> str | None:
    """Recognizes values clipped to the floor of another scale."""
    low = mel.min()
    if np.count_nonzero(mel < low + 1e-3) < _PILED_UP:
        return None
    if abs(low - np.log10(settings.floor)) < 1e-3:
        return _log10(mel, settings)
    for limit in (1, 4):
        if abs(low + limit) < 1e-3 and mel.max() < limit + 1e-3:
            return _line(mel, f"normalized to -{limit}..{limit}", _UNDO)
    return None


def _normalized(mel: np.ndarray, settings: MelSettings) -> str | None:
    """Finds too many values above 0 dB: 3% of speech 10 dB above the usual level, 25% in -4..4."""
    if mel.min() < -6 or np.mean(mel > 0) < 0.15:
        return None
    return _line(mel, "normalized", _UNDO)


def _narrow(mel: np.ndarray, settings: MelSettings) -> str | None:
    """Recognizes speech as log10, whatever floor it was clipped to.

    Its loudest 0.5% lie 1.7 to 2.4 above the median, where natural logs have 3.9 or more, in noise
    of the same level 3.4. Noise alone is as narrow, but deviates by less than 0.6; speech as log10
    by 0.7 to 1.1, or 0.6 in noise. Measured at 8 to 22.05 kHz over two speakers.
    """
    values = _above_floor(mel)
    if values.size < settings.n_mels * _FEW_FRAMES:
        return None
    middle, loud = np.quantile(values, (0.5, 0.995))
    within = -1.5 < values.max() <= _ceiling(settings) / np.log(10) + 0.1 and -3.6 < middle < -1.5
    if not within or not 1.3 < loud - middle < 2.75 or not 0.6 < values.std() < 1.3:
        return None
    return _log10(mel, settings)


def _above_floor(mel: np.ndarray) -> np.ndarray:
    """The values [N] that are not clipped to the least one."""
    low = mel.min()
    piled_up = np.count_nonzero(mel < low + 1e-3) >= _PILED_UP
    return mel[mel > low + 1e-2] if piled_up else mel.reshape(-1)


_UNDO = "the log-mel it was made from (undo the scaling of its front end)"


def _log10(mel: np.ndarray, settings: MelSettings) -> str:
    factor, floor = np.log(10), np.log(settings.floor)
    remedy = f"mel * {factor:.6f}"
    if mel.min() * factor < floor - 1e-2:
        remedy = f"np.maximum({remedy}, {floor:.3f})"
    return _line(mel, "log10", remedy)


def _line(mel: np.ndarray, looks: str, remedy: str) -> str:
    return f"values {mel.min():.4g} to {mel.max():.4g} look {looks}; pass {remedy}"


def _ceiling(settings: MelSettings) -> float:
    """Natural-log mel of a full-scale sine in the narrowest band: 2.6 for the defaults.

    Under a Hann window of N samples it has magnitude N / 4 in its bin and N / 8 on either side.
    """
    return float(np.log(settings.win_length / 2 * mel_filterbank(settings).max()))
