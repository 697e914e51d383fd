"""The functions of a release, made from models: pure functions of named arrays."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from wf_jax.amps.jax_form import Playable
from wf_jax.audio.clips import SMALLEST
from wf_jax.audio.draws import KEY_KIND, draw
from wf_jax.audio.mel import mel_of_clips, peak_gain
from wf_jax.export.artifacts import Function
from wf_jax.export.manifest import Value
from wf_jax.flows.families import new_flow
from wf_jax.flows.flow import Flow
from wf_jax.flows.synthesis import aligned
from wf_jax.modules import Params, split


def reconfigured(model: Flow, **changes: Any) -> Flow:
    """Puts the parameters into a model with other config values, such as compute_dtype="bfloat16".

    Raises:
        ValueError: a value does not fit.
    """
    config = dataclasses.replace(model.config, **changes)
    shapes = jax.eval_shape(lambda: new_flow(config, np.random.default_rng(0)))
    return split(shapes)[0](split(model)[1])


def vocoder_functions(model: Flow) -> list[Function]:
    """Makes `mel`, `synthesize` and `log_prob` of a flow.

    Arrays are as long as a whole number of columns: where a frame is none, of some frames. Where a
    model's clips have a peak of 0.999, `mel` and `log_prob` scale what they are given, and the
    likelihood is that of the audio as it was.
    """
    definition, settings = split(model)[0], model.config.mel
    hop, bands, step = settings.hop_length, settings.n_mels, aligned(1, model.config)
    audio = Value(f"b, {hop * step}*f", "float32", "audio, full scale 1")
    lengths = Value("b", "int32", "real samples of each clip; what follows them is zero")
    frames = "f" if step == 1 else f"{step}*f"
    mel = Value(f"b, {bands}, {frames}", "float32", "natural log of mel magnitudes")

    def log_mel(params: Params, audio: jax.Array, lengths: jax.Array) -> jax.Array:
        return mel_of_clips(audio * peak_gain(audio, settings), lengths, settings)

    def synthesize(
        params: Params,
        mel: jax.Array,
        keys: jax.Array,
        first: jax.Array,
        lengths: jax.Array,
        temperature: jax.Array,
    ) -> jax.Array:
        typed = jax.random.wrap_key_data(keys, impl=KEY_KIND)
        noise, seeds = draw(typed, first, mel, hop)
        return definition(params).generate(noise, seeds, mel, lengths, temperature)

    def log_prob(params: Params, audio: jax.Array, mel: jax.Array, lengths: jax.Array) -> jax.Array:
        gain = peak_gain(audio, settings)
        nats = definition(params).log_prob(audio * gain, mel, lengths)
        return nats + jnp.log(gain[:, 0])

    function = partial(Function, least_frames=-(-SMALLEST // step))
    return [
        function("mel", log_mel, {"audio": audio, "lengths": lengths}, {"mel": mel}),
        function(
            "synthesize",
            synthesize,
            {
                "mel": mel,
                "keys": Value("b, 2", "uint32", f"{KEY_KIND} key data of each clip"),
                "first": Value("b", "int32", "number in its clip of each row's first frame"),
                "lengths": lengths,
                "temperature": Value("", "float32", "1 draws from the model; less is calmer"),
            },
            {"audio": audio},
        ),
        function(
            "log_prob",
            log_prob,
            {"audio": audio, "mel": mel, "lengths": lengths},
            {"nats": Value("b", "float32", "log-likelihood in nats per real sample")},
        ),
    ]


def amp_functions(model: Playable, blocks: Sequence[int]) -> list[Function]:
    """Makes `init_state`, `render`, and `step_N` for every block size N, of an amp at one size.

    The state of a sequence is one array [S]: the model's memory, its arrays side by side.
    """
    definition, params = split(model)
    silence = jax.eval_shape(lambda params: definition(params).silence(), params)
    flat, unpack = ravel_pytree(
        jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), silence)
    )

    def init_state(params: Params) -> jax.Array:
        return ravel_pytree(definition(params).silence())[0]

    def played(
        run: Callable[..., Any], state: jax.Array, x: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        def one(state: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            state, y = run(unpack(state), x.reshape(model.input_channels, -1))
            return ravel_pytree(state)[0], y[0] if model.output_channels == 1 else y

        return jax.vmap(one)(state, x)

    def render(
        params: Params, state: jax.Array, x: jax.Array, chunks: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return played(partial(definition(params).scan, chunks=chunks), state, x)

    def step(params: Params, state: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return played(definition(params).block, state, x)

    state = Value(f"b, {flat.size}", "float32", "what each sequence remembers")
    one_state = Value(f"{flat.size}", "float32", "what a sequence remembers of endless silence")

    def signals(length: str) -> tuple[dict[str, Value], dict[str, Value]]:
        return (
            {"state": state, "x": _signal(model.input_channels, length)},
            {"state": state, "y": _signal(model.output_channels, length)},
        )

    inputs, outputs = signals(f"{model.chunk}*n")
    chunks = Value("", "int32", f"of {model.chunk} samples, that are played: 0 to n")
    return [
        Function("init_state", init_state, {}, {"state": one_state}),
        Function("render", render, {**inputs, "chunks": chunks}, outputs),
        *(Function(f"step_{block}", step, *signals(str(block))) for block in blocks),
    ]


def _signal(channels: int, length: str) -> Value:
    shape = f"b, {length}" if channels == 1 else f"b, {channels}, {length}"
    return Value(shape, "float32", "audio, full scale 1")
