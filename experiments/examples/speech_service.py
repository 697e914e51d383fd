"""A speech service: mels in, WAV files out, by a release of `experiments.export`.

    python -m experiments.examples.speech_service RELEASE mel.npy speech.wav

Needs jax, numpy, flatbuffers and wf_jax.export, which imports no model code.
"""

import sys

import jax
import numpy as np

from experiments.examples.wav import wav_bytes
from wf_jax.errors import UserError
from wf_jax.export import Vocoder, load


class SpeechService:
    """Loads once, then answers any number of requests; lengths of one bucket share a program."""

    def __init__(self, release: str, warm_frames: tuple[int, ...] = (64, 256)):
        """Compiles for clips of these lengths, so that the first requests need not wait."""
        self._vocoder = load(release)
        if not isinstance(self._vocoder, Vocoder):
            raise UserError(f"{release}: an amp, which speaks no mels; name a vocoder's release")
        for frames in warm_frames:
            self.speak(np.full((self._vocoder.manifest.vocoder.bands, frames), -8.0, np.float32))

    def speak(self, mel: np.ndarray, seed: int = 0, temperature: float = 0.8) -> bytes:
        """Turns a mel [M, F] (natural log) into a 16-bit mono WAV file."""
        (audio,) = self._vocoder.synthesize(mel[None], jax.random.key(seed), temperature)
        return wav_bytes(audio, self._vocoder.sample_rate)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python -m experiments.examples.speech_service RELEASE mel.npy speech.wav")
    try:
        service = SpeechService(sys.argv[1], warm_frames=())
        spoken = service.speak(np.load(sys.argv[2]))
        with open(sys.argv[3], "wb") as output:
            output.write(spoken)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
