"""The signal that a model's loudness and gain are measured with: one second of plucked strings.

NAM measures them with a recorded second of guitar. Ours is synthesized, with the same length,
peak and RMS, so that figures of models measured with either are comparable.
"""

import functools

import numpy as np

SAMPLE_RATE = 48000  # Hz
PEAK = 0.71181  # of full scale
RMS_DBFS = -14.968025

# Onset (s), fundamental (Hz), strength: an A power chord, then single notes up an octave.
_NOTES = (
    (0.00, 110.00, 1.0),
    (0.01, 164.81, 0.8),
    (0.02, 220.00, 0.7),
    (0.45, 261.63, 0.9),
    (0.62, 329.63, 0.8),
    (0.80, 440.00, 0.7),
)
_PARTIALS = 24
_PICK = 0.13  # where the string is plucked, as a fraction of its length


@functools.cache
def loudness_probe() -> np.ndarray:
    """Read-only float32 [48000] at 48 kHz, peak 0.71181, RMS -14.968025 dBFS."""
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    x = sum(strength * _pluck(t - onset, pitch) for onset, pitch, strength in _NOTES)
    probe = _fit(x).astype(np.float32)
    probe.flags.writeable = False
    return probe


def _pluck(t: np.ndarray, pitch: float) -> np.ndarray:
    """An ideal plucked string at times t (s): partials fall as 1/k and die out as k^1.3."""
    k = np.arange(1, _PARTIALS + 1)[:, None]
    amplitude = np.sin(np.pi * k * _PICK) / k
    decay = np.exp(-2.2 * k**0.65 * np.maximum(t, 0))
    attack = np.clip(t / 0.002, 0, 1)
    phase = 2 * np.pi * pitch * k * np.maximum(t, 0)
    return attack * np.sum(amplitude * decay * np.sin(phase), axis=0)


def _fit(x: np.ndarray) -> np.ndarray:
    """Bends |x| by an exponent until peak and RMS are both as wanted (bisection)."""
    shape = x / np.abs(x).max()
    wanted = 10 ** (RMS_DBFS / 20) / PEAK
    low, high = 0.1, 10.0  # a larger exponent makes the signal peakier
    for _ in range(60):
        middle = (low + high) / 2
        bent = np.sign(shape) * np.abs(shape) ** middle
        low, high = (middle, high) if np.sqrt(np.mean(bent**2)) > wanted else (low, middle)
    return PEAK * bent
