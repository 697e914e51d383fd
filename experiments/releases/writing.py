"""Makes and remakes release folders: complete and compared with the model, or not at all."""

import dataclasses
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import soundfile

from experiments.releases.card import card
from experiments.releases.sources import Source
from wf_jax.audio.mel import MelSettings, peak_gain
from wf_jax.errors import UserError
from wf_jax.export import Amp, Vocoder, load
from wf_jax.export.artifacts import platform_of
from wf_jax.export.check import Difference, amp_differences, fault_of, vocoder_differences
from wf_jax.export.manifest import (
    CARD,
    EXAMPLE,
    MANIFEST,
    NAM,
    PARAMS,
    Manifest,
    copied,
    digest,
    read_release,
    replaceable,
)
from wf_jax.export.rebuild import functions_of, model_of
from wf_jax.export.write import About, write_amp, write_manifest, write_vocoder
from wf_jax.training.metrics import Progress
from wf_jax.whole_files import atomic_folder, restore

# Relative to the output's scale; in bfloat16 a reordered sum differs by about one step.
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}
EXAMPLE_TEMPERATURE = 0.8
Release = Vocoder | Amp


@dataclasses.dataclass(frozen=True)
class ReleaseOptions:
    """The options of a release; see the flags of experiments.export."""

    platforms: tuple[str, ...]
    dtype: str | None = None
    blocks: tuple[int, ...] = (64,)
    size: float = 1.0
    license: str = ""


def make_release(source: Source, options: ReleaseOptions, output: Path) -> None:
    """Writes the release of a model to `output`; replaces an existing release.

    Raises:
        UserError: `output` holds something else, the .nam file cannot be used, or the result
            differs from the model.
        OSError: a file cannot be written.
    """
    restore(output)
    old = replaceable(output)
    about = About(source.name, options.license, source.metrics)
    model, platforms = source.model, options.platforms

    def write(folder: Path) -> Manifest:
        if not isinstance(model, Path):
            return write_vocoder(folder, model, about, platforms, options.dtype)
        if options.dtype == "bfloat16":
            raise UserError(
                f"--dtype={options.dtype}: an amp's audio would have 8 bits; that is for vocoders"
            )
        return write_amp(folder, model, about, platforms, options.blocks, options.size)

    _make(output, old, write, lambda release: _example(release, source), None)


def remake_release(output: Path) -> None:
    """Remakes the artifacts of a release, and its README.md unless somebody edited it.

    Raises:
        UserError: the release is none, is damaged, or differs from the model afterwards.
        OSError: a file cannot be written.
    """
    restore(output)
    old, files = read_release(output)
    about = About(old.name, old.license, old.metrics)
    text = (output / CARD).read_bytes() if (output / CARD).is_file() else None
    listed = old.files[CARD].sha256 if CARD in old.files else ""
    edited = text if text is not None and digest(text) != listed else None

    def write(folder: Path) -> Manifest:
        with copied(files) as copy:
            try:
                model = model_of(copy, old)
            except ValueError as error:  # of another version of wf_jax
                said = str(error).replace(str(copy), str(output))
                raise UserError(f"{output}: cannot be rebuilt: {said}") from None
            if old.amp:
                sizes = old.amp.blocks, old.amp.size
                return write_amp(folder, copy / NAM, about, old.platforms, *sizes)
            return write_vocoder(folder, model, about, old.platforms, old.dtype)

    _make(output, old, write, lambda release: (files.get(EXAMPLE), old.example), edited)


def _make(
    output: Path,
    old: Manifest | None,
    write: Callable[[Path], Manifest],
    example: Callable[[Release], tuple[bytes | None, str]],
    text: bytes | None,
) -> None:
    """Makes a folder by `write`, checks it, and adds the example and README.md.

    Files that somebody added to the old release are kept.
    """
    with atomic_folder(output, replace=True) as folder:
        manifest = write(folder)
        release, differences = _tried(folder, manifest)
        wav, description = example(release)
        if wav is not None:
            (folder / EXAMPLE).write_bytes(wav)
        error = {name: difference.error for name, difference in differences.items()}
        manifest = dataclasses.replace(manifest, error=error, example=description)
        fault = fault_of(differences, TOLERANCE[manifest.dtype])
        if fault:
            raise UserError(f"{output}: not written: {fault}; please report it")
        if text is None:
            text = card(write_manifest(folder, manifest)).encode()
        (folder / CARD).write_bytes(text)
        manifest = write_manifest(folder, manifest)
        if old:
            _keep_others(output, old, folder)
    _say(output, manifest)


def _keep_others(output: Path, old: Manifest, folder: Path) -> None:
    """Copies files that were never part of the release: a license, the .git of a hub."""
    for path in output.iterdir():
        if path.name in old.files or path.name == MANIFEST or (folder / path.name).exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, folder / path.name, symlinks=True)
        else:
            shutil.copy2(path, folder / path.name, follow_symlinks=False)


def _tried(folder: Path, manifest: Manifest) -> tuple[Release, dict[str, Difference]]:
    """Loads the release as users do, and measures its difference from the model.

    For another machine it returns the model in its place, and measures nothing.
    """
    model = model_of(folder, manifest)
    if platform_of() not in manifest.platforms:
        print(f"not tried: this machine computes on {platform_of()}")
        kind = Amp if manifest.amp else Vocoder
        calls = {function.name: function.call for function in functions_of(folder, manifest)}
        with np.load(folder / PARAMS) as params:
            return kind(manifest, calls, dict(params)), {}
    Progress().keep("trying it beside the model (it compiles)")
    release = load(folder)
    if isinstance(release, Amp):
        return release, amp_differences(release, model)
    return release, vocoder_differences(release, model)


def _example(release: Release, source: Source) -> tuple[bytes, str]:
    """Makes a WAV file of the source's example, resynthesized or played, and its description."""
    x = source.example[None]
    if isinstance(release, Amp):
        inputs = release.manifest.amp.input_channels
        y = release.render(x if inputs == 1 else np.repeat(x[:, None], inputs, axis=1))[0].T
        description = f"{source.example_description}, through the amp"
    else:
        y = release.synthesize(release.mel(x), jax.random.key(0), EXAMPLE_TEMPERATURE)
        settings = MelSettings(**release.manifest.vocoder.mel)
        y = y[0, : x.shape[1]] / np.asarray(peak_gain(x, settings))[0]
        description = (
            f"{source.example_description}, its mel spoken at temperature {EXAMPLE_TEMPERATURE}"
        )
    wav = io.BytesIO()
    y = np.clip(np.nan_to_num(y), -1, 1 - 2.0**-15)
    soundfile.write(wav, y, source.example_rate, subtype="PCM_16", format="WAV")
    return wav.getvalue(), description


def _say(output: Path, manifest: Manifest) -> None:
    total = sum(entry.bytes for entry in manifest.files.values())
    worst = max(manifest.error.values(), default=None)
    tried = "" if worst is None else f"; within {worst:.0e} of the model"
    print(f"{output}: {manifest.model}, {total / 1e6:.1f} MB{tried}")
    print(f"valid until {manifest.expires}; manifest.json {digest(manifest.dumps())}")
    print(f'use it: wf_jax.export.load("{output}"), as its {CARD} shows')
