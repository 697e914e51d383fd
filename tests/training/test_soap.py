"""SOAP against a slow float64 form written from the paper, and where its answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wf_jax.training.matrices import Axes
from wf_jax.training.optimizers import make_optimizer
from wf_jax.training.soap import DAMPING, FIRST, orthonormal, scale_by_soap

# As matrices 6 x 6, but for the vector b and d, whose side of 7 is above the limit of these tests.
SHAPES = {"a": (2, 6, 3, 2), "b": (2, 4), "c": (2, 6, 6), "d": (2, 3, 7)}
LIMIT = 6


def axes_of(name, shape):
    return Axes((0,), (1,), tuple(range(2, len(shape))))


def gradients(rng, dtype, scale=1.0):
    # Unequal strength along rows and columns gives the bases an order to find.
    def one(shape):
        value = rng.standard_normal(shape)
        for axis in range(1, len(shape)):
            steps = np.arange(shape[axis]).reshape(-1, *[1] * (len(shape) - axis - 1))
            value = value * 3.0**-steps
        return scale * value.astype(dtype)

    return {name: one(shape) for name, shape in SHAPES.items()}


def slow_direction(history, every=5, decay=0.95, epsilon=1e-8):
    """Returns the direction after gradients [m, n], by algorithm 3 with damped factors."""
    first = np.float64(history[0])
    m, n = first.shape
    left, right = first @ first.T, first.T @ first

    def step(factor, q):
        if len(factor) > LIMIT:
            return q, np.arange(len(factor))
        factor = factor + DAMPING * np.trace(factor) * np.eye(len(factor))
        order = np.argsort(-np.diag(q.T @ factor @ q), kind="stable")
        return np.linalg.qr(factor @ q[:, order])[0], order

    def first(factor):
        q = np.eye(len(factor))
        for _ in range(FIRST):
            q, _ = step(factor, q)
        return q

    q_left, q_right = first(left), first(right)
    mean, square = np.zeros((m, n)), np.zeros((m, n))
    for t, g in enumerate(history):
        g = np.float64(g)
        if t and t % every == 0:
            q_left, rows = step(left, q_left)
            q_right, columns = step(right, q_right)
            square = square[rows][:, columns]
        if t == 0:  # gives bases alone
            direction = np.zeros((m, n))
            continue
        rotated = q_left.T @ g @ q_right
        mean = decay * mean + (1 - decay) * g
        square = decay * square + (1 - decay) * rotated**2
        correction = 1 - decay**t
        moment = (q_left.T @ mean @ q_right) / correction
        direction = q_left @ (moment / (np.sqrt(square / correction) + epsilon)) @ q_right.T
        left = decay * left + (1 - decay) * g @ g.T
        right = decay * right + (1 - decay) * g.T @ g
    return direction


def directions(history, dtype, optimizer=None):
    optimizer = optimizer or scale_by_soap(axes_of, largest=LIMIT)
    state = optimizer.init({k: jnp.zeros(v, dtype) for k, v in SHAPES.items()})
    update = jax.jit(optimizer.update)
    for g in history:
        found, state = update({k: jnp.asarray(v) for k, v in g.items()}, state)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 4, 6, 17])
def test_equals_the_paper_in_float64(rng, steps):
    with jax.enable_x64(True):
        history = [gradients(rng, np.float64) for _ in range(steps)]
        found = directions(history, jnp.float64)
    for name in ("a", "c", "d"):
        for copy in range(2):
            matrices = [g[name][copy].reshape(SHAPES[name][1], -1) for g in history]
            expected = slow_direction(matrices).reshape(SHAPES[name][1:])
            np.testing.assert_allclose(found[name][copy], expected, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("size", [1, 2, 7, 48])
def test_orthonormal_is_q_of_qr(rng, size):
    a = rng.standard_normal((3, size, size))
    with jax.enable_x64(True):
        q = np.asarray(orthonormal(jnp.asarray(a)))
        expected, _ = np.linalg.qr(a)
    np.testing.assert_allclose(q.mT @ q, np.broadcast_to(np.eye(size), a.shape), atol=1e-12)
    signs = np.sign(np.sum(q * expected, axis=-2, keepdims=True))
    np.testing.assert_allclose(q, signs * expected, atol=1e-9)


def test_orthonormal_bears_what_has_no_inverse(rng):
    a = np.float32(rng.standard_normal((8, 3)) @ rng.standard_normal((3, 8)))
    a[:, 5] = 0
    for matrix in (a, np.zeros_like(a), a * 10.0 ** -np.arange(8, dtype=np.float32)):
        q = orthonormal(jnp.asarray(matrix))
        np.testing.assert_allclose(q.T @ q, np.eye(8), atol=2e-6)


def test_the_first_bases_are_nearly_eigenvectors(rng):
    g = rng.standard_normal((6, 6)) * 2.0 ** -np.arange(6)
    state = scale_by_soap(axes_of).init({"c": jnp.zeros((1, 6, 6))})
    gradient = {"c": jnp.asarray(g[None], jnp.float32)}
    group = scale_by_soap(axes_of).update(gradient, state)[1].groups["1/6x6"]
    for side, factor in ((group.left, g @ g.T), (group.right, g.T @ g)):
        values = side.basis[0, 0].T @ factor @ side.basis[0, 0]
        np.testing.assert_allclose(np.diag(values), np.linalg.eigvalsh(factor)[::-1], rtol=0.02)


@pytest.mark.slow
def test_float32_is_near_float64(rng):
    history = [gradients(rng, np.float32) for _ in range(12)]
    single = directions(history, jnp.float32)
    with jax.enable_x64(True):
        double = directions([{k: np.float64(v) for k, v in g.items()} for g in history], "float64")
    for name, value in single.items():
        np.testing.assert_allclose(value, double[name], atol=2e-3, err_msg=name)


def adam_after_the_first(history):
    return directions(history[1:], jnp.float32, optax.scale_by_adam(b1=0.95, b2=0.95))


@pytest.mark.slow
def test_vectors_take_adam_with_the_same_decays(rng):
    history = [gradients(rng, np.float32) for _ in range(7)]
    adam = adam_after_the_first(history)
    np.testing.assert_allclose(directions(history, jnp.float32)["b"], adam["b"], rtol=1e-5)


def test_sides_above_the_limit_stay_diagonal(rng):
    history = [gradients(rng, np.float32) for _ in range(7)]
    adam = adam_after_the_first(history)
    found = directions(history, jnp.float32, scale_by_soap(axes_of, largest=1))
    for name in SHAPES:
        np.testing.assert_allclose(found[name], adam[name], rtol=2e-5, atol=1e-6)


def test_a_rotated_problem_takes_rotated_steps(rng):
    """With W -> U W V both factors and the direction turn; Adam's does not."""
    u, v = (np.linalg.qr(rng.standard_normal((6, 6)))[0] for _ in range(2))
    strong = np.diag(
        2.0 ** -np.arange(6)
    )  # of eigenvalues so far apart that the first bases settle
    with jax.enable_x64(True):
        history = [gradients(rng, np.float64) for _ in range(11)]
        history = [{**g, "c": strong + 0.02 * g["c"]} for g in history]
        turned = [{**g, "c": u @ g["c"] @ v} for g in history]
        found, expected = directions(turned, "float64")["c"], directions(history, "float64")["c"]
        np.testing.assert_allclose(found, u @ expected @ v, atol=2e-4)


@pytest.mark.slow
def test_a_skewed_quadratic_is_solved_in_fewer_steps_than_by_adam(rng):
    """Minimizes f(W) = |A (W - W0) B|^2 with A and B of condition 30 in random bases."""
    spread = 30.0 ** np.linspace(0, -1, 6)
    a, b = (np.linalg.qr(rng.standard_normal((6, 6)))[0] * spread for _ in range(2))
    a, b = a.T.astype(np.float32), b.astype(np.float32)
    target = rng.standard_normal((1, 6, 6)).astype(np.float32)

    def left(name, rate):
        optimizer = make_optimizer(name, axes_of)

        @jax.jit
        def run(w):
            def step(carry, progress):
                w, state = carry
                g = jax.grad(lambda w: jnp.sum(jnp.square(a @ (w - target) @ b)))(w)
                direction, state = optimizer.update({"c": g}, state, {"c": w})
                return (w - rate * (1 - progress) * direction["c"], state), None

            carry = (w, optimizer.init({"c": w}))
            (w, _), _ = jax.lax.scan(step, carry, jnp.linspace(0, 1, 300))
            return jnp.sum(jnp.square(w - target)) / np.sum(np.square(target))

        return float(run(jnp.zeros((1, 6, 6))))

    best = {name: min(left(name, rate) for rate in (0.01, 0.03, 0.1)) for name in ("adam", "soap")}
    assert best["soap"] < 0.1 * best["adam"]


def test_zero_gradients_move_nothing():
    zeros = [{k: np.zeros(v, np.float32) for k, v in SHAPES.items()}] * 7
    for value in directions(zeros, jnp.float32).values():
        assert not np.any(value)


def test_copies_do_not_mix(rng):
    history = [gradients(rng, np.float32) for _ in range(8)]
    other = [{k: np.stack([v[0], 100 * v[1]]) for k, v in g.items()} for g in history]
    first, second = directions(history, jnp.float32), directions(other, jnp.float32)
    for name in SHAPES:
        np.testing.assert_array_equal(first[name][0], second[name][0])


def test_an_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match="'muon' does not exist; choose adam or soap"):
        make_optimizer("muon", axes_of)
