"""The vector activations over their whole range, in units in the last place of float32."""

import ctypes

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from wf_jax.amps.activations import ACTIVATION_NAMES, Activation
from wf_jax.amps.native.activations import activate
from wf_jax.native.emit import Emitter
from wf_jax.native.machine_code import host, load, machine_of
from wf_jax.native.memory import address, empty


def compiled(activation):
    """The activation as a function of an array."""
    target = host()
    module = ir.Module("activation")
    module.triple = target.triple
    emit = Emitter(module, target, "apply", ("x*", "y*", "count"))
    a = emit.arguments

    def vector(index, _):
        z = emit.load(a["x"], index)
        emit.store(activate(emit, activation, z, emit.constant(0.1)), a["y"], index)
        return []

    emit.loop(a["count"], target.lanes, [], vector)
    emit.builder.ret_void()
    machine = machine_of(target)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    engine = load(machine.emit_object(parsed), machine)
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    function = kind(engine.get_function_address("apply"))

    def apply(x):
        padded, y = empty(-(-len(x) // 16) * 16), empty(-(-len(x) // 16) * 16)
        padded[: len(x)] = x
        function(address(padded), address(y), len(padded))
        return y[: len(x)], engine

    return lambda x: apply(x)[0]


def numbers():
    rng = np.random.default_rng(0)
    some = [rng.uniform(-12, 12, 400_000), rng.uniform(-1, 1, 400_000)]
    some += [sign * 10 ** rng.uniform(-30, 2, 300_000) for sign in (1, -1)]
    return np.concatenate(some).astype(np.float32)


def errors(y, exact):
    """In units in the last place of the exact values, down to the smallest normal number."""
    unit = np.spacing(np.maximum(np.abs(exact), 1.2e-38).astype(np.float32)).astype(np.float64)
    return np.abs(y.astype(np.float64) - exact) / unit


def test_tanh():
    x = numbers()
    error = errors(compiled(Activation("Tanh"))(x), np.tanh(x.astype(np.float64)))
    assert error.max() < 2.0
    special = np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 20.0, -20.0])
    y = compiled(Activation("Tanh"))(special)
    np.testing.assert_array_equal(y, np.float32([0, 0, 1, -1, np.nan, 1e-45, 1, -1]))
    assert np.signbit(y[1])


@pytest.mark.parametrize("name", ["Sigmoid", "SiLU"])
def test_sigmoid(name):
    x = numbers()
    wide = x.astype(np.float64)
    exact = 1 / (1 + np.exp(-wide))
    exact = exact * wide if name == "SiLU" else exact
    kept = np.abs(x) < 80  # beyond it the result is 0, or too small for full precision
    error = errors(compiled(Activation(name))(x), exact)[kept]
    assert error.max() < (2.6 if name == "SiLU" else 2.1)
    special = np.float32([0.0, 200.0, -200.0, np.nan])
    limits = {"Sigmoid": [0.5, 1, 0, np.nan], "SiLU": [0, 200, 0, np.nan]}[name]
    np.testing.assert_allclose(compiled(Activation(name))(special), limits, atol=1e-35)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_all_are_what_jax_makes_of_them(name):
    activation = Activation(name, negative_slope=0.1)
    x = np.float32([-50, -8, -3.5, -1, -0.3, -1e-3, 0, 1e-3, 0.3, 1, 2.9, 3.1, 50, np.nan])
    y = compiled(activation)(x)
    np.testing.assert_allclose(y, np.asarray(activation(x[None]))[0], rtol=2e-6, atol=1e-6)
