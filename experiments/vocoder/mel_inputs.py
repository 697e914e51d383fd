"""Reads inputs of a vocoder: recordings and mels, all checked before any is used."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import soxr

from data_pipeline.audio_files import SUFFIXES, AudioFile, read_mono
from data_pipeline.corpus_sources import by_suffix
from wf_jax.array_files import ArrayFileError, open_npz, read_npy
from wf_jax.audio.mel_faults import describe_doubts, describe_scale
from wf_jax.audio.mel_settings import MelSettings
from wf_jax.errors import UserError
from wf_jax.levels import peak_gain

_ARRAYS = (".npy", ".npz")
_TORCH = 'numpy.save("mel.npy", torch.load(path).numpy())'
_HDF5 = (
    'numpy.save("mel.npy", h5py.File(path)[name][:]), where ParallelWaveGAN\'s "feats" lacks a .T'
)
# Mels of other tools, which their own packages read: what to do with them.
_REMEDIES = {
    **dict.fromkeys((".pt", ".pth"), ("a file of PyTorch", _TORCH)),
    **dict.fromkeys((".h5", ".hdf5"), ("a file of HDF5", _HDF5)),
    **dict.fromkeys((".ark", ".scp"), ("a file of Kaldi", "kaldiio.load_mat, then numpy.save")),
    ".mat": ("a file of MATLAB", 'numpy.save("mel.npy", scipy.io.loadmat(path)[name])'),
    ".csv": ("text", 'numpy.save("mel.npy", numpy.loadtxt(path, delimiter=","))'),
}


@dataclasses.dataclass(frozen=True)
class MelInput:
    """One clip to synthesize.

    Attributes:
        path: path of the input.
        mel: float32 [M, F].
        samples: samples of the wanted audio.
        gain: factor on the audio before its mel was taken.
        note: facts that the mel does not tell, for people; "" if none.
    """

    path: Path
    mel: np.ndarray
    samples: int
    gain: float = 1.0
    note: str = ""


def find_inputs(
    source: Path, settings: MelSettings, *, resample: bool = False, any_scale: bool = False
) -> list[MelInput]:
    """Reads a file, or every audio file, .npy and .npz of a folder.

    Raises:
        UserError: nothing there, two files of one name, a mel of another shape or scale, an
            unreadable recording, or one of another rate without `resample`.
    """
    paths = _paths_in(source) if source.is_dir() else [source]
    for path in filter(_is_audio, paths):  # their headers first: mels of audio take JAX
        _check_rate(AudioFile(path), settings, resample)
    mels = {path: _from_mel(path, settings, any_scale) for path in paths if not _is_audio(path)}
    return [mels.get(path) or _from_audio(path, settings) for path in paths]


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() not in (*_ARRAYS, *_REMEDIES)


def _check_rate(file: AudioFile, settings: MelSettings, resample: bool) -> None:
    if file.sample_rate != settings.sample_rate and not resample:
        raise UserError(
            f"{file.path}: {file.sample_rate} Hz, but the model was trained at "
            f"{settings.sample_rate} Hz; add --resample"
        )


def passed_over(source: Path, inputs: list[MelInput]) -> str:
    """Counts other files of a folder by suffix: "2 .txt"; "" if none, or for a file."""
    if not source.is_dir():
        return ""
    used = {item.path for item in inputs}
    others = (path for path in source.iterdir() if path.is_file() and path not in used)
    return by_suffix(Counter(p.suffix.lower() for p in others if not p.name.startswith(".")))


def _paths_in(folder: Path) -> list[Path]:
    """Lists the recordings and mels of a folder; names a mel of another form if there are none."""
    files = sorted(folder.iterdir())
    paths = [path for path in files if path.suffix.lower() in (*SUFFIXES, *_ARRAYS)]
    if not paths:
        others = [path for path in files if path.suffix.lower() in _REMEDIES]
        if others:
            raise UserError(_other_form(others[0]))
        raise UserError(
            f"{folder}: no {', '.join((*SUFFIXES, *_ARRAYS))} files; name another folder"
        )
    twice = {p.stem for p in paths if sum(q.stem == p.stem for q in paths) > 1}
    if twice:
        raise UserError(
            f"{folder}: two files are called {min(twice)}, and would give one "
            f"{min(twice)}.wav; move one away"
        )
    return paths


def _other_form(path: Path) -> str:
    kind, remedy = _REMEDIES[path.suffix.lower()]
    return f"{path}: {kind}, which is not read here; save the mel as .npy: {remedy}"


def _from_audio(path: Path, settings: MelSettings) -> MelInput:
    from wf_jax.audio.clips import clip_mel

    audio = read_mono(path)
    x, rate = audio.samples.astype(np.float32), settings.sample_rate
    if audio.sample_rate != rate:
        x = soxr.resample(x, audio.sample_rate, rate, quality="VHQ")
    if not len(x):
        raise UserError(f"{path}: nothing is left of it at {rate} Hz; give a longer recording")
    gain = peak_gain(float(np.abs(x).max())) if settings.peak_normalize else 1.0
    return MelInput(path, clip_mel(x * np.float32(gain), settings), len(x), gain)


def _from_mel(path: Path, settings: MelSettings, any_scale: bool) -> MelInput:
    mel = _array(path)
    shape = mel.shape
    if len(shape) == 3 and shape[0] == 1:
        mel = mel[0]
    if mel.ndim != 2 or mel.shape[1] < 1 or not np.issubdtype(mel.dtype, np.floating):
        raise UserError(
            f"{path}: {mel.dtype} {shape} is not a mel; give floats [{settings.n_mels}, frames] or "
            f"[1, {settings.n_mels}, frames]"
        )
    mel = mel.astype(np.float32)
    found = describe_scale(mel, settings)
    if found and (mel.shape[0] != settings.n_mels or not any_scale or not np.isfinite(mel).all()):
        raise UserError(f"{path}: {found}")
    note = describe_doubts(mel) or ""
    return MelInput(path, mel, mel.shape[1] * settings.hop_length, note=note)


def _array(path: Path) -> np.ndarray:
    """Reads the array of a .npy file, or the only one of a .npz file."""
    if path.suffix.lower() in _REMEDIES:
        raise UserError(_other_form(path))
    try:
        if path.suffix.lower() == ".npz":
            return _only_array(path)
        with path.open("rb") as file:
            if file.read(4) == b"PK\3\4":
                raise UserError(f"{path}: several arrays in one file; save the mel with numpy.save")
        return read_npy(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the name") from None
    except (OSError, ArrayFileError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path}: not a {path.suffix} of numbers ({reason}); save it with numpy.save"
        ) from None


def _only_array(path: Path) -> np.ndarray:
    with open_npz(path) as arrays:
        names = [*arrays.headers]
        if len(names) == 1:
            return arrays.read()[names[0]]
    raise UserError(
        f"{path}: {len(names)} arrays ({', '.join(names[:3])}, ...); save the mel alone with "
        "numpy.save"
    )
