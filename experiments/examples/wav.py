"""16-bit WAV files with Python's own library."""

import io
import wave

import numpy as np


def wav_bytes(audio: np.ndarray, sample_rate: int) -> bytes:
    """Mono audio [T], full scale 1, as a file; limited, never wrapped."""
    samples = (np.clip(audio, -1, 1) * 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, sample_rate, len(samples), "NONE", ""))
        writer.writeframes(samples.tobytes())
    return file.getvalue()
