"""Every public entry, given anything: it works, or an error of a documented kind names an argument first.

One argument of a call that is right is replaced by something drawn. `--slow` draws for minutes.
"""

from __future__ import annotations

import datetime
import re
import warnings
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from anneal_sgd import Simulator, estimate, problems, runtime, schedules, simulate, theory
from anneal_sgd.campaigns import Campaign, ProblemGrid

hypothesis = pytest.importorskip("hypothesis")
HealthCheck, given, settings, st = hypothesis.HealthCheck, hypothesis.given, hypothesis.settings, hypothesis.strategies

DOCUMENTED = (ValueError, TypeError, MemoryError)

NUMBERS = [-1, 0, 1, 2, 7, 2**32 + 1, 2**64, 10**400, -(10**400), 0.0, -0.0, 0.3, 1.0, 2.5, 1e-320, 1e308, -1e39]
NUMBERS += [float("nan"), float("inf"), -float("inf"), np.float32(0.5), np.int8(-3), np.uint64(2**63), np.float16(2)]
TEXTS = ["", "linear", "average", "float32", "gaussian", "none", "0.5", "\0", "x" * 10_000]
OTHERS = [
    *(None, True, False, np.True_, b"ab", 1j, Ellipsis, object(), int, repr, Fraction(1, 3), Decimal("0.5")),
    *(datetime.date(2020, 1, 1), np.datetime64("2020"), range(3), range(2**60), slice(3), {}, {1: 2}, set(), {0.5}),
    *(frozenset({1}), schedules.Linear(), schedules.Linear, problems.AbsoluteValue(1.0), problems.Quadratic),
    *(np.empty(0), np.empty((2, 0)), np.zeros((2, 2)), np.ones(2), np.array(0.5), np.array(None), np.array(["a"])),
    *(np.array([1.0, np.nan]), np.ones(2, complex), np.ones(2, bool), np.ones(2, "datetime64[s]"), np.ones(2, object)),
    *(np.ma.array([0.1, 0.2], mask=[0, 1]), np.ma.masked, np.zeros(2, [("a", float)]), memoryview(b"ab")),
    *(("box", -1.0, 1.0), ("box", 1.0, -1.0), ("ball", 1.0), ("ball",), ("box", [0.0, 1.0], None), [("ball", 1.0)]),
]
LEAVES = st.sampled_from([*NUMBERS, *TEXTS]) | st.integers(0, len(OTHERS) - 1).map(lambda i: OTHERS[i])
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner), max_leaves=4)

NOISY = problems.AbsoluteValue([0.5, 0.7], noise="gaussian", noise_std=1.0)
X, Y = np.cos(np.arange(12.0)).reshape(6, 2), np.arange(6) % 2
ON_DATA = problems.LogisticRegression(X, Y, l2=0.1)
KEPT = simulate(NOISY, schedules.Linear(), base_lr=[0.1, 0.2], horizon=3, replicates=4, keep_samples=True)

CALL = {
    "schedule": schedules.Linear(),
    "base_lr": 0.1,
    "horizon": 5,
    "replicates": 2,
    "first_replicate": 0,
    "seed": 1,
    "record_at": None,
    "iterate": "tail_average",
    "tail_frac": 0.5,
    "common_random_numbers": True,
    "momentum": 0.0,
    "nesterov": False,
    "weight_decay": 0.0,
    "metric": None,
    "dtype": "float32",
    "backend": "cpu",
    "threads": 1,
    "isa": "scalar",
    "keep_samples": False,
    "out": None,
    "device": None,
    "stream": None,
    "device_output": False,
    "progress": None,
}
SEPARABLE = {
    "noise": "gaussian",
    "noise_std": 1.0,
    "second_moment": None,
    "projection": None,
    "x0": 0.5,
    "dimension": 2,
}
LINEAR = {
    "X": X,
    "y": Y,
    "sample_weight": None,
    "l2": 0.1,
    "intercept": False,
    "projection": None,
    "x0": 0.0,
    "batch_size": 1,
    "sampling": "with_replacement",
    "test": None,
}
THEORY = {"schedule": schedules.Linear(), "horizon": 5}
ENTRIES = {
    "simulate": (simulate, {"problem": NOISY, **CALL}),
    "simulate on data": (simulate, {"problem": ON_DATA, **CALL, "momentum": 0.5, "metric": "loss"}),
    "Simulator": (Simulator, {"problem": NOISY}),
    "Simulator.run": (Simulator(NOISY).run, CALL),
    "estimate": (estimate, {"problem": NOISY, **CALL}),
    "quantile": (KEPT.quantile, {"q": 0.5}),
    "AbsoluteValue": (problems.AbsoluteValue, {"slope": 0.5, **SEPARABLE}),
    "Quadratic": (problems.Quadratic, {"curvature": 0.5, **SEPARABLE}),
    "Huber": (problems.Huber, {"slope": 0.5, "width": 1.0, **SEPARABLE}),
    "LogisticRegression": (problems.LogisticRegression, LINEAR),
    "LeastSquares": (problems.LeastSquares, LINEAR),
    "value": (NOISY.value, {"x": [0.1, 0.2]}),
    "gradient": (NOISY.gradient, {"x": [0.1, 0.2]}),
    "suboptimality": (NOISY.suboptimality, {"x": [0.1, 0.2]}),
    "value on data": (ON_DATA.value, {"x": [0.1, 0.2]}),
    "gradient on data": (ON_DATA.gradient, {"x": [0.1, 0.2]}),
    "MLP": (problems.MLP, {"X": X, "y": Y, "hidden": (2,), "activation": "relu", "l2": 0.0, "batch_size": 2}),
    "replace": (ON_DATA.replace, {"l2": 0.1, "batch_size": 2, "x0": 0.0}),
    "ProblemGrid": (partial(ProblemGrid, problems.Quadratic), {"curvature": [0.5, 1.0]}),
    "Campaign": (
        partial(Campaign, NOISY, replicates=2),
        {"schedule": schedules.Linear(), "horizon": 5, "base_lr": 0.1, "seed": 0, "record_at": 2, "dtype": "float32"},
    ),
    "by_name": (schedules.by_name, {"name": "linear"}),
    "Tabulated": (schedules.Tabulated, {"values": [1.0, 0.5], "tail_degree": 0.0}),
    "Polynomial": (schedules.Polynomial, {"degree": 2.0, "floor": 0.0, "warmup_frac": 0.0}),
    "StepDecay": (schedules.StepDecay, {"factor": 0.1, "milestones": (0.5,), "floor": 0.0}),
    "schedule": (schedules.InverseSqrt(), {"u": 0.5, "horizon": 5}),
    "values": (schedules.Linear().values, {"horizon": 5, "first": 0, "stop": 3}),
    "set_isa": (runtime.set_isa, {"name": None}),
    "why_unavailable": (runtime.why_unavailable, {"backend": "cpu"}),
    "last_iterate_bound": (theory.last_iterate_bound, {**THEORY, "base_lr": 0.1, "distance": 1.0, "start": 1}),
    "worst_case": (theory.worst_case, {**THEORY, "base_lr": 0.1, "gradient_bound": 1.0, "start": 1}),
    "worst_case_weights": (theory.worst_case_weights, {**THEORY, "base_lr": 0.1, "distance": 1.0, "start": 1}),
    "tuned_base_lr": (theory.tuned_base_lr, {**THEORY, "distance": 1.0, "gradient_bound": 1.0}),
    "asymptotic_exponent": (theory.asymptotic_exponent, {"tail_degree": 1.0}),
    "local_exponent": (theory.local_exponent, {**THEORY, "misspecification": 2.0}),
    "tolerated_misspecification": (theory.tolerated_misspecification, {**THEORY, "loss": 0.5}),
    "minimax_value": (theory.minimax_value, {"ratio": 10.0}),
    "minimax_base_lr": (theory.minimax_base_lr, {"ratio": 10.0, "horizon": 5, "distance": 1.0, "gradient_bound": 1.0}),
    "minimax_steps": (theory.minimax_steps, {"ratio": 10.0, "horizon": 5, "distance": 1.0, "gradient_bound": 1.0}),
    "hedged_base_lr": (theory.hedged_base_lr, {**THEORY, "ratio": 10.0, "distance": 1.0, "gradient_bound": 1.0}),
    "polynomial_value": (theory.polynomial_value, {"degree": 2.0, "ratio": 10.0}),
    "best_degree": (theory.best_degree, {"ratio": 10.0}),
    "quadratic_moments": (
        theory.quadratic_moments,
        {**THEORY, "curvature": 1.0, "x0": 1.0, "noise_std": 1.0, "base_lr": 0.1, "record_at": [1], "dtype": "float32"},
    ),
}
OTHER_NAMES = {"set_isa": {"isa"}}  # as messages have them


def check(entry, data):
    function, right = ENTRIES[entry]
    name = data.draw(st.sampled_from(sorted(right)), label="argument")
    value = data.draw(ANYTHING, label="value")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of diverged trajectories, and of NumPy about its masks and dates
        told = None
        try:
            function(**{**right, name: value})
        except DOCUMENTED as error:
            told = str(error)
        finally:
            runtime.set_isa(None)
    if told is not None:
        first = re.match(r"\w*", told).group()
        assert first in {*right, *OTHER_NAMES.get(entry, ())}, f"{entry}({name}={value!r}): {told!r}"


short = partial(settings, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.mark.parametrize("entry", ENTRIES)
@short(max_examples=40, derandomize=True)
@given(data=st.data())
def test_anything_is_taken_or_refused_by_name(entry, data):
    check(entry, data)


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
@short(max_examples=4000)
@given(data=st.data())
def test_anything_is_taken_or_refused_by_name_for_long(entry, data):
    check(entry, data)
