"""Writes the README.md of a release, in the form of the model cards of hubs."""

import json
import math
from collections.abc import Iterator
from typing import Any

from wf_jax.errors import printable
from wf_jax.export.manifest import EXAMPLE, PARAMS, SUFFIX, Manifest

# Metrics of runs and .nam files, with units.
METRICS = {
    "log_likelihood": "log-likelihood of held-out speech, nats per sample",
    "bits": "the same, bits per 16-bit sample",
    "baselines/linear predictor, order 16": "a linear predictor's log-likelihood, nats per sample",
    "judged/pesq": "wideband PESQ",
    "judged/zimtohrli": "Zimtohrli's opinion score",
    "judged/log_spectral_distance": "log-spectral distance, dB",
    "judged/mel_cepstral_distortion": "mel-cepstral distortion, dB",
    "judged/vuv_f1_harvest": "F1 of voiced frames, by Harvest",
    "judged/f0_rmse_cents_harvest": "error of the pitch, cents, by Harvest",
    "judged/vuv_f1_yin": "F1 of voiced frames, by YIN",
    "judged/f0_rmse_cents_yin": "error of the pitch, cents, by YIN",
    "esr/nano": "ESR of nano, held-out audio",
    "esr/standard": "ESR of standard, held-out audio",
    "validation_esr": "ESR, held-out audio",
    "steps": "training steps",
}

_SPEECH = """\
import jax
from wf_jax.export import load

vocoder = load("RELEASE")
mel = vocoder.mel(audio)  # float32 [B, T] -> [B, {bands}, F]; or a text-to-speech front end's
audio = vocoder.synthesize(mel, jax.random.key(0), temperature=0.8)  # [B, F * {hop}]
nats = vocoder.log_prob(audio, mel)  # per sample, [B]
"""
_STREAM = """\
for part in vocoder.stream(mel_blocks, jax.random.key(0)):  # [{bands}, n] each, as they arrive
    play(part)  # float32 [samples]
"""
_AMP = """\
from wf_jax.export import load

amp = load("RELEASE")
y = amp.render(x)  # {given} -> {taken}, with silence before
"""
_STEP = """\
state = amp.init_state(batch=1)  # or block by block
state, y = amp.step(state, block)  # {blocks} samples at a time
"""
_RAW = """\
from pathlib import Path

import jax, numpy
from jax import export

folder = Path("RELEASE")
with numpy.load(folder / "{params}") as file:
    params = dict(file)
call = jax.jit(export.deserialize(bytearray((folder / "{file}").read_bytes())).call)
{outputs} = call(params, {inputs})
"""


def card(manifest: Manifest) -> str:
    """Returns the text, for people and for a hub's index."""
    parts = (_front_matter, _about, _use, _functions, _files)
    return "\n".join(line for part in parts for line in part(manifest)) + "\n"


def addressed(text: str, address: str) -> str:
    """Returns the text of a card whose lines load the release from an address."""
    return text.replace('load("RELEASE")', f"load({json.dumps(address)})")


def _front_matter(manifest: Manifest) -> Iterator[str]:
    family = manifest.model.split(":")[0]
    kinds = ["vocoder", "text-to-speech"] if manifest.vocoder else ["neural-amp-modeler", "guitar"]
    yield "---"
    yield "library_name: wf_jax"
    if manifest.license:
        yield f"license: {json.dumps(manifest.license)}"
    yield "pipeline_tag: audio-to-audio"
    yield "tags:"
    yield from (f"- {tag}" for tag in ("jax", "stablehlo", *kinds))
    yield f"- {json.dumps(family.lower())}"
    yield "---"


def _about(manifest: Manifest) -> Iterator[str]:
    yield f"\n# {printable(' '.join(manifest.name.split()))}\n"
    rate = manifest.vocoder.sample_rate if manifest.vocoder else manifest.amp.sample_rate
    hertz = "at a rate that its file does not say" if rate is None else f"{rate:,g} Hz"
    what = (
        f"A vocoder, mel spectrogram to speech at {hertz}"
        if manifest.vocoder
        else f"A guitar amp as a model, {hertz}"
    )
    parameters = sum(math.prod(value.sizes()) for value in manifest.params.values())
    yield f"{what}: {manifest.model}; {parameters:,} parameters.\n"
    yield f"[{EXAMPLE}]({EXAMPLE}) is {printable(manifest.example)}.\n"
    if manifest.vocoder:
        mel = manifest.vocoder.mel
        yield (
            f"Its mels are natural logs of magnitudes: {mel['n_mels']} bands from {mel['f_min']:g} "
            f"to {mel['f_max']:g} Hz (Slaney), FFT {mel['n_fft']}, hop {mel['hop_length']}, floor "
            f"{mel['floor']:g}.\n"
        )
    rows = list(_metrics(manifest.metrics))
    if rows:
        yield "| metric | |\n|---|---|"
        yield from (f"| {name} | {value} |" for name, value in rows)
        yield ""


def _use(manifest: Manifest) -> Iterator[str]:
    yield "## Use\n"
    yield "With `jax`, `numpy`, `flatbuffers` and wf_jax, whose other dependencies are not needed"
    yield "(`pip install --no-deps .` in its checkout); hf://... takes `huggingface_hub`:\n"
    yield "```python"
    facts = manifest.vocoder
    if facts:
        text = _SPEECH + (_STREAM if facts.context_frames is not None else "")
        yield text.format(bands=facts.bands, hop=facts.hop).rstrip()
    else:
        amp = manifest.amp
        given, taken = _signal(amp.input_channels), _signal(amp.output_channels)
        text = _AMP + (_STEP if amp.blocks else "")
        blocks = " or ".join(map(str, amp.blocks))
        yield text.format(given=given, taken=taken, blocks=blocks).rstrip()
    yield "```\n"
    yield "Or with JAX alone, the sizes and the check of the files left to you:\n"
    yield "```python"
    name = "synthesize" if facts else "render"
    function = manifest.functions[name]
    names = {"file": function.file, "params": PARAMS}
    names |= {"inputs": ", ".join(function.inputs), "outputs": ", ".join(function.outputs)}
    yield _RAW.format(**names).rstrip()
    yield "```\n"


def _functions(manifest: Manifest) -> Iterator[str]:
    yield "## Functions\n"
    sizes = "b clips, f mel frames" if manifest.vocoder else "b sequences, n chunks"
    yield f"Each takes the arrays of `{PARAMS}` by name, then its inputs; {sizes}."
    if manifest.vocoder:
        least = manifest.vocoder.smallest_frames // manifest.vocoder.cut_frames
        yield f"f is {least} or more: fill shorter clips up with zeros, and say so in `lengths`."
    yield "\n| function | | array | shape | type | |\n|---|---|---|---|---|---|"
    for name, function in manifest.functions.items():
        for way, values in (("in", function.inputs), ("out", function.outputs)):
            for array, value in values.items():
                shape = f"[{value.shape}]"
                yield f"| {name} | {way} | {array} | {shape} | {value.dtype} | {value.meaning} |"
    if manifest.error:
        yield "\nGreatest difference from the model when the release was made, over the scale of"
        yield "the output:\n\n| function | |\n|---|---|"
        yield from (f"| {name} | {error:.0e} |" for name, error in manifest.error.items())


def _files(manifest: Manifest) -> Iterator[str]:
    platforms = ", ".join(manifest.platforms)
    yield "\n## Files\n"
    yield f"Made on {manifest.created} by jax {manifest.jax_version} for {platforms}; products in"
    yield f"{manifest.dtype}. JAX reads the `{SUFFIX}` files until {manifest.expires}; after it"
    yield "they are rebuilt from the model, where all packages of wf_jax are installed:"
    yield "`wf-jax export --rebuild --out=RELEASE`. `manifest.json` has the"
    yield "SHA-256 of every file, which `load` checks before anything is run."


def _metrics(metrics: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Returns those metrics of a run that a user of the model cares for, with units."""
    flat = dict(_flat(metrics))
    for name, label in METRICS.items():
        if name in flat:
            yield label, f"{flat[name]:,}" if isinstance(flat[name], int) else f"{flat[name]:.4g}"


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + name, value


def _signal(channels: int) -> str:
    return "[B, T]" if channels == 1 else f"[B, {channels}, T]"
