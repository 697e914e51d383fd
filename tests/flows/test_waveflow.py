"""WaveFlow's own properties, in float64: permutations, rows, reach and slow loops."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.flows import small
from tests.quick_jit import quick_jit
from wf_jax.flows.squeeze import squeeze
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import HEIGHT_DILATIONS, WaveFlowConfig
from wf_jax.modules import split

DOUBLE = {"compute_dtype": "float64"}


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def close(actual, expected, tolerance=1e-10):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@quick_jit
def density(model, x, mel):
    return model.forward(x, mel)


@quick_jit
def likelihood(model, x, mel):
    return model.log_prob(x, mel)


@quick_jit
def generate(model, z, mel):
    return model.inverse(z, mel)


# Every height, permutation and number of flows

HEIGHTS, FLOWS = (2, 8, 16, 32, 64), (1, 2, 4, 6, 8)
# 6 flows in halves: their composed permutation is no identity. The rest is for `make test-all`; of
# the other heights test_battery.py has two.
FIRST = {
    (8, "bipartite", 6),
    (16, "reverse", 8),
    (64, "bipartite", 4),
}
# A dilation that reaches above the first row for small heights, but not for large ones.
SOME_DILATIONS = {2: (1, 2), 8: (3, 1), 16: (1, 9), 32: (4, 1), 64: (1, 16)}


@quick_jit
def by_row(model, x, mel):
    return model.forward(x, mel, row_by_row=True)


@quick_jit
def jacobian(model, x, mel):
    """Computes dz/dx [T, T] of one clip."""
    return jax.jacrev(lambda x: model.forward(x, mel)[0][0])(x)[:, 0]


def cases():
    for height in HEIGHTS:
        for kind in ("reverse", "bipartite"):
            for flows in FLOWS:
                case = (height, kind, flows)
                marks = () if case in FIRST else pytest.mark.exhaustive
                yield pytest.param(*case, marks=marks, id=f"{height}-{kind}-{flows}")


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("height", "kind", "flows"), [*cases()])
def test_both_directions(height, kind, flows):
    """Catches wrong rows of the condition, a wrong ring buffer or a missing log scale.

    x -> z -> x and, as the bug of public code shows only there, z -> x -> z; log_det against the
    dense Jacobian; one row at a time against all at once.
    """
    config = small.config(
        height=height,
        permutation=kind,
        flows=flows,
        channels=3,
        height_dilations=SOME_DILATIONS[height],
        **DOUBLE,
    )
    model = small.random_model(config, height + flows)
    x, mel = small.random_inputs(config, 1, 3 * height)
    z, log_det = density(model, x, mel)
    assert z.dtype == jnp.float64
    assert np.abs(z - x).max() > 0.01  # it does something
    close(generate(model, z, mel), x)
    close(density(model, generate(model, x, mel), mel)[0], x)
    close(np.linalg.slogdet(jacobian(model, x, mel))[1], log_det[0])
    z_rows, log_det_rows = by_row(model, x, mel)
    close(z_rows, z)
    close(log_det_rows, log_det)


@pytest.mark.parametrize("lengths", [pytest.param(None, marks=pytest.mark.slow), [37, 20]])
def test_row_by_row_in_float32(lengths):
    """The folded net (skip path, sigmoid) and its caches equal the net, masks too."""
    config = small.config(height=16, flows=4, height_dilations=(1, 3))
    model = small.random_model(config)
    x, mel = (a.astype(np.float32) for a in small.random_inputs(config, 2, 48))
    lengths = None if lengths is None else jnp.array(lengths)

    @quick_jit
    def both(model):
        return [model.forward(x, mel, lengths, row_by_row=rows) for rows in (False, True)]

    (z, log_det), (z_rows, log_det_rows) = both(model)
    close(z_rows, z, 1e-5)
    close(log_det_rows, log_det, 1e-5)


@pytest.mark.slow
def test_gradients_row_by_row():
    """Both forms train the same model: their gradients agree."""
    config = small.config(flows=2)
    model = small.random_model(config)
    x, mel = (a.astype(np.float32) for a in small.random_inputs(config, 1, 32))

    @quick_jit
    def gradients(model):
        return [
            jax.grad(lambda m, rows=rows: nats(m.forward(x, mel, row_by_row=rows)))(model)
            for rows in (False, True)
        ]

    def nats(result):
        z, log_det = result
        return jnp.sum(log_det) - 0.5 * jnp.sum(jnp.square(z))

    at_once, by_row = (split(g)[1] for g in gradients(model))
    for name, value in at_once.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(by_row[name], value, atol=1e-5 * scale + 1e-7, err_msg=name)


# The start


def test_density_scales_as_a_density():
    """For identity flows only the quadratic part follows the amplitude.

    And for a flow that scales every row but the first, log_det is the share of these rows.
    """
    config, factor = small.config(flows=1), 3.0
    model = WaveFlow(config, np.random.default_rng(0))
    x, mel = (a.astype(np.float32) for a in small.random_inputs(config, 2, 64))
    mean = 0.5 * np.mean(np.square(x), axis=1)
    loud, quiet = likelihood(model, factor * x, mel), likelihood(model, x, mel)
    np.testing.assert_allclose(loud - quiet, mean - factor**2 * mean, rtol=2e-5)
    model.flows.end.bias[...] = jnp.array([[np.log(factor), 0.0]], jnp.float32)
    rows = np.where(np.arange(64) % 8 == 0, 1.0, factor)
    expected = 7 / 8 * np.log(factor) - 0.5 * np.mean(np.square(rows * x), axis=1) - 0.918939
    np.testing.assert_allclose(likelihood(model, x, mel), expected, rtol=1e-5)


# Dependencies


@pytest.mark.usefixtures("double")
def test_one_flow_is_causal_over_rows():
    """Row i sees rows above it and conditions 1..i, and exactly +-7 columns.

    A current row in the net would make the inverse impossible; a column fewer would lose context.
    """
    config = small.config(flows=1, layers=3, height=6, height_dilations=(1, 1, 1), **DOUBLE)
    model = small.random_model(config)
    rng, width, reach = np.random.default_rng(3), 18, 1 + 2 + 4
    x, c = rng.standard_normal((1, 6, width)), rng.standard_normal((1, 6, width, 4))
    by_x, by_c = quick_jit(jax.jacrev(lambda x, c: model.encode(x, c)[0][0], argnums=(0, 1)))(x, c)
    by_x, by_c = np.abs(by_x[:, :, 0]), np.abs(by_c[:, :, 0]).max(axis=-1)  # [i, j, i', j']
    apart = np.abs(np.arange(width)[:, None] - np.arange(width))
    for row in range(6):
        for other in range(6):
            block = by_x[row, :, other]
            if other > row:
                assert not block.any()
            elif other == row:  # exp(log scale) of each column by itself
                assert not block[apart > 0].any()
                assert (np.diagonal(block) > 0).all()
            else:
                assert not block[apart > reach].any()
                assert (block[apart == reach] > 0).all()
            condition = by_c[row, :, other]
            if other > row or other == 0 or row == 0:
                assert not condition.any()
            else:
                assert (np.diagonal(condition) > 0).all()
                assert not condition[apart > reach].any()
    np.testing.assert_array_equal(np.diagonal(by_x[0, :, 0]), 1)  # row 0 is copied


@quick_jit
def middle_by_all(model, x, c):
    """Returns how much each column of x [h, W] and c affects the result's middle column."""

    def both(x, c):
        middle = x.shape[2] // 2
        return model.encode(x, c)[0][0, :, middle], model.decode(x, c)[0, :, middle]

    jacobians = jax.jacrev(both, (0, 1))(x, c)
    return jax.tree.map(
        lambda j: jnp.abs(j).max(axis=(0, 1, 2) if j.ndim == 4 else (0, 1, 2, 4)), jacobians
    )


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("flows", "kernel"), [(1, 5), pytest.param(3, 3, marks=pytest.mark.slow)])
def test_the_reach_over_columns(flows, kernel):
    """A latent column sees exactly `context_columns` columns on each side.

    Audio sees more: row i follows from the rows above it, each of which has seen its own
    neighbors, so that a flow's reach in synthesis is h - 1 times that of density, falling fast.
    """
    height = 4
    config = small.config(
        flows=flows, channels=2, height=height, kernel=kernel, height_dilations=(1, 1), **DOUBLE
    )
    one = (1 + 2) * (kernel // 2)
    assert config.context_columns == flows * one
    model = small.random_model(config)
    width = 2 * flows * one * (height - 1) + 5
    rng = np.random.default_rng(3)
    x, c = rng.standard_normal((1, height, width)), rng.standard_normal((1, height, width, 4))
    (z_by_x, z_by_c), (x_by_z, x_by_c) = middle_by_all(model, x, c)
    apart = np.abs(np.arange(width) - width // 2)
    np.testing.assert_array_equal(z_by_x > 0, apart <= config.context_columns)
    assert not np.any(z_by_c[apart > config.context_columns])
    all_steps = apart <= (height - 1) * config.context_columns
    for by in (x_by_z, x_by_c):
        assert np.max(by[~all_steps]) < 1e-20  # rounding of zeros, from column to column
        assert 0 < by[apart > config.context_columns].max() < 1e-4 * by.max()
    if flows == 1:
        assert np.min(x_by_z[all_steps]) > 1e6 * np.max(x_by_z[~all_steps])


# Against slow loops


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    ("height", "dilations"), [(12, (2, 4, 1)), pytest.param(4, (1, 8, 2), marks=pytest.mark.slow)]
)
def test_one_flow_in_slow_loops(height, dilations):
    """Compares taps, gate halves and padding in hidden space."""
    config = small.config(height=height, flows=1, layers=3, height_dilations=dilations, **DOUBLE)
    model = small.random_model(config)
    x, mel = small.random_inputs(config, 1, 9 * height)
    params = small.plain_params(model)
    flow = {n.removeprefix("flows/"): v[0] for n, v in params.items() if n.startswith("flows/")}
    c = small.slow_upsample(params, mel[0], (4, 4))[:, : x.shape[1]]
    c = c.reshape(4, -1, height).transpose(2, 1, 0)
    expected, log_scale = small.slow_flow(
        flow, x[0].reshape(-1, height).T, c, [(d, 2**i) for i, d in enumerate(dilations)]
    )
    z, log_det = density(model, x, mel)
    close(squeeze(z, height)[0], expected)
    close(log_det[0], np.sum(log_scale))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    ("kind", "flows"), [("bipartite", 6), pytest.param("reverse", 3, marks=pytest.mark.slow)]
)
def test_all_flows_in_slow_loops(kind, flows):
    """Rows of audio and condition change places together, after each flow.

    z comes back in the places of its samples: this undoes the permutations at the end.
    """
    height, dilations = 4, [(1, 1), (2, 2)]
    config = small.config(
        height=height, flows=flows, permutation=kind, height_dilations=(1, 2), **DOUBLE
    )
    model = small.random_model(config)
    x, mel = small.random_inputs(config, 1, 16)
    params = small.plain_params(model)
    c = small.slow_upsample(params, mel[0], (4, 4)).reshape(4, -1, height).transpose(2, 1, 0)
    rows, total, place = x[0].reshape(-1, height).T, 0.0, list(range(height))
    for k in range(flows):
        flow = {n.removeprefix("flows/"): v[k] for n, v in params.items() if n.startswith("flows/")}
        rows, log_scale = small.slow_flow(flow, rows, c, dilations)
        whole = kind == "reverse" or k < flows // 2
        order = [3, 2, 1, 0] if whole else [1, 0, 3, 2]
        rows, c, place = rows[order], c[order], [place[i] for i in order]
        total += np.sum(log_scale)
    expected = np.zeros_like(rows)
    expected[place] = rows
    z, log_det = density(model, x, mel)
    close(squeeze(z, height)[0], expected)
    close(log_det[0], total)


# Configurations


@pytest.mark.parametrize(
    ("channels", "count"),
    [(64, 5_916_372), (96, 12_782_036), (128, 22_252_756), (256, 86_186_196)],
)
def test_parameter_counts_of_the_paper(rng, channels, count):
    """Expects 5.91M, 12.78M, 22.25M, 86.18M: with the gains, skip only in the last layer."""

    def counted(flows):
        config = WaveFlowConfig(channels=channels, flows=flows)
        shapes = split(jax.eval_shape(lambda: WaveFlow(config, rng)))[1]
        below = {n: int(np.prod(v.shape)) for n, v in shapes.items()}
        return sum(below.values()), sum(v for n, v in below.items() if n.startswith("flows/"))

    if channels == 64:
        assert counted(8)[0] == count
    total, flows = counted(1)
    assert total + 7 * flows == count


def test_defaults_are_the_paper_s():
    config = WaveFlowConfig()
    assert config.dilations == tuple((1, 2**i) for i in range(8))
    assert config.context_columns == 2040
    assert config.mel.n_mels == 80


@pytest.mark.parametrize("height", [2, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256])
def test_the_receptive_field_covers_the_height(height):
    """Requires r = (kernel - 1) * sum(d) + 1 >= h, so that the last row sees the first."""
    config = WaveFlowConfig(height=height)
    dilations = [d for d, _ in config.dilations]
    assert len(dilations) == 8
    assert 2 * sum(dilations) + 1 >= height
    assert [w for _, w in config.dilations] == [2**i for i in range(8)]
    if height in HEIGHT_DILATIONS:
        assert tuple(dilations) == HEIGHT_DILATIONS[height]
    for layers in (6, 10):
        other = WaveFlowConfig(height=height, layers=layers)
        reach = 2 * sum(d for d, _ in other.dilations) + 1
        assert reach >= min(height, 2 ** (layers + 1) - 1)


def test_the_published_heights():
    """Compares with the published table of heights and dilations."""
    found = {h: [d for d, _ in WaveFlowConfig(height=h).dilations] for h in (8, 16, 32, 64)}
    assert found == {
        8: [1] * 8,
        16: [1] * 8,
        32: [1, 2, 4, 1, 2, 4, 1, 2],
        64: [1, 2, 4, 8, 16, 1, 2, 4],
    }
    assert [d for d, _ in WaveFlowConfig(height=24).dilations] == [1, 2, 1, 2, 1, 2, 1, 2]
    given = WaveFlowConfig(height_dilations=(2,) * 8)
    assert [d for d, _ in given.dilations] == [2] * 8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"height": 7}, "height 7 is not an even number; choose 8, 16, 32 or 64"),
        ({"height": 0}, "height 0 is not an even number"),
        ({"flows": 0}, "flows 0 is below 1"),
        ({"layers": 0}, "layers 0 is below 1"),
        ({"channels": -1}, "channels -1 is below 1"),
        ({"kernel": 2}, "kernel 2 is not odd; choose 3"),
        ({"upsample_factors": (4, 8)}, "(4, 8) multiply to 32, but the hop is 16"),
        ({"height_dilations": (1,)}, "(1,) are 1, but there are 2 layers"),
        ({"height_dilations": (1, 0)}, "(1, 0) hold a value below 1"),
        ({"permutation": "random"}, "permutation 'random' is none of reverse, bipartite"),
        ({"compute_dtype": "float16"}, "compute_dtype 'float16' is none of float32, bfloat16"),
        ({"matmul_precision": "tf32"}, "matmul_precision 'tf32' is none of highest, high"),
    ],
)
def test_faults_of_configurations(values, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        small.config(**values)
    assert len(str(caught.value).splitlines()) == 1
