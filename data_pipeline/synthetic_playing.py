"""Varied playing, made from a seed: the DI that a teacher plays when the user has none.

Half of it is guitar and bass: notes, chords, palm mutes, tremolo picking, slides and bends, each
phrase with its own instrument, brightness and force. The rest says what playing alone says too
little of: noise whose level and color wander, sweeps, ramps of level, and silence.
"""

from collections.abc import Callable, Collection

import numpy as np
import soxr

from data_pipeline.synthetic_pair import SAMPLE_RATE, ring

BUILT_IN, DEMO = "built-in", "demo"  # in the place of a file: this playing, the built-in pair
PEAK = 0.9  # of full scale
SECONDS = 150.0
_HISS = 1e-5  # RMS of full scale, -100 dB
_HIGHEST = 16_000.0  # Hz, of partials
_RANGE = 60.0  # dB between the softest and the loudest phrase
_GUITAR = np.array([82.41, 110.0, 146.83, 196.0, 246.94, 329.63])  # Hz, the open strings
_BASS = np.array([30.87, 41.2, 55.0, 73.42, 98.0])

Rng = np.random.Generator
Phrase = Callable[[Rng, int], np.ndarray]


def varied_playing(
    seconds: float,
    seed: int = 0,
    sample_rate: int = SAMPLE_RATE,
    kinds: Collection[str] | None = None,
) -> np.ndarray:
    """Makes varied playing, phrase after phrase.

    Args:
        seconds: of audio; it ends within a phrase.
        seed: of everything.
        sample_rate: Hz.
        kinds: of phrases; all of _PHRASES if None.

    Returns:
        float32 [seconds * sample_rate], peak 0.9.
    """
    rng = np.random.default_rng([seed, 2])
    samples = round(seconds * SAMPLE_RATE)
    x, start = np.zeros(samples), 0
    names = [name for name in _PHRASES if kinds is None or name in kinds]
    shares = np.array([_PHRASES[name][1] for name in names])
    while start < samples:
        name = names[rng.choice(len(names), p=shares / shares.sum())]
        phrase = _PHRASES[name][0](rng, round(rng.uniform(1.0, 3.0) * SAMPLE_RATE))
        start += _place(x, start, phrase * _force(rng) / max(np.abs(phrase).max(), 1e-9))
    x += _HISS * rng.normal(size=samples)
    if sample_rate != SAMPLE_RATE:
        x = soxr.resample(x, SAMPLE_RATE, sample_rate, quality="VHQ")
    return (PEAK / np.abs(x).max() * x).astype(np.float32)


def _force(rng: Rng) -> float:
    """Draws the peak of a phrase: most within 12 dB of full scale, one in twelve down to -_RANGE.

    What is soft teaches little: the loss is mostly the error's energy.
    """
    return 10 ** (-rng.uniform(0, 12 if rng.random() < 11 / 12 else _RANGE) / 20)


def _place(x: np.ndarray, start: int, phrase: np.ndarray) -> int:
    """Adds a phrase, faded over 5 ms at its ends; returns its length."""
    fade = SAMPLE_RATE // 200
    edge = np.minimum(np.arange(len(phrase)) / fade, 1.0)
    part = (phrase * edge * edge[::-1])[: len(x) - start]
    x[start : start + len(part)] += part
    return len(phrase)


# Strings


def _instrument(rng: Rng) -> Callable[[float, float, float, int], np.ndarray]:
    """Draws an instrument; returns its string (pitch, force, damping, samples) -> [samples]."""
    pick, pickup = rng.uniform(0.06, 0.35), rng.uniform(0.06, 0.3)
    slope, scrape = rng.uniform(-0.1, 1.1), rng.uniform(0.02, 0.4)
    stiffness, sustain = rng.uniform(2e-5, 2e-4), rng.uniform(0.6, 3.0)

    def string(pitch: float, force: float, damping: float, samples: int) -> np.ndarray:
        t = np.arange(samples) / SAMPLE_RATE
        k = np.arange(1, max(2, min(80, int(_HIGHEST / pitch))))
        amplitude = np.sin(np.pi * k * pick) * np.sin(np.pi * k * pickup) / k**slope
        amplitude *= force ** (k / 40)  # a harder stroke is a brighter one
        amplitude /= np.sqrt(np.sum(amplitude**2)) + 1e-9
        rate = damping + sustain * (0.5 + 0.3 * k**0.8)
        sound = ring(amplitude, pitch * k * np.sqrt(1 + stiffness * k**2), rate, samples)
        sound += scrape * np.exp(-t / rng.uniform(0.001, 0.01)) * rng.normal(size=samples)
        return force * np.minimum(t / 0.001, 1.0) * sound

    return string


def _strokes(
    rng: Rng, samples: int, gap: tuple[float, float], damping: float, voices: int
) -> np.ndarray:
    """Plays strokes of up to `voices` strings, `gap` seconds apart."""
    string, tuning = _instrument(rng), _BASS if rng.random() < 0.15 else _GUITAR
    spacing = rng.uniform(*gap)
    x, at = np.zeros(samples), 0
    while at < samples:
        fret, first = 2 ** (rng.integers(0, 20) / 12), rng.integers(0, len(tuning))
        count = rng.integers(1, voices + 1)
        force = 10 ** (-rng.uniform(0, 12) / 20)
        for pitch in tuning[first : first + count] * fret:
            start = at + round(rng.uniform(0, 0.02 if count > 1 else 0.001) * SAMPLE_RATE)
            length = min(samples - start, 2 * SAMPLE_RATE)
            if length > 0:
                x[start : start + length] += string(pitch, force, damping, length)
        at += round(spacing * rng.uniform(0.7, 1.4) * SAMPLE_RATE)
    return x


def _notes(rng: Rng, samples: int) -> np.ndarray:
    return _strokes(rng, samples, (0.15, 0.6), 1.0, 1)


def _chords(rng: Rng, samples: int) -> np.ndarray:
    return _strokes(rng, samples, (0.25, 1.0), 1.0, 6)


def _mutes(rng: Rng, samples: int) -> np.ndarray:
    return _strokes(rng, samples, (0.08, 0.25), rng.uniform(8.0, 40.0), 2)


def _tremolo(rng: Rng, samples: int) -> np.ndarray:
    return _strokes(rng, samples, (0.05, 0.09), rng.uniform(2.0, 12.0), 1)


def _slides(rng: Rng, samples: int) -> np.ndarray:
    """Bends one string up and down, with vibrato; its partials follow."""
    t = np.arange(samples) / SAMPLE_RATE
    steps = rng.uniform(-7, 7) * np.sin(np.pi * t / t[-1]) ** 2
    steps += rng.uniform(0, 0.5) * np.sin(2 * np.pi * rng.uniform(4, 7) * t)
    pitch = rng.choice(_GUITAR) * 2 ** (rng.integers(0, 13) / 12 + steps / 12)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    slope, pick, decay = rng.uniform(0.5, 1.5), rng.uniform(0.08, 0.3), rng.uniform(0.2, 1.5)
    sound = np.zeros(samples)
    for k in range(1, min(24, int(_HIGHEST / pitch.max())) + 1):
        sound += (
            np.sin(np.pi * k * pick) / k**slope * np.exp(-decay * k**0.5 * t) * np.sin(k * phase)
        )
    return sound


# Signals


def _noise(rng: Rng, samples: int) -> np.ndarray:
    """Makes noise between white and brown, in steps of level."""
    spectrum = np.fft.rfft(rng.normal(size=samples))
    frequency = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 40.0)
    sound = np.fft.irfft(spectrum * frequency ** -rng.uniform(0.0, 1.2), samples)
    length = round(rng.uniform(0.02, 0.3) * SAMPLE_RATE)
    levels = 10 ** (-rng.uniform(0, 30, samples // length + 2) / 20)
    return (
        sound
        / np.abs(sound).max()
        * np.interp(np.arange(samples) / length, np.arange(len(levels)), levels)
    )


def _sweep(rng: Rng, samples: int) -> np.ndarray:
    """Sweeps a sine, or two at once, through five octaves or more while its level moves."""
    t, sound = np.linspace(0, 1, samples), np.zeros(samples)
    for _ in range(rng.integers(1, 3)):
        ends = 40.0 * 2 ** np.sort(rng.uniform(0, 8.5, 2))[:: rng.choice([-1, 1])]
        pitch = ends[0] * (ends[1] / ends[0]) ** t
        level = 10 ** (-np.interp(t, np.linspace(0, 1, 4), rng.uniform(0, 24, 4)) / 20)
        sound += level * np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)
    return sound


def _ramp(rng: Rng, samples: int) -> np.ndarray:
    """Plays a chord whose level rises or falls by 60 dB."""
    level = 10 ** (-3 * np.linspace(0, 1, samples)[:: rng.choice([-1, 1])])
    partials = rng.choice(_GUITAR, 3)[:, None] * np.arange(1, 9)
    amplitude = np.broadcast_to(1 / np.arange(1, 9), partials.shape).ravel()
    return level * ring(amplitude, partials.ravel(), np.zeros(partials.size), samples)


def _silence(rng: Rng, samples: int) -> np.ndarray:
    return np.zeros(round(samples * rng.uniform(0.1, 0.4)))


# What is played, and how often.
_PHRASES: dict[str, tuple[Phrase, float]] = {
    "notes": (_notes, 3.0),
    "chords": (_chords, 4.0),
    "mutes": (_mutes, 2.0),
    "tremolo": (_tremolo, 1.5),
    "slides": (_slides, 1.5),
    "noise": (_noise, 2.5),
    "sweep": (_sweep, 1.0),
    "ramp": (_ramp, 0.3),
    "silence": (_silence, 0.3),
}


def built_in_playing(sample_rate: int) -> np.ndarray:
    """Makes the playing that comes with us, SECONDS of it."""
    return varied_playing(SECONDS, 0, sample_rate)


def built_in_di(validation_seconds: float, sample_rate: int) -> np.ndarray:
    """Makes the DI of a teacher: varied playing, and at its end strings alone to be judged by.

    Args:
        validation_seconds: length of that end.
        sample_rate: Hz.
    """
    strings = ("notes", "chords", "mutes", "tremolo", "slides")
    end = varied_playing(validation_seconds, 1, sample_rate, strings)
    return np.concatenate([built_in_playing(sample_rate), end])
