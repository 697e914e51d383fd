"""Makes and remakes release folders: complete, tried against their model, or not at all."""

import dataclasses
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import soundfile

from data_pipeline.atomic import atomic_folder
from experiments.release_card import card
from experiments.release_sources import Source
from wf_jax.audio.mel import MelSettings, peak_gain
from wf_jax.export import Amp, ReleaseError, Vocoder, load
from wf_jax.export.artefacts import this_platform
from wf_jax.export.check import amp_differences, excess, vocoder_differences
from wf_jax.export.manifest import (
    CARD,
    EXAMPLE,
    MANIFEST,
    PARAMS,
    Manifest,
    digest,
    read_files,
    read_manifest,
)
from wf_jax.export.rebuild import NAM, functions_of, model_of
from wf_jax.export.write import About, write_amp, write_manifest, write_vocoder
from wf_jax.training.metrics import Progress

# Of the output's scale; in bfloat16 a sum in another order is off by as much as its steps.
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}
EXAMPLE_TEMPERATURE = 0.8
Release = Vocoder | Amp


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What a user asks of a release; see the flags of experiments.export."""

    platforms: tuple[str, ...]
    dtype: str = "float32"
    blocks: tuple[int, ...] = (64,)
    size: float = 1.0
    license: str = ""


def make_release(source: Source, wishes: Wishes, output: Path) -> None:
    """Writes the release of a model to `output`; a release that is there is replaced.

    Raises:
        ReleaseError: there is something else at `output`, or the result differs from the model.
        NamFileError: the .nam file cannot be used.
        OSError: a file cannot be written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        if not (output / MANIFEST).is_file():
            raise ReleaseError(f"{output}: is there and is no release; name another --output")
        read_manifest(output)
    about = About(source.name, wishes.license, source.metrics)
    model, platforms = source.model, wishes.platforms

    def fill(folder: Path) -> Manifest:
        if not isinstance(model, Path):
            return write_vocoder(folder, model, about, platforms, wishes.dtype)
        if wishes.dtype != "float32":
            raise ReleaseError(
                f"--dtype={wishes.dtype}: an amp's audio would have 8 bits; that is for vocoders"
            )
        return write_amp(folder, model, about, platforms, wishes.blocks, wishes.size)

    _make(output, fill, lambda release: _example(release, source), None)


def remake_release(output: Path) -> None:
    """Makes the artefacts of a release anew; its README.md too, unless somebody changed it.

    Raises:
        ReleaseError: it is none, is damaged, or the result differs from the model.
        OSError: a file cannot be written.
    """
    old = read_manifest(output)
    files = read_files(output, old)
    about = About(old.name, old.license, old.metrics)
    text = (output / CARD).read_bytes() if (output / CARD).is_file() else None
    listed = old.files[CARD].sha256 if CARD in old.files else ""
    edited = text if text is not None and digest(text) != listed else None

    def fill(folder: Path) -> Manifest:
        with tempfile.TemporaryDirectory() as copy:
            for name, data in files.items():
                Path(copy, name).write_bytes(data)
            if old.amp:
                sizes = old.amp.blocks, old.amp.size
                return write_amp(folder, Path(copy, NAM), about, old.platforms, *sizes)
            model = model_of(Path(copy), old)
            return write_vocoder(folder, model, about, old.platforms, old.dtype)

    _make(output, fill, lambda release: (files.get(EXAMPLE, b""), old.example), edited)


def _make(
    output: Path,
    fill: Callable[[Path], Manifest],
    example: Callable[[Release], tuple[bytes, str]],
    text: bytes | None,
) -> None:
    """Has `fill` write a folder, tries what is in it, and adds the example and README.md."""
    with atomic_folder(output) as folder:
        manifest = fill(folder)
        release, error = _tried(folder, manifest)
        wav, words = example(release)
        (folder / EXAMPLE).write_bytes(wav)
        manifest = dataclasses.replace(manifest, error=error, example=words)
        fault = excess(manifest, TOLERANCE[manifest.dtype])
        if fault:
            raise ReleaseError(f"{output}: not written: {fault}; please report it")
        (folder / CARD).write_bytes(text or card(write_manifest(folder, manifest)).encode())
        manifest = write_manifest(folder, manifest)
    _say(output, manifest)


def _tried(folder: Path, manifest: Manifest) -> tuple[Release, dict[str, float]]:
    """The release as users load it, and how far it is from the model.

    Where it is not for this machine: the model in its place, and nothing tried.
    """
    model = model_of(folder, manifest)
    if this_platform() not in manifest.platforms:
        print(f"not tried: this machine computes on {this_platform()}")
        kind = Amp if manifest.amp else Vocoder
        calls = {function.name: function.call for function in functions_of(folder, manifest)}
        with np.load(folder / PARAMS) as params:
            return kind(manifest, calls, dict(params)), {}
    Progress().update("trying it beside the model (it compiles)")
    release = load(folder)
    if isinstance(release, Amp):
        return release, amp_differences(release, model)
    return release, vocoder_differences(release, model)


def _example(release: Release, source: Source) -> tuple[bytes, str]:
    """A WAV file of the source's example, spoken again or played; and what it is."""
    x = source.example[None]
    if isinstance(release, Amp):
        inputs = release.manifest.amp.input_channels
        y = release.render(x if inputs == 1 else np.repeat(x[:, None], inputs, axis=1))[0].T
        words = f"{source.example_words}, through the amp"
    else:
        y = release.synthesize(release.mel(x), jax.random.key(0), EXAMPLE_TEMPERATURE)
        settings = MelSettings(**release.manifest.vocoder.mel)
        y = y[0, : x.shape[1]] / np.asarray(peak_gain(x, settings))[0]
        words = f"{source.example_words}, its mel spoken at temperature {EXAMPLE_TEMPERATURE}"
    wav = io.BytesIO()
    y = np.clip(np.nan_to_num(y), -1, 1 - 2.0**-15)
    soundfile.write(wav, y, source.example_rate, subtype="PCM_16", format="WAV")
    return wav.getvalue(), words


def _say(output: Path, manifest: Manifest) -> None:
    total = sum(entry.bytes for entry in manifest.files.values())
    worst = max(manifest.error.values(), default=None)
    tried = "" if worst is None else f"; within {worst:.0e} of the model"
    print(f"{output}: {manifest.model}, {total / 1e6:.1f} MB{tried}")
    print(f"valid until {manifest.expires}; manifest.json {digest(manifest.dumps())}")
    print(f'use it: wf_jax.export.load("{output}"), as its {CARD} shows')
