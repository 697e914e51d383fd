"""Loads the functions of a release folder with JAX and NumPy alone.

Checks come first: every file against its digest, then the age of the artifacts. Those that this
JAX may not read any more, or not yet, are replaced by the functions of the model itself, where
its code is at hand.
"""

import datetime
import io
import os
import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from wf_jax.array_files import ArrayFileError, open_npz, shown
from wf_jax.command_lines import command
from wf_jax.errors import UserError
from wf_jax.export.amp import Amp
from wf_jax.export.artifacts import UnreadableError, platform_of, read
from wf_jax.export.manifest import (
    FILES,
    LARGEST_RELEASE,
    PARAMS,
    Manifest,
    copied,
    read_release,
    shape_text,
)
from wf_jax.export.vocoder import Vocoder
from wf_jax.hub import local_folder


def load(
    folder: str | os.PathLike,
    *,
    sha256: str | None = None,
    devices: Sequence[jax.Device] | None = None,
    allow_expired: bool = False,
) -> Vocoder | Amp:
    """Loads a release that `python -m experiments.export` wrote.

    Args:
        folder: a path, an object with the methods of pathlib.Path, or hf://USER/NAME[@REVISION] on
            the Hugging Face hub, downloaded once.
        sha256: of its manifest.json, as the export printed it: then nothing but that release is
            accepted. Without it the release is as trustworthy as the place that it comes from.
        devices: that share the rows of each batch; JAX's default device if None.
        allow_expired: use artifacts after their date, as a container that is pinned to the JAX that
            made them may.

    Returns:
        The vocoder or the amp.

    Raises:
        UserError: one line; nothing of a release with a damaged file is run.

    Warns:
        UserWarning: the artifacts cannot be used, and the functions were rebuilt.
    """
    if isinstance(folder, str):
        folder = local_folder(folder, FILES, LARGEST_RELEASE)
    manifest, files = read_release(folder, sha256)
    params = params_of(folder / PARAMS, files[PARAMS], manifest)
    fault = outdated(manifest, allow_expired)
    if not fault:
        try:
            functions = _artifacts(folder, files, manifest, devices)
        except UnreadableError as error:
            fault = str(error)
    if fault:
        functions = _rebuilt(folder, fault, files, manifest)
    kind = Vocoder if manifest.vocoder else Amp
    return kind(manifest, functions, params, devices)


def outdated(manifest: Manifest, allow_expired: bool = False) -> str:
    """Says why the artifacts should not be used here; "" where they can be."""
    today = datetime.datetime.now(datetime.UTC).date()
    if today >= datetime.date.fromisoformat(manifest.expires) and not allow_expired:
        return f"its functions expired on {manifest.expires}"
    if _version(manifest.jax_version) > _version(jax.__version__):
        return (
            f"its functions were made by jax {manifest.jax_version}, newer than {jax.__version__}"
        )
    return ""


def _artifacts(
    folder: Path,
    files: Mapping[str, bytes],
    manifest: Manifest,
    devices: Sequence[jax.Device] | None,
) -> dict[str, Callable[..., Any]]:
    here = platform_of(devices)
    if here not in manifest.platforms:
        raise UserError(
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
    again = ["--rebuild", f"--output={folder}"]
    try:
        from wf_jax.export.rebuild import functions_of
    except ImportError as error:
        pinned = " (or load(..., allow_expired=True) with the jax that made them)"
        elsewhere = shlex.join(["wf-jax", "export", *again])
        raise UserError(
            f"{folder}: {fault}, and cannot be rebuilt without {error.name}; where wf_jax is "
            f"installed with all its packages: {elsewhere}{pinned if 'expired' in fault else ''}"
        ) from None
    said = f"{folder}: {fault}; they were rebuilt from the model. To make new ones: "
    warnings.warn(said + command("export", *again), stacklevel=3)
    with copied(files) as copy:
        try:
            functions = functions_of(copy, manifest)
        except (KeyError, TypeError, ValueError) as error:  # of another version of wf_jax
            said = str(error).replace(str(copy), str(folder))
            raise UserError(f"{folder}: {fault}, and it cannot be rebuilt: {said}") from None
        return {function.name: function.call for function in functions}


def params_of(path: Path, data: bytes, manifest: Manifest) -> dict[str, np.ndarray]:
    """Reads the arrays that a manifest lists, once all names, shapes and types are as listed.

    Args:
        path: of params.npz, for messages.
        data: its bytes.
        manifest: of the release.

    Raises:
        UserError: it is damaged, or has other arrays.
    """
    listed = {name: (value.shape, value.dtype) for name, value in manifest.params.items()}
    try:
        with open_npz(io.BytesIO(data), stored=True) as arrays:
            found = {n: (shape_text(h.shape), str(h.dtype)) for n, h in arrays.headers.items()}
            for name in sorted(found.keys() | listed.keys()):
                if found.get(name) != listed.get(name):
                    raise UserError(
                        f"{path}: {shown(name)} is {found.get(name, 'missing')}, but manifest.json "
                        f"says {listed.get(name, 'nothing of it')}; copy the release again"
                    )
            return arrays.read()
    except ArrayFileError as error:
        raise UserError(f"{path}: damaged ({error}); copy the release again") from None


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:4] if part.isdigit())
