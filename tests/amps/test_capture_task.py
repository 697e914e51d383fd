"""Training of a capture against a slow float64 version of the NAM trainer's recipe."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.amps.nam_examples import EXAMPLES
from tests.amps.test_every_nam import again
from wf_jax.amps import a2
from wf_jax.amps.capture_task import CaptureAudio, CaptureTask, LossWeights
from wf_jax.amps.losses import RESOLUTIONS
from wf_jax.amps.nam_file import parse
from wf_jax.amps.nam_models import model_of
from wf_jax.mesh import data_mesh
from wf_jax.modules import split
from wf_jax.training.loop import train
from wf_jax.training.optimizers import make_optimizer
from wf_jax.training.schedule import Schedule
from wf_jax.training.settings import Settings
from wf_jax.training.state import create_state
from wf_jax.training.step import make_step

WINDOW, BATCH = 1024, 2
PER_EPOCH = Schedule(end=0.994**100, exponential=True, stairs=100)  # the NAM trainer's
# The other size is the same code, and as long to compile again.
SIZES = pytest.mark.parametrize(
    "sizes",
    [("nano",), pytest.param(("nano", "standard"), marks=pytest.mark.exhaustive)],
    ids="+".join,
)


@pytest.fixture(scope="module")
def audio():
    rng = np.random.default_rng(3)
    n = 6346 + 4 * WINDOW + 100
    x = rng.normal(size=(1, 2 * n)).astype(np.float32) * 0.2
    y = np.tanh(3 * x + 0.3) - np.tanh(0.3).astype(np.float32)
    y = 0.126 * y / y.std()
    return CaptureAudio(x[:, :n], y[:, :n], x[:, n:], y[:, n:])


def make_task(audio, **options):
    return CaptureTask(audio, batch_size=BATCH, window=WINDOW, **options)


# A slow version of the recipe, plain autodiff in float64


def slow_model(params, prefix, x):
    """Plays A2 on one window x [T], valid form, by XLA's own convolution."""

    def conv(kernel, x, dilation):
        return jax.lax.conv_general_dilated(
            x[None], kernel, (1,), "VALID", rhs_dilation=(dilation,)
        )[0]

    name = f"{prefix}/arrays/0"
    h, total = params[f"{name}/rechannel/kernel"][:, :, 0] @ x[None], 0.0
    for i, dilation in enumerate(a2.DILATIONS):
        layer = f"{name}/layers/{i}"
        z = conv(params[f"{layer}/conv/kernel"], h, dilation)
        n = z.shape[1]
        z += params[f"{layer}/conv_bias"][:, None] + params[f"{layer}/mixin/kernel"] @ x[None, -n:]
        a = jnp.where(z > 0, z, 0.01 * z)
        h = h[:, -n:] + params[f"{layer}/layer1x1/kernel"] @ a
        h += params[f"{layer}/layer1x1/bias"][:, None]
        total = (total if i == 0 else total[:, -n:]) + a
    return 0.01 * (conv(params[f"{name}/head/kernel"], total, 1)[0] + params[f"{name}/head/bias"])


def slow_magnitude(x, fft_size, hop, window_length):
    left = (fft_size - window_length) // 2
    n = np.arange(window_length)
    window = np.zeros(fft_size)
    window[left : left + window_length] = 0.5 - 0.5 * np.cos(2 * np.pi * n / window_length)
    x = jnp.pad(x, ((0, 0), (fft_size // 2, fft_size // 2)), mode="reflect")
    frames = np.arange(0, 1 + x.shape[1] - fft_size, hop)[:, None] + np.arange(fft_size)
    return jnp.sqrt(jnp.maximum(jnp.abs(jnp.fft.rfft(x[:, frames] * window)) ** 2, 1e-8))


def slow_loss(params, x, t):
    """Sums MSE + 0.0005 MR-STFT over sizes, norms over the batch."""
    total = 0.0
    for size in sorted({name.split("/")[0] for name in params}):
        p = jnp.stack([slow_model(params, size, row) for row in x])
        stft = 0.0
        for resolution in RESOLUTIONS:
            pm, tm = slow_magnitude(p, *resolution), slow_magnitude(t, *resolution)
            stft += jnp.linalg.norm((tm - pm).ravel()) / jnp.linalg.norm(tm.ravel())
            stft += jnp.mean(jnp.abs(jnp.log(pm) - jnp.log(tm)))
        total += jnp.mean((p - t) ** 2) + 0.0005 * stft / 3
    return total


def slow_batch(task, audio, step):
    starts = task.batch(step)["windows"][0] * WINDOW
    x = np.stack([audio.input_train[0, s : s + 6346 + WINDOW] for s in starts])
    t = np.stack([audio.output_train[0, s + 6346 : s + 6346 + WINDOW] for s in starts])
    return jnp.float64(x), jnp.float64(t)


def slow_training(params, task, audio, steps):
    """Runs Adam with L2 in textbook form; the rate falls by 0.994 per epoch."""
    params = {k: jnp.float64(v[0]) for k, v in params.items()}
    m, v = ({k: 0.0 for k in params} for _ in range(2))
    value_and_gradient = jax.jit(jax.value_and_grad(slow_loss))
    losses = []
    for step in range(steps):
        loss, gradient = value_and_gradient(params, *slow_batch(task, audio, step))
        losses.append(float(loss))
        rate = 0.004 * 0.994 ** (step // task.steps_per_epoch)
        for k in params:
            g = gradient[k] + 3.17e-7 * params[k]
            m[k] = 0.9 * m[k] + 0.1 * g
            v[k] = 0.999 * v[k] + 0.001 * g * g
            corrected = m[k] / (1 - 0.9 ** (step + 1))
            scale = jnp.sqrt(v[k] / (1 - 0.999 ** (step + 1))) + 1e-8
            params[k] -= rate * corrected / scale
    return losses, params


def our_training(params, task, definition, steps, dtype):
    """Returns losses and parameters around each step: the loop's own step on two devices."""
    optimizer = make_optimizer("adam", task.axes_of, Settings.weight_decay)
    mesh = data_mesh(BATCH)
    assert mesh.size == 2
    step = jax.jit(
        make_step(
            lambda p, b, axis: task.loss(definition(p), b, axis), optimizer, mesh, task.batch_axes
        )
    )
    params = {k: jnp.asarray(v, dtype) for k, v in params.items()}
    state = jax.jit(lambda p: create_state(p, optimizer, task.best_metrics, (1,)))(params)
    resident = {k: jnp.asarray(v, dtype) for k, v in task.resident.items()}
    losses, trajectory = [], [jax.device_get(state.params)]
    for i in range(steps):
        rate = 0.004 * PER_EPOCH(i / (100 * task.steps_per_epoch))
        batch = {**resident, "windows": task.batch(i)["windows"][None]}
        state, metrics = step(state, batch, jnp.asarray(rate, dtype))
        losses.append(sum(float(v[0]) for k, v in metrics.items() if k.startswith("loss/")))
        trajectory.append(jax.device_get(state.params))
    return losses, trajectory


@pytest.mark.exhaustive
@SIZES
def test_three_steps_equal_the_recipe_in_float64(audio, sizes):
    task = make_task(audio, sizes=sizes)
    definition, params = split(task.init())
    assert task.steps_per_epoch == 2  # so that the third step has the second epoch's rate
    with jax.enable_x64(True):
        slow_losses, slow_params = slow_training(params, task, audio, 3)
        losses, trajectory = our_training(params, task, definition, 3, jnp.float64)
    np.testing.assert_allclose(losses, slow_losses, rtol=1e-9)
    for name, value in trajectory[-1].items():
        np.testing.assert_allclose(value[0], slow_params[name], atol=1e-7, err_msg=name)


@pytest.mark.slow
@SIZES
@pytest.mark.exhaustive
def test_float32_losses_equal_float64_losses_of_the_same_parameters(audio, sizes):
    """Compares per step, because Adam's first steps divide by the gradient's own size.

    This turns float32 rounding of small gradients into 4e-5 of the parameters in any framework, and
    trajectories diverge.
    """
    task = make_task(audio, sizes=sizes)
    definition, params = split(task.init())
    losses, trajectory = our_training(params, task, definition, 3, jnp.float32)
    assert losses[2] < losses[0]
    with jax.enable_x64(True):
        slow = jax.jit(slow_loss)
        for step, loss in enumerate(losses):
            exact = {k: jnp.float64(v[0]) for k, v in trajectory[step].items()}
            x, t = slow_batch(task, audio, step)
            np.testing.assert_allclose(loss, slow(exact, x, t), rtol=1e-5)


def test_every_window_once_an_epoch_in_an_order_of_seed_and_epoch(audio):
    task = make_task(audio)
    first = np.concatenate([task.batch(i)["windows"][0] for i in range(2)])
    second = np.concatenate([task.batch(i)["windows"][0] for i in range(2, 4)])
    assert sorted(first) == sorted(second) == [0, 1, 2, 3]
    orders = {
        tuple(np.concatenate([make_task(audio, seed=s).batch(i)["windows"][0] for i in range(2)]))
        for s in range(8)
    }
    assert len(orders) > 3
    np.testing.assert_array_equal(task.batch(3)["windows"], make_task(audio).batch(3)["windows"])


@pytest.mark.slow
@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, -1), (1, 0), (1, -1)])
def test_windows_are_contiguous_and_do_not_overlap(audio, row, column):
    """Item i has the targets from i * ny + RF - 1 on: the trainer's rule."""
    task = make_task(audio, sizes=("nano",))
    ramp = np.arange(audio.output_train.shape[1], dtype=np.float32)[None]
    task.loss_weights = lambda y, t, axis, native: t[:, row, column] + 0 * y.sum((1, 2))
    batch = {"input": audio.input_train, "output": ramp, "windows": np.int32([[2, 0]])}
    loss, _ = jax.jit(task.loss)(task.init(), batch)
    assert loss == [2, 0][row] * WINDOW + 6346 + (WINDOW - 1 if column else 0)


def test_too_short_says_how_much_is_needed(audio):
    short = dataclasses.replace(audio, input_train=audio.input_train[:, :7000])
    with pytest.raises(ValueError, match=r"record at least 0\.2 s .* train\.batch_size"):
        make_task(short)


def test_a_held_out_part_without_a_whole_context_is_refused(audio):
    short = dataclasses.replace(
        audio,
        input_validation=audio.input_validation[:, :6346],
        output_validation=audio.output_validation[:, :6346],
    )
    with pytest.raises(ValueError, match=r"the held-out part has 6346 samples.*hold out 1\.1 s"):
        make_task(short)


@pytest.mark.slow
def test_two_captures_train_as_each_alone(audio, tmp_path):
    """A pair on the leading axis gives the same as two runs, to float32 rounding."""
    other = dataclasses.replace(audio, output_train=-audio.output_train)
    both = CaptureAudio(
        *(
            np.concatenate([getattr(audio, f.name), getattr(other, f.name)])
            for f in dataclasses.fields(audio)
        )
    )
    weights = LossWeights()
    loss = jax.jit(lambda task, models, batch: task.loss(models, batch), static_argnums=0)
    pair = make_task(both, sizes=("nano",), loss_weights=weights)
    models = pair.init()
    windows = np.int32([[1, 3], [0, 2]])
    _, metrics = loss(pair, models, {**pair.resident, "windows": windows})
    for i, alone in enumerate((audio, other)):
        task = make_task(alone, sizes=("nano",))
        one = jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], models)
        _, expected = loss(task, one, {**task.resident, "windows": windows[i : i + 1]})
        np.testing.assert_allclose(metrics["loss/nano"][i], expected["loss/nano"][0], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_training_learns_and_keeps_the_best_of_each_size(audio, tmp_path):
    result = train(make_task(audio), Settings(epochs=6, learning_rate=0.02), tmp_path)
    for size in ("nano", "standard"):
        curve = [record[f"esr/{size}"] for record in result.history]
        assert result.metrics[f"esr/{size}"][0] == pytest.approx(min(curve), rel=1e-6)
        assert result.best_epochs[f"esr/{size}"][0] == 1 + int(np.argmin(curve))
        assert min(curve) < 0.97 * curve[0]
    task = make_task(audio)
    again = jax.device_get(task.evaluate(result.models))
    np.testing.assert_allclose(again["esr/nano"], result.metrics["esr/nano"], rtol=1e-6)


# Other models than A2


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("gated", "lstm"),
        *(
            again(name)
            for name in (
                "linear_fft",
                "lstm_two_layers",
                "everything",
                "convnet_batchnorm",
                "sequential",
                "container",
            )
        ),
    ],
)
def test_a_step_downhill_lowers_the_loss_of_any_model(audio, name):
    model = model_of(parse(EXAMPLES[name](), f"{name}.nam"))
    short = CaptureAudio(*(array[:, :9000] for array in dataclasses.astuple(audio)))
    task = make_task(short, models={"model": model})
    assert task.sizes == ("model",)
    definition, params = split(task.init())
    batch = {**task.resident, **task.batch(0)}

    def loss(params):
        return task.loss(definition(params), batch)[0]

    value_and_gradient = jax.jit(jax.value_and_grad(loss))
    before, gradient = value_and_gradient(params)
    norm = float(sum(jnp.vdot(g, g) for g in gradient.values())) ** 0.5
    after, _ = value_and_gradient({k: v - 1e-3 / norm * gradient[k] for k, v in params.items()})
    # To first order the loss falls by the step's length times the gradient's.
    assert 0.5 * 1e-3 * norm < float(before - after) < 1.5 * 1e-3 * norm
