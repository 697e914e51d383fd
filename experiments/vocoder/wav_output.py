"""Writes WAV files of synthesized audio: limited at full scale, never wrapped."""

from pathlib import Path

import numpy as np
import soundfile

from data_pipeline.audio_files import write_wav
from wf_jax.whole_files import atomic_path


def write_clipped(path: Path, audio: np.ndarray, sample_rate: int, samples: str = "pcm24") -> int:
    """Writes audio [T] whole or not at all.

    Args:
        path: a WAV file; an existing one is replaced.
        audio: full scale 1.
        sample_rate: Hz.
        samples: "pcm24", or "float32", which keeps what is beyond full scale.

    Returns:
        How many samples had to be limited to full scale.
    """
    if samples == "float32":
        write_wav(path, audio, sample_rate)
        return 0
    limited = int(np.count_nonzero(np.abs(audio) > 1))
    audio = np.clip(audio, -1.0, 1.0 - 2.0**-23)
    with atomic_path(path) as temporary:
        soundfile.write(temporary, audio, sample_rate, subtype="PCM_24", format="WAV")
    return limited
