"""Releases: how long they take to load and call, and what a stream's context costs and gives.

Medians of rounds. The first call of a function compiles it for its sizes; the second does not.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import numpy as np
import soxr

from data_pipeline.audio_files import read_mono
from data_pipeline.synthetic_pair import plucked_di
from data_pipeline.synthetic_speech import synthetic_speech
from experiments.benchmarks.cases import Options
from experiments.benchmarks.timing import seconds_of
from wf_jax.amps import load_nam
from wf_jax.amps.player import Player
from wf_jax.errors import UserError
from wf_jax.export import Amp, Vocoder, load
from wf_jax.export.manifest import CONFIG, NAM
from wf_jax.export.rebuild import model_of
from wf_jax.flows.flow import Flow

CONTEXTS = (0, 1, 2, 4, 8, 16, 32, 64)  # frames, beside the model's own


def run(options: Options) -> None:
    """Measures what the flags ask for, and prints a table."""
    start = time.perf_counter()
    release = load(options.model)
    loading = time.perf_counter() - start
    print(f"{release.manifest.model}; {jax.devices()[0].device_kind}, jax {jax.__version__}")
    if options.case == "release":
        _calls(release, loading, options)
    elif isinstance(release, Amp) or release.manifest.vocoder.context_frames is None:
        raise UserError(
            f"{options.model}: cannot be streamed; name the release of a WaveFlow or WaveGlow"
        )
    else:
        _streams(release, options)


def _calls(release: Vocoder | Amp, loading: float, options: Options) -> None:
    """Load, first and second call of every function, and the model's own second call beside it."""
    sizes = {name: entry.bytes for name, entry in release.manifest.files.items()}
    print(f"loaded and checked in {1000 * loading:.0f} ms; {options.seconds:g} s of audio")
    print(f"{'function':<14}{'kB':>7}{'first call':>12}{'second':>12}{'the model':>12}{'ratio':>7}")
    for name, ours, theirs in _pairs(release, options.model, options.seconds):
        first = seconds_of(ours)
        seconds_of(theirs)
        rounds = options.rounds * (100 if seconds_of(ours) < 0.01 else 1)
        pairs = [(seconds_of(ours), seconds_of(theirs)) for _ in range(rounds)]
        second, direct = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        size = sizes[release.manifest.functions[name].file] / 1000
        print(f"{name:<14}{size:7.0f}{_time(first)}{_time(second)}{_time(direct)}{ratio:7.2f}")


def _pairs(
    release: Vocoder | Amp, folder: str, seconds: float
) -> Iterator[tuple[str, Callable[[], object], Callable[[], object]]]:
    """Name, the release's function and the model's own, on the same input.

    Of an amp: its general pass, and a `Player`.
    """
    model = model_of(Path(folder), release.manifest)
    if isinstance(release, Vocoder):
        yield from _vocoder_pairs(release, model, seconds)
        return
    facts = release.manifest.amp
    x = _channels(plucked_di(seconds), facts.input_channels)
    general = load_nam(Path(folder, NAM)).at_size(facts.size)
    yield "render", lambda: release.render(x), lambda: np.asarray(general(x))
    for size in facts.blocks:
        block, player, held = x[..., :size], Player(model, size, "jax"), [release.init_state(1)]

        def ours(block: np.ndarray = block, held: list = held) -> None:
            held[0], _ = release.step(held[0], block)

        yield f"step_{size}", ours, partial(player, block[0])


def _vocoder_pairs(release: Vocoder, model: Flow, seconds: float) -> Iterator[tuple]:
    frames = round(seconds * release.sample_rate / release.hop)
    audio = np.float32(synthetic_speech(seconds + 1, release.sample_rate))
    audio = audio[None, : frames * release.hop]
    mel, key = release.mel(audio), jax.random.key(0)
    sample = jax.jit(lambda model, mel: model.sample(key, mel))
    log_prob = jax.jit(lambda model, audio, mel: model.log_prob(audio, mel))
    yield (
        "synthesize",
        lambda: release.synthesize(mel, key),
        lambda: np.asarray(sample(model, mel)),
    )
    yield (
        "log_prob",
        lambda: release.log_prob(audio, mel),
        lambda: np.asarray(log_prob(model, audio, mel)),
    )


def _streams(release: Vocoder, options: Options) -> None:
    """Context against error, latency and speed; chunks of one length."""
    rate, hop, chunk = release.sample_rate, release.hop, options.block
    content = json.loads((Path(options.model) / CONFIG).read_text())["model"]
    group = content.get("height") or content.get("groups")
    audio = _speech(options, rate)
    mel, key = release.mel(audio[None]), jax.random.key(0)
    whole = release.synthesize(mel, key)[0]
    scale = np.sqrt(np.mean(np.square(whole)))
    own = release.manifest.vocoder.context_frames
    length = 1000 * chunk * hop / rate
    print(f"{len(audio) / rate:.1f} s in chunks of {chunk} frames, {length:.0f} ms; ", end="")
    print(f"the model's own context is {own} frames")
    print(
        f"{'frames':>7}{'columns':>9}{'error, dB':>11}{'latency, ms':>13}{'per chunk, ms':>15}"
        f"{'x real time':>13}"
    )
    for context in sorted({*CONTEXTS, own}):
        list(release.stream([mel[0, :, :1]], key, chunk=chunk, context=context))  # compiles
        start, times, parts = time.perf_counter(), [], []
        for part in release.stream([mel[0]], key, chunk=chunk, context=context):
            parts.append(part)
            times.append(time.perf_counter() - start)
            start = time.perf_counter()
        error = np.sqrt(np.mean(np.square(np.concatenate(parts) - whole))) / scale
        spent = statistics.median(times)
        # Until the last frame that a chunk needs is there, and its audio made.
        latency = 1000 * (chunk + context) * hop / rate + 1000 * spent
        print(
            f"{context:7}{context * hop // group:9}{20 * np.log10(max(error, 1e-12)):11.0f}"
            f"{latency:13.0f}{1000 * spent:15.0f}{chunk * hop / rate / spent:13.1f}"
        )


def _speech(options: Options, rate: int) -> np.ndarray:
    if not options.input:
        return np.float32(synthetic_speech(options.seconds, rate))
    audio = read_mono(options.input)
    return soxr.resample(audio.samples, audio.sample_rate, rate, quality="VHQ").astype(np.float32)


def _channels(x: np.ndarray, count: int) -> np.ndarray:
    """[T] as a batch of one: [1, T], or [1, count, T]."""
    x = x.astype(np.float32)[None]
    return x if count == 1 else np.repeat(x[:, None], count, axis=1)


def _time(seconds: float) -> str:
    if seconds < 0.01:
        return f"{1e6 * seconds:9.0f} us"
    return f"{seconds:10.2f} s" if seconds >= 1 else f"{1000 * seconds:9.0f} ms"
