"""Makes the folder of a release from a model: arrays, artifacts, and the manifest over them."""

import dataclasses
import datetime
import io
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import wf_jax
from wf_jax.amps.a2_pass import A2Pass
from wf_jax.amps.describe import words
from wf_jax.amps.jax_form import compiler_options, jax_form
from wf_jax.amps.nam_models import load_nam
from wf_jax.audio.clips import SMALLEST
from wf_jax.export.artifacts import Function, lower
from wf_jax.export.functions import amp_functions, reconfigured, vocoder_functions
from wf_jax.export.manifest import (
    CONFIG,
    FORMAT,
    LIFETIME,
    MANIFEST,
    NAM,
    PARAMS,
    SUFFIX,
    AmpFacts,
    FileEntry,
    Manifest,
    Signature,
    Value,
    VocoderFacts,
    digest,
    shape_text,
)
from wf_jax.export.rebuild import playable
from wf_jax.flows.flow import Flow
from wf_jax.flows.model_folder import save_model
from wf_jax.flows.synthesis import aligned, context_frames
from wf_jax.modules import split


@dataclasses.dataclass(frozen=True)
class About:
    """Facts about a model that its release states beside the model itself.

    Attributes:
        name: for people.
        license: as hubs write it; "" where nobody said.
        metrics: of its training.
    """

    name: str
    license: str = ""
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def write_vocoder(
    folder: Path,
    model: Flow,
    about: About,
    platforms: Sequence[str],
    dtype: str | None = None,
    say: Callable[[str], object] = print,
) -> Manifest:
    """Writes the machine-readable files of a release: config, arrays, artifacts, manifest.

    Args:
        folder: an empty folder.
        model: of any family.
        about: for the manifest.
        platforms: see artifacts.lower.
        dtype: of the nets' products, "float32" or "bfloat16"; the model's own if None. The arrays
            stay float32.
        say: called with a line for each artifact.

    Returns:
        The manifest.
    """
    if dtype is None:
        dtype = "bfloat16" if model.config.compute_dtype == "bfloat16" else "float32"
    if dtype != model.config.compute_dtype:
        model = reconfigured(model, compute_dtype=dtype)
    config, params = model.config, split(model)[1]
    save_model(folder, config, params)
    cuts = config.context_samples is not None
    facts = VocoderFacts(
        sample_rate=config.mel.sample_rate,
        hop=config.mel.hop_length,
        bands=config.mel.n_mels,
        smallest_frames=aligned(SMALLEST, config),
        context_frames=context_frames(config) if cuts else None,
        cut_frames=aligned(1, config),
        mel=dataclasses.asdict(config.mel),
    )
    described = {"model": config.describe(), "dtype": dtype, "vocoder": facts, "amp": None}
    return _finish(folder, about, described, vocoder_functions(model), params, platforms, say)


def write_amp(
    folder: Path,
    nam: Path,
    about: About,
    platforms: Sequence[str],
    blocks: Sequence[int] = (64,),
    size: float = 1.0,
    say: Callable[[str], object] = print,
) -> Manifest:
    """Writes the same for a .nam file, which goes into the release as it is.

    For CPUs alone an A2 model is exported in the pass that is written for it.

    Args:
        folder: an empty folder.
        nam: the file.
        about: for the manifest.
        platforms: see artifacts.lower.
        blocks: sizes to export a `step` for, in samples.
        size: of a model that has several, 0 smallest to 1 largest.
        say: called with a line for each artifact.

    Raises:
        UserError: the file cannot be used.
    """
    model = load_nam(nam).at_size(size)
    fast = tuple(platforms) == ("cpu",) and isinstance(jax_form(model), A2Pass)
    played = jax_form(model) if fast else model
    facts = AmpFacts(
        sample_rate=model.sample_rate,
        input_channels=model.input_channels,
        output_channels=model.output_channels,
        chunk=played.chunk,
        blocks=tuple(blocks),
        receptive_field=model.receptive_field,
        size=size,
        a2_pass=fast,
        compiler_options=compiler_options(played),
    )
    shutil.copyfile(nam, folder / NAM)
    params = split(playable(folder / NAM, facts))[1]
    in_words = f"{type(model).__name__}: {'; '.join(words(model))}"
    content = {"format": "wf_jax.amps/1", "model": NAM, "size": size, "described": in_words}
    (folder / CONFIG).write_text(json.dumps(content, indent=2) + "\n")
    arrays = io.BytesIO()
    np.savez(arrays, **{name: np.asarray(value) for name, value in params.items()})
    (folder / PARAMS).write_bytes(arrays.getbuffer())
    described = {"model": in_words, "dtype": "float32", "vocoder": None, "amp": facts}
    return _finish(folder, about, described, amp_functions(played, blocks), params, platforms, say)


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Writes manifest.json over the files that are in the folder now; returns it as written."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST:
            data = path.read_bytes()
            files[path.name] = FileEntry(len(data), digest(data))
    manifest = dataclasses.replace(manifest, files=files)
    (folder / MANIFEST).write_bytes(manifest.dumps())
    return manifest


def _finish(
    folder: Path,
    about: About,
    described: Mapping[str, Any],
    functions: Sequence[Function],
    params: Mapping[str, Any],
    platforms: Sequence[str],
    say: Callable[[str], object],
) -> Manifest:
    """Writes the artifacts and the manifest."""
    signatures = {}
    for function in functions:
        start, file = time.monotonic(), function.name + SUFFIX
        data = bytes(lower(function, params, platforms).serialize())
        (folder / file).write_bytes(data)
        signatures[function.name] = Signature(file, function.inputs, function.outputs)
        spent = time.monotonic() - start
        say(f"{file:<22}{len(data) / 1000:8.0f} kB  in {spent:.1f} s  {', '.join(platforms)}")
    today = datetime.datetime.now(datetime.UTC).date()
    arrays = {name: Value(shape_text(v.shape), str(v.dtype), "") for name, v in params.items()}
    manifest = Manifest(
        format=FORMAT,
        name=about.name,
        license=about.license,
        created=today.isoformat(),
        expires=(today + LIFETIME).isoformat(),
        jax_version=jax.__version__,
        wf_jax_version=wf_jax.__version__,
        platforms=tuple(platforms),
        functions=signatures,
        params=arrays,
        metrics=_finite(dict(about.metrics)),
        example="",
        error={},
        files={},
        **described,
    )
    return write_manifest(folder, manifest)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Replaces NaN and infinity, which JSON lacks, by None."""
    finite = {}
    for name, value in values.items():
        if isinstance(value, dict):
            finite[name] = _finite(value)
        else:
            wrong = isinstance(value, float) and not math.isfinite(value)
            finite[name] = None if wrong else value
    return finite
