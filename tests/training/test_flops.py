"""FLOP counts against XLA's own without loops, against formulas, and of both models."""

import itertools
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, Mesh, PartitionSpec

from tests.flows import small
from wf_jax.amps import a2
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask
from wf_jax.flows.vocoder_task import VocoderTask, mel_context
from wf_jax.modules import split
from wf_jax.training import flops
from wf_jax.training.flops import jaxpr_flops, matrix_rate, program_flops

SPLIT, WHOLE = PartitionSpec("data"), PartitionSpec()


def floats(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def integers(*shape):
    return floats(*shape, dtype=jnp.int32)


def xla_flops(function, *args):
    cost = jax.jit(function).lower(*args).compile().cost_analysis()
    return cost.get("flops", 0.0) + cost.get("transcendentals", 0.0)


def convolution(**options):
    values = {"window_strides": (1, 1), "padding": "VALID", **options}
    return lambda x, kernel: lax.conv_general_dilated(x, kernel, **values)


def strided_gradient(x, kernel):
    """Returns gradients of both arguments: convolutions with holes in the input or the kernel."""
    y, transpose = jax.vjp(convolution(window_strides=(2, 3), padding="SAME"), x, kernel)
    return transpose(jnp.ones_like(y))


# One operation

A, STACK = floats(24, 24), floats(5, 24, 24)
HALF = floats(24, 24, dtype=jnp.bfloat16)
IMAGES, KERNEL = floats(4, 8, 13, 11), floats(16, 8, 3, 2)
PRODUCTS = {
    "matrices": (jnp.matmul, A, A),
    "vector": (jnp.matmul, A, floats(24)),
    "stacks": (jnp.matmul, STACK, STACK),
    "two axes": (lambda a, b: jnp.tensordot(a, b, ((1, 2), (2, 1))), STACK, STACK),
    "valid": (convolution(), IMAGES, KERNEL),
    "same": (convolution(padding="SAME"), IMAGES, KERNEL),
    "strides": (convolution(window_strides=(3, 2), padding=((2, 1), (0, 3))), IMAGES, KERNEL),
    "cropped": (convolution(padding=((-2, 1), (0, -3))), IMAGES, KERNEL),
    "dilated": (convolution(rhs_dilation=(2, 3), padding="SAME"), IMAGES, KERNEL),
    "transposed": (convolution(lhs_dilation=(2, 3), padding=((1, 2), (0, 1))), IMAGES, KERNEL),
    "feature groups": (convolution(feature_group_count=4), IMAGES, floats(16, 2, 3, 2)),
    "batch groups": (convolution(batch_group_count=2), IMAGES, KERNEL),
    "channels last": (
        convolution(dimension_numbers=("NHWC", "HWIO", "NHWC")),
        floats(4, 13, 11, 8),
        floats(3, 2, 8, 16),
    ),
    "gradient": (strided_gradient, IMAGES, KERNEL),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_and_convolutions_as_xla_counts_them(name):
    function, *args = PRODUCTS[name]
    assert program_flops(function, *args) == xla_flops(function, *args) > 0


def test_a_product_of_half_precision_counts_the_same():
    assert program_flops(jnp.matmul, HALF, HALF) == 2 * 24**3


ARITHMETIC = {
    "exp": (jnp.exp, 576),
    "leaky relu": (lambda a: jnp.where(a > 0, a, 0.1 * a), 3 * 576),
    "gate": (lambda a: jnp.tanh(a) * jnp.sin(a), 3 * 576),
    "mean of squares": (lambda a: jnp.mean(jnp.square(a)), 2 * 576 + 1),
    "softmax": (jax.nn.softmax, 5 * 576),
    "scatter": (lambda a: a.at[jnp.array([3, 1])].add(1.0), 48),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_by_the_element_roughly_as_xla(name):
    function, expected = ARITHMETIC[name]
    found = program_flops(function, A)
    assert found == pytest.approx(expected, rel=0.05)  # softmax: a few per row come on top
    assert found == pytest.approx(xla_flops(function, A), rel=0.1)


def test_fourier_transforms_by_the_formula():
    """Uses FFTW's benchmark formula: 5 N log2 N, half of it where one side is real."""
    whole, half = floats(7, 1024, dtype=jnp.complex64), floats(7, 513, dtype=jnp.complex64)
    assert program_flops(jnp.fft.fft, whole) == 7 * 5 * 1024 * 10
    assert program_flops(jnp.fft.rfft, floats(7, 1024)) == 7 * 2.5 * 1024 * 10
    assert program_flops(jnp.fft.irfft, half) == 7 * 2.5 * 1024 * 10
    assert program_flops(jnp.fft.fft2, floats(8, 16, dtype=jnp.complex64)) == 5 * 128 * 7


def test_moves_integers_and_what_is_not_needed_are_free():
    def moves(a, i):
        a = jnp.concatenate([a.T[::-1], jnp.pad(a, 1)[2:, 2:], jnp.tile(a, 2)[:, :24]])
        a = lax.dynamic_slice(a, (i * 3, i), (4, 4)).astype(jnp.bfloat16)
        _ = jnp.exp(a) @ a
        return jnp.stack([a, a])[0].reshape(-1)[i], jnp.sum(jnp.arange(7) * i)

    assert program_flops(moves, A, integers()) == 0


# Programs of many


def squared(a):
    return jnp.exp(a @ a)


SQUARED = 2 * 24**3 + 24**2


def thrice(a):
    return lax.scan(lambda c, _: (squared(c), None), a, length=3)[0]


def nested(a):
    return lax.fori_loop(0, 5, lambda _, c: thrice(c), a)


LOOPS = {
    "scan": (thrice, A, 3),
    "unrolled": (lambda a: lax.scan(lambda c, _: (squared(c), 0), a, None, 8, unroll=3)[0], A, 8),
    "map": (lambda a: lax.map(squared, a), STACK, 5),
    "map by twos": (lambda a: lax.map(squared, a, batch_size=2), STACK, 5),
    "loop": (lambda a: lax.fori_loop(2, 8, lambda _, c: squared(c), a), A, 6),
    "nested": (nested, A, 15),
    "jit": (jax.jit(lambda a: jax.jit(squared)(squared(a))), A, 2),
    "checkpoint": (jax.checkpoint(squared), A, 1),
    "vmap": (jax.vmap(squared), STACK, 5),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops_and_calls(name):
    function, a, times = LOOPS[name]
    assert program_flops(function, a) == times * SQUARED


def test_a_loop_of_unknown_length_is_told():
    def function(a, n):
        return lax.fori_loop(0, n, lambda _, c: squared(c), a)

    args = A, integers()
    assert program_flops(function, *args) == SQUARED
    assert program_flops(function, *args, unknown_trips=9) == 9 * SQUARED


def test_the_dearest_branch_counts():
    def function(a, i):
        return lax.switch(i, [jnp.exp, squared, lambda a: a], a)

    assert program_flops(function, A, integers()) == SQUARED


@jax.custom_vjp
def product(a):
    return a @ a


product.defvjp(lambda a: (a @ a, a), lambda a, d: (d @ a @ a @ a,))


def test_derivatives_written_by_hand():
    assert program_flops(product, A) == 2 * 24**3
    assert program_flops(jax.nn.relu, A) == 24**2
    pullback = program_flops(lambda a: jax.vjp(product, a)[1](a), A)
    assert pullback == 3 * 2 * 24**3  # the product itself is not needed


def test_what_is_computed_again_counts_again():
    def gradient(function):
        return jax.value_and_grad(lambda a: jnp.sum(function(a)))

    kept = program_flops(gradient(lambda a: squared(squared(a))), A)
    again = program_flops(gradient(jax.checkpoint(lambda a: squared(squared(a)))), A)
    assert kept == pytest.approx(6 * SQUARED, rel=0.02)
    assert again == pytest.approx(8 * SQUARED, rel=0.02)


def test_all_devices_together():
    """XLA reports the share of one device of two."""
    mesh = jax.make_mesh((2,), ("data",), (AxisType.Auto,))
    function = jax.shard_map(jnp.matmul, mesh=mesh, in_specs=(SPLIT, WHOLE), out_specs=SPLIT)
    assert program_flops(function, A, A) == 2 * 24**3 == 2 * xla_flops(function, A, A)
    replicated = jax.shard_map(jnp.matmul, mesh=mesh, in_specs=WHOLE, out_specs=WHOLE)
    assert program_flops(replicated, A, A) == 4 * 24**3


def test_axes_that_are_left_to_the_compiler_do_not_multiply():
    mesh = Mesh(np.array(jax.devices()[:2]).reshape(1, 2), ("data", "other"))
    function = jax.shard_map(
        jnp.matmul, mesh=mesh, in_specs=(SPLIT, WHOLE), out_specs=SPLIT, axis_names={"data"}
    )
    assert program_flops(jax.jit(function), A, A) == 2 * 24**3


def test_a_trace_counts_as_its_function():
    traced = jax.jit(nested).trace(A)
    assert jaxpr_flops(traced.jaxpr.jaxpr) == program_flops(jax.jit(nested), A) == 15 * SQUARED


# The models


def of_loss(task, batch, axis=None):
    """Returns (params, batch) -> loss, and shapes to count it with."""
    definition, params = split(jax.eval_shape(task.init))
    return lambda params, batch: task.loss(definition(params), batch, axis)[0], params, batch


def vocoder(config, batch_size, window, **options):
    before, after = mel_context(config.mel, window)
    task = VocoderTask(
        config,
        None,
        [],
        window=window,
        batch_size=batch_size,
        steps_per_epoch=1,
        evaluate_every=1,
        **options,
    )
    return task, {
        "audio": floats(batch_size, before + window + after),
        "length": integers(batch_size),
        "gain": floats(batch_size),
        "noise_seed": floats(batch_size, dtype=jnp.uint32),
    }


@pytest.mark.slow
@pytest.mark.parametrize("one_by_one", [False, True])
def test_waveflow(one_by_one):
    """Windows and flows are loops, the backward pass runs each flow again: 4 times forward."""
    config = small.config(channels=16, layers=4, flows=3)
    task, batch = vocoder(config, 2, 256)
    task.one_by_one = one_by_one
    loss, params, batch = of_loss(task, batch)
    forward = program_flops(loss, params, batch)
    c, m, layers = config.channels, config.mel.n_mels, config.layers
    macs = layers * (9 * c * 2 * c + m * 2 * c + c * 2 * c) - c * c + 2 * c
    rows = (config.height - 1) * 256 // config.height
    assert 1 < forward / (2 * 2 * config.flows * macs * rows) < 1.1
    gradient = program_flops(jax.value_and_grad(loss), params, batch)
    assert 3.9 < gradient / forward < 4.05
    loops = config.flows * (2 if one_by_one else 1)
    told = jax.jit(jax.value_and_grad(loss)).lower(params, batch).cost_analysis()
    assert gradient == pytest.approx(loops * told["flops"], rel=0.03)


def test_two_devices_do_the_work_of_one():
    config = small.config(channels=16)
    task, batch = vocoder(config, 2, 256)
    loss, params, batch = of_loss(task, batch)
    shared, _, _ = of_loss(task, batch, "data")
    split_up = jax.shard_map(
        jax.value_and_grad(shared),
        mesh=jax.make_mesh((2,), ("data",), (AxisType.Auto,)),
        in_specs=(WHOLE, SPLIT),
        out_specs=WHOLE,
        check_vma=False,
    )
    together = program_flops(split_up, params, batch)
    alone = program_flops(jax.value_and_grad(loss), params, batch)
    assert 1 < together / alone < 1.03  # weights are normalized on each


@pytest.mark.slow
def test_capture():
    """Windows are a loop, and the backward pass runs the network again, but not the STFTs."""
    window, samples = 1024, 6346 + 2 * 1024
    audio = CaptureAudio(*[np.zeros((1, samples), np.float32)] * 4)
    shapes = {"input": floats(1, samples), "output": floats(1, samples), "windows": integers(1, 2)}
    options = {"sizes": ("nano",), "batch_size": 2, "window": window}
    engines = {"sequences_at_once": 1, "engine": "jax"}, {"sequences_at_once": 2, "engine": "jax"}
    tasks = [CaptureTask(audio, **options, **each) for each in (*engines, {"engine": "native"})]
    (loss, *args), (without_loop, *_), (native, *_) = (of_loss(task, shapes) for task in tasks)
    forward = program_flops(loss, *args)
    length, expected, c = tasks[0].lookback + window, 0, a2.CHANNELS["nano"]
    for taps, dilation in zip(a2.KERNEL_SIZES, a2.DILATIONS, strict=True):
        expected += length * taps * c * (2 * c + 1)  # all taps over all columns, and their sum
        length -= (taps - 1) * dilation
        expected += length * 2 * c * (c + 1)
    assert 1 < forward / (2 * expected) < 1.3
    gradient = program_flops(jax.value_and_grad(loss), *args)
    assert 3.3 < gradient / forward < 4
    told = jax.jit(jax.value_and_grad(without_loop)).lower(*args).cost_analysis()
    # XLA counts more for a real FFT.
    assert gradient == pytest.approx(told["flops"] + told["transcendentals"], rel=0.06)
    # Machine code says what it computes: the same but for sums and activations.
    assert 0.7 < program_flops(native, *args) / forward < 1
    assert 0.7 < program_flops(jax.value_and_grad(native), *args) / gradient < 1.1


# The rate


def test_the_rate_is_what_a_product_timed_by_hand_gives():
    """Both devices together, within the noise of a machine that others use, too."""
    a, seconds = jnp.full((768, 768), 1e-3), []
    for _ in range(6):
        start = time.perf_counter()
        jax.block_until_ready(a @ a)
        seconds.append(time.perf_counter() - start)
    assert 0.05 < 2 * matrix_rate() / (2 * 768**3 / min(seconds)) < 5


@pytest.mark.parametrize(
    ("seconds", "size"),
    [([0.02], 256), ([0.001, 0.02], 896), ([1e-6, 0.02], 1024), ([0.014, 0.016], 384)],
)
def test_the_product_grows_until_it_takes_long_enough(monkeypatch, seconds, size):
    """Grows until 0.015 s; of six calls per size one compiles and one is delayed."""
    steps = [s for s in seconds for s in (9.9, s, s, s, 7.7, s)]
    clock = itertools.accumulate(steps)
    monkeypatch.setattr(flops, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert matrix_rate() == pytest.approx(2 * size**3 / seconds[-1])


def test_the_precision_and_type_are_those_of_the_product():
    with pytest.raises(ValueError, match="half"):
        matrix_rate(precision="half")
    with pytest.raises(TypeError):
        matrix_rate("no type")
