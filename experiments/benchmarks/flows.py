"""Speed of the flows, beside a large matrix product of the same run.

FLOP are those of the direct form (two per multiply-add of every product, nothing else counted), so
a share of the matrix product's rate says how well the arithmetic is used, and a formulation that
needs fewer operations may exceed what it would give. Medians of rounds in turn.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.cases import Options
from experiments.benchmarks.machine import matrix_rate
from experiments.benchmarks.noise_windows import noise_task
from experiments.benchmarks.timing import seconds_of
from wf_jax.flows.decoding import halves
from wf_jax.flows.flow import Flow
from wf_jax.flows.native.decoder import Decoder
from wf_jax.flows.native.shapes import why_not
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.native.engines import JAX, NATIVE
from wf_jax.training.devices import use_every_core
from wf_jax.training.dispatch import Dispatcher
from wf_jax.training.settings import Settings

MATRIX = 4096


def forward_flop(config: WaveFlowConfig) -> float:
    """FLOP per audio sample of one pass through all nets, skip path folded into the output."""
    c, m, layers = config.channels, config.mel.n_mels, config.layers
    macs = layers * (2 * (config.kernel * c) ** 2 + 2 * m * c + c * c + 2 * c) - c * c + c
    return 2.0 * config.flows * macs * (config.height - 1) / config.height


def random_model(config: WaveFlowConfig) -> WaveFlow:
    """A model whose flows do something: small weights at the end of each net."""
    rng = np.random.default_rng(0)
    model = WaveFlow(config, rng)
    model.flows.end.kernel[...] = 0.01 * rng.standard_normal(model.flows.end.kernel.shape)
    return jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), model)


Calls = dict[str, Callable[[], object]]


def synthesis(config: WaveFlowConfig, options: Options) -> tuple[Calls, float, float]:
    """Synthesis of the clips by each engine: to call, seconds of audio, FLOP."""
    hop, rng = config.mel.hop_length, np.random.default_rng(1)
    frames = round(options.seconds * config.mel.sample_rate / hop)
    z = jnp.asarray(rng.standard_normal((options.clips, frames * hop)), jnp.float32)
    mel = jnp.asarray(rng.standard_normal((options.clips, config.mel.n_mels, frames)), jnp.float32)
    model = random_model(config)
    inverse = jax.jit(lambda model, z, mel: model.inverse(z, mel))
    calls: Calls = {JAX: lambda: inverse(model, z, mel)}
    if not why_not(model):
        calls[NATIVE] = partial(_native_synthesis(), model, z, mel)
    return calls, z.size / config.mel.sample_rate, z.size * forward_flop(config)


def _native_synthesis() -> Callable[[WaveFlow, jax.Array, jax.Array], jax.Array]:
    """Latent to audio by compiled code, which the first call prepares."""
    before, after = halves(lambda model, z, mel: model.inverse(z, mel))
    decoders: list[Decoder] = []

    def synthesize(model: WaveFlow, z: jax.Array, mel: jax.Array) -> jax.Array:
        if not decoders:
            decoders.append(Decoder(model))
        x = decoders[0].decode(*jax.device_get(before(model, z, mel)))
        return after(x, model, z, mel)

    return synthesize


def training(config: WaveFlowConfig, options: Options) -> tuple[Calls, float, float]:
    """One training step of 8 windows of 16,000 samples: to call, seconds of audio, FLOP."""
    window, batch_size = 16000, 8
    task = noise_task(config, window, batch_size)
    dispatcher = Dispatcher(task, Settings(weight_decay=0.0), lambda step: 1)
    state, step = dispatcher.create(dispatcher.params), 0

    def take() -> object:
        nonlocal state, step
        state, sent = dispatcher.send(state, step, [2e-4])
        step += 1
        return sent

    samples, calls = batch_size * window, {JAX: take}
    # Forward and backward, without what rematerialization computes again.
    return calls, samples / config.mel.sample_rate, 3 * samples * forward_flop(config)


def round_trip_error(model: Flow) -> float:
    """RMS of x -> z -> x against x, relative; half a second of noise."""
    mel = jax.random.normal(jax.random.key(1), (1, model.config.mel.n_mels, 43))
    x = 0.1 * jax.random.normal(jax.random.key(2), (1, 43 * model.config.mel.hop_length))

    @jax.jit
    def error(model: Flow) -> jax.Array:
        z, _ = model.forward(x, mel)
        return jnp.sqrt(jnp.mean(jnp.square(model.inverse(z, mel) - x)) / jnp.mean(jnp.square(x)))

    return float(error(model))


def run(options: Options) -> None:
    """Measures what the flags ask for, and prints one line per precision."""
    if options.case == "waveflow_training":
        use_every_core(8)
    product = matrix_rate(MATRIX, products=1)
    product()
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}")
    for precision in options.precision:
        config = WaveFlowConfig(
            channels=options.channels,
            height=options.height,
            compute_dtype="bfloat16" if precision == "bfloat16" else "float32",
            matmul_precision="default" if precision == "bfloat16" else precision,
        )
        build = synthesis if options.case == "waveflow_synthesis" else training
        calls, audio_seconds, flop = build(config, options)
        compiling = {engine: seconds_of(call) for engine, call in calls.items()}
        rounds, work = [], {engine: [] for engine in calls}
        for _ in range(options.rounds):
            seconds = {}
            for engine, call in calls.items():
                start = time.process_time()
                seconds[engine] = seconds_of(call)
                work[engine].append(time.process_time() - start)
            rounds.append((seconds, product()))
        rate = statistics.median(most for _, most in rounds)
        for engine in calls:
            ours = statistics.median(seconds[engine] for seconds, _ in rounds)
            share = statistics.median(flop / seconds[engine] / most for seconds, most in rounds)
            print(
                f"{precision:9} {engine:6} {audio_seconds:.1f} s of audio in {ours:.3f} s: "
                f"{audio_seconds / ours:.2f} x real time, {flop / ours / 1e9:.0f} GFLOP/s, "
                f"{share:.0%} of a {MATRIX} matrix product ({rate / 1e9:.0f}); "
                f"first call {compiling[engine]:.1f} s"
            )
        if NATIVE in calls:
            ratio = statistics.median(seconds[JAX] / seconds[NATIVE] for seconds, _ in rounds)
            spent = {engine: statistics.median(work[engine]) for engine in calls}
            print(
                f"{'':9} native {ratio:.2f} times as fast as JAX, round by round, of whose "
                f"CPU seconds it takes {spent[NATIVE] / spent[JAX]:.2f}"
            )
        if options.case == "waveflow_synthesis":
            error = round_trip_error(random_model(config))
            print(f"{'':9} round trip x -> z -> x: {error:.1e} of the RMS")
