"""What a vocoder is asked to speak: recordings and .npy mels, checked before any is used."""

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import soxr

from data_pipeline.audio_files import SUFFIXES, AudioFileError, read_mono
from wf_jax.audio.clips import clip_mel
from wf_jax.audio.mel import MelSettings
from wf_jax.audio.mel_scale import describe_scale
from wf_jax.errors import UserError


class MelInputError(UserError):
    """A file is not a mel that the model can take: one line with file, value and remedy."""


@dataclasses.dataclass(frozen=True)
class MelInput:
    """One clip to synthesise.

    Attributes:
        path: where it came from.
        mel: float32 [M, F].
        samples: of the audio that is wanted.
        gain: by which the audio was multiplied before its mel was taken.
    """

    path: Path
    mel: np.ndarray
    samples: int
    gain: float = 1.0


def find_inputs(
    source: Path, settings: MelSettings, *, resample: bool = False, any_scale: bool = False
) -> list[MelInput]:
    """Reads a file, or every audio file and .npy of a folder.

    Raises:
        MelInputError: nothing there, two files of one name, or a mel of another shape or scale.
        AudioFileError: an unreadable recording, or one of another rate without `resample`.
    """
    paths = [source]
    if source.is_dir():
        wanted = (*SUFFIXES, ".npy")
        paths = sorted(p for p in source.iterdir() if p.suffix.lower() in wanted)
        if not paths:
            raise MelInputError(f"{source}: no {', '.join(wanted)} files; name another folder")
        twice = {p.stem for p in paths if sum(q.stem == p.stem for q in paths) > 1}
        if twice:
            raise MelInputError(
                f"{source}: two files are called {min(twice)}, and would give one "
                f"{min(twice)}.wav; move one away"
            )
    return [
        _from_mel(path, settings, any_scale)
        if path.suffix.lower() == ".npy"
        else _from_audio(path, settings, resample)
        for path in paths
    ]


def _from_audio(path: Path, settings: MelSettings, resample: bool) -> MelInput:
    audio = read_mono(path)
    x, rate = audio.samples.astype(np.float32), settings.sample_rate
    if audio.sample_rate != rate:
        if not resample:
            raise AudioFileError(
                f"{path}: {audio.sample_rate} Hz, but the model was trained at {rate} Hz; "
                "add --resample"
            )
        x = soxr.resample(x, audio.sample_rate, rate, quality="VHQ")
    if not len(x):
        raise MelInputError(f"{path}: nothing is left of it at {rate} Hz; give a longer recording")
    peak = float(np.abs(x).max())
    gain = 0.999 / peak if settings.peak_normalise and peak > 1e-9 else 1.0
    return MelInput(path, clip_mel(x * np.float32(gain), settings), len(x), gain)


def _from_mel(path: Path, settings: MelSettings, any_scale: bool) -> MelInput:
    try:
        mel = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise MelInputError(f"{path}: no such file; check the name") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise MelInputError(f"{path}: not a .npy of numbers; save it with numpy.save") from None
    if not isinstance(mel, np.ndarray):
        raise MelInputError(f"{path}: several arrays in one file; save the mel with numpy.save")
    shape = mel.shape
    if len(shape) == 3 and shape[0] == 1:
        mel = mel[0]
    if mel.ndim != 2 or mel.shape[1] < 1 or not np.issubdtype(mel.dtype, np.floating):
        raise MelInputError(
            f"{path}: {mel.dtype} {shape} is not a mel; give floats [{settings.bands}, frames] or "
            f"[1, {settings.bands}, frames]"
        )
    mel = mel.astype(np.float32)
    found = describe_scale(mel, settings)
    if found and (mel.shape[0] != settings.bands or not any_scale or not np.isfinite(mel).all()):
        raise MelInputError(f"{path}: {found}")
    return MelInput(path, mel, mel.shape[1] * settings.hop)
