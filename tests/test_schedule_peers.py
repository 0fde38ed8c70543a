"""Schedules step by step against optax, torch, transformers, scikit-learn: written down, and live where installed."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from anneal_sgd.schedules import InversePower
from peer_schedules import CASES, HORIZON, vectors

WRITTEN = vectors()[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_equal_to_what_the_libraries_said(case):
    own = case.peak * case.own(HORIZON).values(HORIZON)
    np.testing.assert_allclose(own, WRITTEN[case.key], rtol=1e-12, atol=1e-12 * case.peak)


def test_every_case_is_written_down():
    assert sorted(WRITTEN) == sorted(case.key for case in CASES)


@pytest.mark.parametrize("horizon", [120, 360])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_equal_to_the_library(case, horizon):
    for module in {case.package, "torch" if case.package == "transformers" else case.package}:
        pytest.importorskip(module, reason=f"{module} is not installed", exc_type=ImportError)
    own = case.peak * case.own(horizon).values(horizon)
    np.testing.assert_allclose(own, case.values(horizon), rtol=1e-12, atol=1e-12 * case.peak)


@pytest.mark.parametrize("power", [0.25, 0.5, 1.0])
def test_equal_to_scikit_learns_invscaling(power):
    rates = rates_of_scikit_learn(learning_rate="invscaling", eta0=0.01, power_t=power)
    np.testing.assert_allclose(0.01 * InversePower(power).values(rates.size), rates, rtol=1e-10)


def test_equal_to_scikit_learns_optimal():
    alpha = 0.5
    rates = rates_of_scikit_learn(learning_rate="optimal", alpha=alpha)
    t0 = 1 / (alpha * rates[0])
    own = InversePower(1, timescale_steps=t0).values(rates.size)
    np.testing.assert_allclose(rates[0] * own, rates, rtol=1e-10)


def rates_of_scikit_learn(steps=40, **options):
    """One sample at a time: the step that the weight of x = 1 takes, over its error."""
    linear_model = importlib.import_module("sklearn.linear_model")
    model = linear_model.SGDRegressor(penalty=None, fit_intercept=False, **options)
    weight, rates = 0.0, []
    for step in range(steps):
        target = weight + (1.0 if step % 2 else -1.0)
        model.partial_fit([[1.0]], [target])
        rates.append((model.coef_[0] - weight) / (target - weight))
        weight = model.coef_[0]
    return np.array(rates)
