"""Built-in speech-like audio from a seed, so that a first run needs no recording.

A source-filter synthesizer after Klatt (Software for a cascade/parallel formant synthesizer, JASA
1980): band-limited glottal pulses and noise through moving resonances, syllable by syllable. It
says nothing, but has what a vocoder must learn: pitch, formants, hiss, bursts and pauses.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from wf_jax.whole_files import atomic_path

SAMPLE_RATE = 22050  # Hz, of the built-in audio
SPEECH_LEVEL = -21.0  # dB of full scale, RMS over the syllables
NOISE_LEVEL = -65.0  # dB of full scale, RMS, throughout
PEAK = 0.78  # of full scale, at most
LOWEST_PITCH, HIGHEST_PITCH = 90.0, 220.0  # Hz
_JITTER, _SHIMMER, _BREATH = 0.008, 0.05, 0.05  # shares of a period and of the amplitude

# F1 to F3 in Hz, near Peterson and Barney's averages (JASA 1952).
_VOWELS = np.array(
    [
        (280, 2250, 2900),
        (420, 2000, 2600),
        (660, 1720, 2410),
        (730, 1090, 2440),
        (570, 840, 2410),
        (310, 870, 2240),
        (500, 1500, 2500),
        (490, 1350, 1700),
    ],
    np.float64,
)
_BANDWIDTHS = (70.0, 100.0, 140.0)  # Hz
_FRICATIVES = [(6500.0, 2500.0), (3200.0, 1500.0), (7500.0, 5000.0), (1600.0, 1200.0)]  # s sh f h
_BURSTS = [(1000.0, 1200.0), (4500.0, 3000.0), (2200.0, 1000.0)]  # p t k: center, width in Hz
_FRAME_HOP = 0.01  # seconds
# Columns of a track of points between which everything moves in straight lines.
_TIME, _VOICE, _NOISE, _CENTER, _WIDTH, _F1 = 0, 1, 2, 3, 4, 5  # then F2, F3


def write_demo_corpus(
    folder: Path, clips: int = 24, seconds: float = 4.0, sample_rate: int = SAMPLE_RATE
) -> None:
    """Writes clip-00.wav, clip-01.wav, ... (16 bit, mono) into `folder`; clip n has seed n."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(clips):
        samples = synthetic_speech(seconds, sample_rate, seed)
        with atomic_path(folder / f"clip-{seed:02}.wav") as temporary:
            soundfile.write(temporary, samples, sample_rate, subtype="PCM_16")


def synthetic_speech(seconds: float, sample_rate: int = SAMPLE_RATE, seed: int = 0) -> np.ndarray:
    """Makes speech-like audio: phrases of syllables between pauses.

    Args:
        seconds: length.
        sample_rate: Hz, 8000 or more.
        seed: another one is another speech by the same voice.

    Returns:
        float64 [seconds * sample_rate], SPEECH_LEVEL over the syllables, peak at most PEAK.

    Raises:
        ValueError: no length, or a sample rate below 8000 Hz.
    """
    samples = round(seconds * sample_rate)
    if samples < 1 or sample_rate < 8000:
        raise ValueError(
            f"{seconds} s at {sample_rate} Hz can not be made; choose a length above 0 and "
            "a sample rate of 8000 Hz or more"
        )
    rng = np.random.default_rng(seed)
    track, pitch = _script(rng, seconds)
    t = np.arange(samples) / sample_rate
    voice, hiss = (np.interp(t, track[:, _TIME], track[:, i]) for i in (_VOICE, _NOISE))
    x = _voiced(rng, t, voice, pitch, track, sample_rate)
    x += _shaped(hiss * rng.normal(size=samples), track, _noise_response, sample_rate)
    noise = 10 ** (NOISE_LEVEL / 20) * rng.normal(size=samples)
    return _levelled(x, voice + hiss > 0.05) + noise


def _levelled(x: np.ndarray, active: np.ndarray) -> np.ndarray:
    power = np.mean(x[active] ** 2) if active.any() else 1.0
    gain = 10 ** (SPEECH_LEVEL / 20) / np.sqrt(power + 1e-12)
    return x * min(gain, (PEAK - 0.01) / (np.abs(x).max() + 1e-12))


# The script: tracks of (time, voice, noise, noise center, noise width, F1, F2, F3)


def _script(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns track [P, 8] and pitch [Q, 2] in (seconds, Hz) of phrases that fill `seconds`."""
    points = [_point(0.0, _VOWELS[6])]
    pitch = []
    time = rng.uniform(0.02, 0.12)
    while time < seconds:
        end = time + rng.uniform(1.2, 3.2)
        high, low = rng.uniform(150, 190), rng.uniform(95, 120)
        begin = time
        while time < end:
            stress = rng.uniform(0.45, 1.0)
            fall = high + (low - high) * (time - begin) / (end - begin)
            pitch.append((time, fall))
            spoken = _syllable(rng, time, stress)
            pitch.append((time + 0.1, fall * (0.9 + 0.35 * stress)))
            points += spoken
            time = spoken[-1][_TIME]
        time += rng.uniform(0.2, 0.6)
    track, pitch = np.array(points), np.array(pitch or [(0.0, 120.0)])
    return track, np.column_stack([pitch[:, 0], pitch[:, 1].clip(LOWEST_PITCH, HIGHEST_PITCH)])


def _point(
    time: float,
    formants: np.ndarray,
    voice: float = 0.0,
    noise: float = 0.0,
    band: tuple[float, float] = _FRICATIVES[0],
) -> tuple[float, ...]:
    return (time, voice, noise, *band, *formants)


def _syllable(rng: np.random.Generator, time: float, stress: float) -> list[tuple[float, ...]]:
    """Makes onset and vowel (half of them glide to another), sometimes a fricative at the end."""
    first = rng.choice(_VOWELS) * rng.uniform(0.95, 1.05)
    last = rng.choice(_VOWELS) if rng.random() < 0.5 else first * rng.uniform(0.95, 1.05)
    onset = rng.choice(["fricative", "plosive", "nasal", "none"], p=[0.3, 0.3, 0.25, 0.15])
    points = [_point(time, first)]
    if onset == "fricative":
        points += _fricative(rng, time, first)
    if onset == "plosive":
        points += _plosive(rng, time, first)
    if onset == "nasal":
        murmur = np.array([260.0, rng.uniform(1000, 1700), 2400.0])
        length = rng.uniform(0.05, 0.09)
        points += [_point(time + 0.02, murmur, 0.3), _point(time + length, murmur, 0.35)]
    time, length = points[-1][_TIME], rng.uniform(0.09, 0.24)
    points += [
        _point(time + 0.025, first, stress),
        _point(time + 0.4 * length, first, stress),
        _point(time + length, last, 0.7 * stress),
        _point(time + length + 0.04, last),
    ]
    return points + (_fricative(rng, points[-1][_TIME], last) if rng.random() < 0.2 else [])


def _fricative(
    rng: np.random.Generator, time: float, formants: np.ndarray
) -> list[tuple[float, ...]]:
    band, level = _FRICATIVES[rng.integers(len(_FRICATIVES))], rng.uniform(0.12, 0.4)
    voice = rng.choice([0.0, 0.25], p=[0.7, 0.3])
    end = time + rng.uniform(0.06, 0.12)
    return [
        _point(time + 0.001, formants, 0.0, 0.0, band),
        _point(time + 0.025, formants, voice, level, band),
        _point(end, formants, voice, level, band),
        _point(end + 0.015, formants, voice, 0.0, band),
    ]


def _plosive(
    rng: np.random.Generator, time: float, formants: np.ndarray
) -> list[tuple[float, ...]]:
    """Makes a closure, a burst of 10 ms, and aspiration until the voice sets in."""
    band, release = _BURSTS[rng.integers(len(_BURSTS))], time + rng.uniform(0.045, 0.08)
    set_in = release + rng.uniform(0.015, 0.05)
    return [
        _point(release, formants, 0.0, 0.0, band),
        _point(release + 0.001, formants, 0.0, rng.uniform(0.6, 1.1), band),
        _point(release + 0.01, formants, 0.0, 0.1, band),
        _point(set_in, formants, 0.0, 0.05, band),
    ]


# The sound


def _voiced(
    rng: np.random.Generator,
    t: np.ndarray,
    voice: np.ndarray,
    pitch: np.ndarray,
    track: np.ndarray,
    sample_rate: int,
) -> np.ndarray:
    """Filters glottal pulses with jitter, shimmer and breath by the vocal tract: [T]."""
    cycles = np.cumsum(np.interp(t, pitch[:, 0], pitch[:, 1])) / sample_rate
    wanted = np.arange(1, int(cycles[-1]))
    wanted = wanted + _JITTER * rng.normal(size=len(wanted))
    times = np.interp(wanted, cycles, np.arange(len(t)))  # samples, between them too
    # Power 1 for voice 1 at any pitch: a pulse of energy 1 per period.
    amplitude = np.interp(times, np.arange(len(t)), voice)
    amplitude *= np.sqrt(np.gradient(times)) if len(times) > 1 else 1.0
    amplitude *= 1 + _SHIMMER * rng.normal(size=len(times))
    source = _pulses(times, amplitude, len(t)) + _BREATH * voice * rng.normal(size=len(t))
    return _shaped(source, track, _tract_response, sample_rate)


def _pulses(times: np.ndarray, amplitude: np.ndarray, samples: int, half: int = 32) -> np.ndarray:
    """Makes band-limited impulses at fractional `times` (in samples): [samples].

    A windowed sinc that ends below half the sample rate: an impulse rounded to its sample would
    put the jitter of a whole sample, and aliases, between the harmonics.
    """
    nearest = np.round(times).astype(int)
    offsets = np.arange(-half, half + 1)
    distance = nearest[:, None] + offsets - times[:, None]  # [pulses, taps]
    window = 0.42 + 0.5 * np.cos(np.pi * distance / (half + 1))
    window += 0.08 * np.cos(2 * np.pi * distance / (half + 1))
    x = np.zeros(samples + 2 * half + 1)
    place = nearest[:, None] + offsets + half
    np.add.at(x, place, amplitude[:, None] * 0.9 * np.sinc(0.9 * distance) * window)
    return x[half : half + samples]


def _shaped(
    source: np.ndarray,
    track: np.ndarray,
    response: Callable[[np.ndarray, np.ndarray, int], np.ndarray],
    sample_rate: int,
) -> np.ndarray:
    """Filters `source` [T] by a response that follows the track, by overlap-add of 20 ms frames.

    Args:
        source: [T].
        track: [P, 8].
        response: (rows of the track [n, 8], z^-1 of every bin, sample_rate) -> [n, bins].
        sample_rate: Hz.
    """
    hop = round(_FRAME_HOP * sample_rate)
    size = 1 << int(np.ceil(np.log2(2 * hop + 0.06 * sample_rate)))  # a resonance rings 60 ms
    count = -(-len(source) // hop) + 1
    padded = np.pad(source, (hop, (count + 1) * hop - len(source)))
    window = 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * hop) / hop)  # adds up to 1
    delay = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    y = np.zeros(len(padded) + size)
    for first in range(0, count, 256):
        starts = np.arange(first, min(first + 256, count)) * hop
        rows = _rows(track, starts / sample_rate)
        spectrum = np.fft.rfft(padded[starts[:, None] + np.arange(2 * hop)] * window, size)
        spectrum *= response(rows, delay, sample_rate)
        for start, frame in zip(starts, np.fft.irfft(spectrum, size), strict=True):
            y[start : start + size] += frame
    return y[hop : hop + len(source)]


def _rows(track: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.column_stack([np.interp(times, track[:, _TIME], column) for column in track.T])


def _tract_response(rows: np.ndarray, delay: np.ndarray, sample_rate: int) -> np.ndarray:
    """Glottal flow (-12 dB per octave above 100 Hz), formants, radiation from the lips."""
    pole = np.exp(-2 * np.pi * 100 / sample_rate)
    fixed = (1 - 0.98 * delay) / (1 - pole * delay) ** 2
    for frequency in np.arange(3500.0, 0.42 * sample_rate, 1000.0):  # F4 and up, 1 kHz apart
        fixed = fixed * _resonance(frequency, 80 + 0.04 * frequency, delay, sample_rate)
    response = np.broadcast_to(fixed, (len(rows), len(delay)))
    for i, bandwidth in enumerate(_BANDWIDTHS):
        response = response * _resonance(rows[:, _F1 + i, None], bandwidth, delay, sample_rate)
    return _unit_power(response)


def _noise_response(rows: np.ndarray, delay: np.ndarray, sample_rate: int) -> np.ndarray:
    """One wide resonance above a high-pass of 6 dB per octave."""
    center = np.minimum(rows[:, _CENTER, None], 0.38 * sample_rate)
    width = rows[:, _WIDTH, None]
    return _unit_power((1 - 0.95 * delay) * _resonance(center, width, delay, sample_rate))


def _resonance(
    frequency: np.ndarray | float, bandwidth: np.ndarray | float, delay: np.ndarray, rate: int
) -> np.ndarray:
    """Klatt's resonator, gain 1 at 0 Hz: (1 - b - c) / (1 - b z^-1 - c z^-2)."""
    radius = np.exp(-np.pi * bandwidth / rate)
    b, c = 2 * radius * np.cos(2 * np.pi * frequency / rate), -(radius**2)
    return (1 - b - c) / (1 - b * delay - c * delay**2)


def _unit_power(response: np.ndarray) -> np.ndarray:
    """Scales so that white noise keeps its power and the track sets the level of every sound."""
    return response / np.sqrt(np.mean(np.abs(response) ** 2, axis=-1, keepdims=True))
