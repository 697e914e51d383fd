"""Vocoders that speak: folders of models, runs, and releases."""

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from experiments.run.vocoder_folder import model_folder
from wf_jax.audio.mel_settings import MelSettings
from wf_jax.errors import UserError
from wf_jax.json_values import from_json

if TYPE_CHECKING:
    from experiments.vocoder.mel_inputs import MelInput

TEMPERATURE = 1.0  # unless another is asked for, as of `speak` in the terminal
Parts = Callable[[np.ndarray, int, float], Iterator[np.ndarray]]


class Voice(NamedTuple):
    """A loaded vocoder.

    Attributes:
        mel: settings of its mels.
        parts: (mel [M, F], seed, temperature) -> float32 parts of [F * hop], as they are ready.
    """

    mel: MelSettings
    parts: Parts


class Speech(NamedTuple):
    """Speech that is being made: a WAV file of 16 bits, mono.

    Attributes:
        size: of the file, in bytes.
        note: what the mel does not tell, for people; "" if nothing.
        chunks: of the file.
    """

    size: int
    note: str
    chunks: Iterator[bytes]


def speak(folder: Path, source: Path, seed: int, temperature: float) -> Speech:
    """Speaks a recording or a mel; computes while the result is taken.

    Args:
        folder: of a run, a model or a release.
        source: a sound, a .npy or a .npz.
        seed: of what is drawn.
        temperature: 1 draws from the model; less is calmer.

    Raises:
        UserError: the voice or the source cannot be used.
    """
    from experiments.vocoder.mel_inputs import find_inputs

    voice = load_voice(folder)
    (item,) = find_inputs(source, voice.mel, resample=True)
    parts = voice.parts(item.mel, seed, temperature)
    rate = voice.mel.sample_rate
    return Speech(44 + 2 * item.samples, item.note, _wav(parts, item, rate))


def load_voice(folder: Path) -> Voice:
    """Loads a vocoder; the last ones stay in memory.

    Raises:
        UserError: the folder holds none.
    """
    changed = [p.stat().st_mtime_ns for p in (*folder.glob("*.json"), *folder.glob("model/*.json"))]
    return _load(folder, tuple(changed))


@lru_cache(maxsize=3)
def _load(folder: Path, changed: Sequence[int]) -> Voice:
    del changed  # a run's model is another one later
    return _release(folder) if (folder / "manifest.json").is_file() else _model(folder)


def _release(folder: Path) -> Voice:
    import jax

    from wf_jax.export import Vocoder, load

    vocoder = load(folder)
    if not isinstance(vocoder, Vocoder):
        raise UserError(f"{folder}: the release of an amp, which speaks no mels; name a vocoder's")

    def parts(mel: np.ndarray, seed: int, temperature: float) -> Iterator[np.ndarray]:
        key = jax.random.key(seed)
        if vocoder.manifest.vocoder.context_frames is None:
            yield vocoder.synthesize(mel[None], key, temperature)[0]
        else:
            yield from vocoder.stream([mel], key, temperature)

    return Voice(from_json(MelSettings, vocoder.manifest.vocoder.mel), parts)


def _model(folder: Path) -> Voice:
    from wf_jax.flows.model_folder import load_model
    from wf_jax.flows.synthesis import synthesize

    model = load_model(model_folder(folder))

    def parts(mel: np.ndarray, seed: int, temperature: float) -> Iterator[np.ndarray]:
        for _, audio in synthesize(model, [mel], temperature=temperature, seed=seed):
            yield audio

    return Voice(model.config.mel, parts)


def _wav(parts: Iterator[np.ndarray], item: "MelInput", rate: int) -> Iterator[bytes]:
    """Yields a WAV file, limited at full scale, while its audio is made."""
    size = 2 * item.samples
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    begin = struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE")
    yield begin + form + struct.pack("<4sI", b"data", size)
    left = item.samples
    for part in parts:
        audio = np.clip(part[:left] / item.gain, -1.0, 1.0 - 2.0**-15)
        left -= len(audio)
        yield np.round(audio * 2**15).astype("<i2").tobytes()
    yield bytes(2 * left)
