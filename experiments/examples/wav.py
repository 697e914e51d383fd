"""Writes 16-bit WAV files with the standard library alone."""

import io
import wave

import numpy as np


def wav_bytes(audio: np.ndarray, sample_rate: int) -> bytes:
    """Returns mono audio [T], full scale 1, as a WAV file; limited, never wrapped."""
    samples = (np.clip(audio, -1, 1) * 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, sample_rate, len(samples), "NONE", ""))
        writer.writeframes(samples.tobytes())
    return file.getvalue()
