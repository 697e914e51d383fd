"""Baselines against processes of known entropy rate, and a slow least-squares fit."""

import numpy as np
import pytest

from data_pipeline.linear_prediction import (
    gaussian_log_likelihood,
    linear_predictor_log_likelihood,
)


def entropy(deviation):
    """Returns the entropy of a Gaussian in nats: minus the expected log density."""
    return 0.5 * np.log(2 * np.pi * np.e * deviation**2)


def autoregressive(rng, samples, deviation, coefficients=(1.6, -0.81)):
    x = np.zeros(samples + 2)
    noise = deviation * rng.standard_normal(samples + 2)
    for t in range(2, len(x)):
        x[t] = coefficients[0] * x[t - 1] + coefficients[1] * x[t - 2] + noise[t]
    return x[2:]


def test_white_noise_has_its_entropy(rng):
    clips = [0.1 * rng.standard_normal(40_000) for _ in range(4)]
    assert gaussian_log_likelihood(clips[:3], clips[3:]) == pytest.approx(-entropy(0.1), abs=0.02)
    found = linear_predictor_log_likelihood(clips[:3], clips[3:])
    assert found == pytest.approx(-entropy(0.1), abs=0.02)


@pytest.mark.parametrize("order", [2, 16])
def test_an_autoregressive_process_has_its_entropy_rate(rng, order):
    clips = [autoregressive(rng, 30_000, 0.01) for _ in range(4)]
    found = linear_predictor_log_likelihood(clips[:3], clips[3:], order)
    assert found == pytest.approx(-entropy(0.01), abs=0.02)
    assert gaussian_log_likelihood(clips[:3], clips[3:]) < found - 1


def test_one_model_for_clips_of_all_levels():
    """Judges the quiet clip by the variance 1/2 (1 + 0.01) of both together."""
    loud, quiet = np.tile([1.0, -1.0], 500), np.tile([0.1, -0.1], 500)
    variance = 0.505
    expected = -0.5 * np.log(2 * np.pi * variance) - 0.5 * 0.01 / variance
    assert gaussian_log_likelihood([loud, quiet], [quiet]) == pytest.approx(expected, rel=1e-12)


def test_equals_least_squares(rng):
    """Solves the same with the zero-filled clips as an explicit system of equations."""
    train = [autoregressive(rng, n, 0.02) for n in (700, 5, 1200)]
    validation = [autoregressive(rng, n, 0.02) for n in (300, 1, 80)]
    order = 3

    def system(clips, tail):
        rows = []
        for clip in clips:
            x = np.concatenate([np.zeros(order), clip, np.zeros(tail)])
            rows += [(*x[t - order : t][::-1], x[t]) for t in range(order, len(x))]
        return np.array(rows)[:, :-1], np.array(rows)[:, -1]

    past, now = system(train, tail=order)
    a = np.linalg.lstsq(past, now, rcond=None)[0]
    variance = np.sum((now - past @ a) ** 2) / sum(map(len, train))
    past, now = system(validation, tail=0)
    errors = (now - past @ a) ** 2
    expected = np.mean(-0.5 * np.log(2 * np.pi * variance) - errors / (2 * variance))
    found = linear_predictor_log_likelihood(train, validation, order)
    assert found == pytest.approx(expected, rel=1e-6)


def test_integers_are_full_scale_32768(rng):
    clips = [(3000 * rng.standard_normal(5000)).astype(np.int16) for _ in range(2)]
    floating = [clip / 32768 for clip in clips]
    for measure in (gaussian_log_likelihood, linear_predictor_log_likelihood):
        assert measure(clips[:1], clips[1:]) == measure(floating[:1], floating[1:])


def test_silence_is_as_sure_as_its_rounding():
    silence = [np.zeros(1000, np.int16)]
    expected = -0.5 * np.log(2 * np.pi / 12 / 32768**2)
    assert linear_predictor_log_likelihood(silence, silence) == pytest.approx(expected)
