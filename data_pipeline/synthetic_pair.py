"""The built-in pair: plucked strings as a DI, and a simulated tube amp, both at 48 kHz.

Made from a seed, so that a first run needs no recording and its result can be compared.
"""

import functools
from pathlib import Path

import numpy as np
import soundfile
import soxr

from wf_jax.whole_files import atomic_path

SAMPLE_RATE = 48000  # Hz
DI_PEAK, AMP_PEAK = 0.85, 0.6  # of full scale
OVERSAMPLING = 8
LATENCY = 96  # samples
HISS = 3e-5  # RMS of full scale, -90 dB
_OPEN_STRINGS = np.array([82.41, 110.0, 146.83, 196.0, 246.94, 329.63])  # Hz


def write_demo_pair(folder: Path, seconds: float = 60.0, seed: int = 0) -> tuple[Path, Path]:
    """Writes di.wav and amp.wav (24 bit, 48 kHz) into `folder`; returns their paths."""
    paths = folder / "di.wav", folder / "amp.wav"
    for path, samples in zip(paths, demo_pair(seconds, seed), strict=True):
        with atomic_path(path) as temporary:
            soundfile.write(temporary, samples, SAMPLE_RATE, subtype="PCM_24")
    return paths


@functools.lru_cache(maxsize=1)
def demo_pair(seconds: float = 60.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Makes a DI and its recording through the amp, float64 [T] each, not to be written into.

    The recording comes back as from an audio interface: LATENCY samples late, with HISS.
    """
    di = plucked_di(seconds, seed)
    amp = np.concatenate([np.zeros(LATENCY), tube_amp(di)[:-LATENCY]])
    amp += HISS * np.random.default_rng([seed, 1]).normal(size=len(amp))
    for made in (di, amp):
        made.flags.writeable = False  # they are kept
    return di, amp


# The DI


def plucked_di(seconds: float, seed: int = 0) -> np.ndarray:
    """Makes guitar-like playing: notes, chords, palm mutes and rests over a wide range of force.

    Returns:
        float64 [seconds * 48000], peak 0.85.

    Raises:
        ValueError: so short that nothing was played.
    """
    rng = np.random.default_rng(seed)
    x = np.zeros(round(seconds * SAMPLE_RATE))
    start = 0.05
    while start < seconds - 0.05:
        kind = rng.choice(["note", "chord", "mute", "rest"], p=[0.45, 0.25, 0.22, 0.08])
        length = {"note": 0.45, "chord": 1.1, "mute": 0.18, "rest": 0.35}[kind]
        length *= rng.uniform(0.6, 1.5)
        force = 10 ** (rng.uniform(-26, 0) / 20)
        for delay, pitch in _voices(rng, kind):
            # A played note rings on a little into the next.
            ring = 0.25 if kind == "mute" else length + 0.4
            _add_pluck(x, start + delay, ring, pitch, force, kind == "mute", rng)
        start += length
    if not np.any(x):
        raise ValueError(f"seconds {seconds} with seed {seed} is only rests; ask for 5 or more")
    x += HISS * np.abs(x).max() * rng.normal(size=len(x))  # the pickup's hiss
    return DI_PEAK * x / np.abs(x).max()


def _voices(rng: np.random.Generator, kind: str) -> list[tuple[float, float]]:
    """Returns (delay in seconds, pitch in Hz) of every string that sounds."""
    fret = 2 ** (rng.integers(0, 13) / 12)
    if kind == "rest":
        return []
    if kind == "note":
        return [(0.0, rng.choice(_OPEN_STRINGS) * fret)]
    strings = _OPEN_STRINGS[:2] if kind == "mute" else _OPEN_STRINGS[: rng.integers(3, 7)]
    strum = rng.uniform(0.004, 0.02)
    return [(i * strum, pitch * fret) for i, pitch in enumerate(strings)]


def _add_pluck(
    x: np.ndarray,
    start: float,
    length: float,
    pitch: float,
    force: float,
    muted: bool,
    rng: np.random.Generator,
) -> None:
    """Adds one plucked string to x: decaying, slightly stretched partials below 7 kHz."""
    first = round(start * SAMPLE_RATE)
    samples = min(round(length * SAMPLE_RATE), len(x) - first)
    if samples <= 0:
        return
    t = np.arange(samples) / SAMPLE_RATE
    partials = np.arange(1, min(40, int(7000 / pitch)) + 1)
    pick, pickup = rng.uniform(0.08, 0.3), 0.18
    amplitude = np.sin(np.pi * partials * pick) * np.sin(np.pi * partials * pickup) / partials
    amplitude *= force ** (partials / 25)  # a harder stroke is a brighter one
    rate = (9.0 if muted else 1.3) + (6.0 if muted else 0.35) * partials**0.9
    frequency = pitch * partials * np.sqrt(1 + 8e-5 * partials**2)
    envelope = np.clip(t / 0.0015, 0, 1) * np.clip((length - t) / 0.02, 0, 1)
    string = np.exp(-t / 0.002) * rng.normal(size=samples) * 0.15 * force  # the pick's scrape
    string += ring(amplitude, frequency, rate, samples)
    x[first : first + samples] += force * envelope * string


def ring(
    amplitude: np.ndarray, frequency: np.ndarray, rate: np.ndarray, samples: int, block: int = 512
) -> np.ndarray:
    """Sums a exp(-r t) sin(2 pi f t) over the partials, float64 [samples].

    As a product of block starts and offsets within a block: 10 times as fast as exp and sin.

    Args:
        amplitude: [K] of full scale.
        frequency: [K] Hz.
        rate: [K] decay, 1/s.
        samples: T.
        block: samples per row of the product.
    """
    pole = (2j * np.pi * frequency - rate)[:, None] / SAMPLE_RATE
    offsets = amplitude[:, None] * np.exp(pole * np.arange(block))  # [K, block]
    starts = np.exp(pole * block * np.arange(-(-samples // block))).T  # [T / block, K]
    return (starts.real @ offsets.imag + starts.imag @ offsets.real).ravel()[:samples]


# The amp


def tube_amp(di: np.ndarray) -> np.ndarray:
    """Simulates a crunch channel with its cabinet.

    Two stages of asymmetric waveshaping at 8 times the rate, the first with a bias that drifts
    with the playing; then tone stack and cabinet as one minimum-phase filter.

    Args:
        di: float64 [T] at 48 kHz.

    Returns:
        float64 [T], peak about 0.6, in time with `di`.
    """
    rate = SAMPLE_RATE * OVERSAMPLING
    x = soxr.resample(di, SAMPLE_RATE, rate, quality="VHQ")
    x = filtered(x, _response([(0, 0), (35, -9), (110, 0), (600, 2), (5000, 3), (24000, 0)], rate))
    x = _tube(5.0 * x - 0.6 * _envelope(x, rate), -0.45)
    x = filtered(x, _response([(0, -60), (20, -9), (60, 0), (9000, 0), (24000, -12)], rate))
    x = _tube(2.2 * x, 0.3)
    y = soxr.resample(x, rate, SAMPLE_RATE, quality="VHQ")[: len(di)]
    y = filtered(np.pad(y, (0, len(di) - len(y))), _response(_CABINET, SAMPLE_RATE))
    return AMP_PEAK * y / _FULL_SCALE


# Frequency (Hz), level (dB): a resonance at 100 Hz, presence at 2.6 kHz, gone above 5 kHz.
_CABINET = [
    (0, -60),
    (45, -14),
    (100, 4),
    (180, 0),
    (450, -4),
    (1200, -1),
    (2600, 4),
    (4200, 0),
    (5600, -16),
    (9000, -38),
    (24000, -60),
]
_FULL_SCALE = 2.1  # what a hard chord reaches behind the cabinet


def _tube(x: np.ndarray, offset: float) -> np.ndarray:
    """Applies an asymmetric soft clipper through the origin: tanh around a shifted bias point."""
    return np.tanh(x + offset) - np.tanh(offset)


def _envelope(x: np.ndarray, rate: int, attack: float = 0.03) -> np.ndarray:
    """Smooths |x| by a one-sided exponential of `attack` seconds: the charge of the bias."""
    decay = np.exp(-np.arange(round(4 * attack * rate)) / (attack * rate))
    return filtered(np.abs(x), decay / decay.sum())


def _response(points: list[tuple[float, float]], rate: int, taps: int = 0) -> np.ndarray:
    """Makes a minimum-phase impulse response with the magnitude through `points` (Hz, dB).

    The phase follows from the magnitude by folding the cepstrum, so nothing comes early.
    """
    taps = taps or rate // 24  # 42 ms
    size = 1 << int(np.ceil(np.log2(8 * taps)))
    frequency = np.fft.rfftfreq(size, 1 / rate)
    hertz, level = zip(*points, strict=True)
    log_magnitude = np.interp(frequency, hertz, level) * np.log(10) / 20
    cepstrum = np.fft.irfft(log_magnitude, size)
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    response = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), size)[:taps]
    fade = taps // 4
    response[-fade:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(fade) / fade)
    return response


def filtered(x: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Convolves causally, block by block (overlap-add): [T] -> [T]."""
    block = 1 << int(np.ceil(np.log2(8 * len(response))))
    size, step = block, block - len(response) + 1
    spectrum = np.fft.rfft(response, size)
    y = np.zeros(len(x) + size)
    for start in range(0, len(x), step):
        part = np.fft.rfft(x[start : start + step], size)
        y[start : start + size] += np.fft.irfft(part * spectrum, size)
    return y[: len(x)]
