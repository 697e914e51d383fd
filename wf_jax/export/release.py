"""`load`: from a release folder to functions, with JAX and NumPy alone.

Checks come first: every file against its digest, then the age of the artefacts. Those that this
JAX may not read any more, or not yet, are replaced by the functions of the model itself, where
its code is at hand.
"""

import datetime
import io
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from wf_jax.export.amp import Amp
from wf_jax.export.artefacts import read, this_platform
from wf_jax.export.manifest import PARAMS, Manifest, ReleaseError, read_files, read_manifest
from wf_jax.export.vocoder import Vocoder


def load(
    folder: str | os.PathLike,
    *,
    sha256: str | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Vocoder | Amp:
    """A release that `python -m experiments.export` wrote.

    Args:
        folder: a path, or an object with the methods of pathlib.Path.
        sha256: of its manifest.json, as the export printed it: then nothing but that release is
            accepted. Without it the release is as trustworthy as the place that it comes from.
        devices: that share the rows of each batch; JAX's default device if None.

    Returns:
        The vocoder or the amp.

    Raises:
        ReleaseError: one line; nothing of a release with a damaged file is run.

    Warns:
        UserWarning: the artefacts cannot be used, and the functions were rebuilt.
    """
    folder = Path(folder) if isinstance(folder, str) else folder
    manifest = read_manifest(folder, sha256)
    files = read_files(folder, manifest)
    params = _params(folder / PARAMS, files[PARAMS], manifest)
    fault = outdated(manifest)
    if fault:
        functions = _rebuilt(folder, fault, files, manifest)
    else:
        functions = _artefacts(folder, files, manifest)
    kind = Vocoder if manifest.vocoder else Amp
    return kind(manifest, functions, params, devices)


def outdated(manifest: Manifest) -> str:
    """Why the artefacts should not be used here; "" where they can be."""
    today = datetime.datetime.now(datetime.UTC).date()
    if today >= datetime.date.fromisoformat(manifest.expires):
        return f"its functions expired on {manifest.expires}"
    if _version(manifest.jax_version) > _version(jax.__version__):
        return (
            f"its functions were made by jax {manifest.jax_version}, newer than {jax.__version__}"
        )
    return ""


def _artefacts(
    folder: Path, files: Mapping[str, bytes], manifest: Manifest
) -> dict[str, Callable[..., Any]]:
    here = this_platform()
    if here not in manifest.platforms:
        raise ReleaseError(
            f"{folder}: its functions are for {', '.join(manifest.platforms)}, not for {here}, "
            f"which computes here; export with --platforms={here}, or set JAX_PLATFORMS"
        )
    return {
        name: read(files[function.file], str(folder / function.file))
        for name, function in manifest.functions.items()
    }


def _rebuilt(
    folder: Path, fault: str, files: Mapping[str, bytes], manifest: Manifest
) -> dict[str, Callable[..., Any]]:
    again = f"python -m experiments.export --rebuild --output={folder}"
    try:
        from wf_jax.export.rebuild import functions_of
    except ImportError as error:
        raise ReleaseError(
            f"{folder}: {fault}, and cannot be rebuilt without {error.name}; where wf_jax is "
            f"installed with all its packages: {again}"
        ) from None
    warnings.warn(f"{folder}: {fault}; rebuilt from the model, as will {again}", stacklevel=3)
    with tempfile.TemporaryDirectory() as copy:
        for name, data in files.items():
            Path(copy, name).write_bytes(data)
        try:
            functions = functions_of(Path(copy), manifest)
        except ValueError as error:  # a model of another version of wf_jax
            said = str(error).replace(copy, str(folder))
            raise ReleaseError(f"{folder}: {fault}, and it cannot be rebuilt: {said}") from None
        return {function.name: function.call for function in functions}


def _params(path: Path, data: bytes, manifest: Manifest) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            params = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ReleaseError(f"{path}: damaged ({error}); copy the release again") from None
    found = {name: (shape_text(value), str(value.dtype)) for name, value in params.items()}
    listed = {name: (value.shape, value.dtype) for name, value in manifest.params.items()}
    for name in sorted(found.keys() | listed.keys()):
        if found.get(name) != listed.get(name):
            raise ReleaseError(
                f"{path}: {name} is {found.get(name, 'missing')}, but manifest.json says "
                f"{listed.get(name, 'nothing of it')}; copy the release again"
            )
    return params


def shape_text(array: np.ndarray) -> str:
    """A shape as manifests write it."""
    return ", ".join(map(str, array.shape))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:4] if part.isdigit())
