"""Random calls of `simulate` against the NumPy reference, and its statistics against exact sums of rational numbers."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from anneal_sgd import problems, reference, runtime
from anneal_sgd.programs import Program
from anneal_sgd.reference import programs as reference_programs
from random_ensembles import FAMILIES, MINIMUM, OF_DATA, SCHEDULES, Ensemble, assert_same_bits, ensembles, picked

hypothesis = pytest.importorskip("hypothesis")
HealthCheck, given, settings, st = hypothesis.HealthCheck, hypothesis.given, hypothesis.settings, hypothesis.strategies

SHORT = settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
KINDS = {"AbsoluteValue": "absolute_value", "Quadratic": "quadratic", "Huber": "huber"}
LOSSES = {"LeastSquares": "squared", "LogisticRegression": "logistic", "HingeLoss": "hinge"}


# --- trajectories -----------------------------------------------------------------------------------------------------


def check(ensemble: Ensemble, data: st.DataObject) -> None:
    """Some replicates of some configs to the bit; statistics of all."""
    isa, threads = data.draw(st.sampled_from(runtime.supported_isas()), "isa"), data.draw(st.integers(1, 4), "threads")
    result = ensemble.run(isa=isa, threads=threads)
    axes = (ensemble.problems, ensemble.schedules, ensemble.base_lr)
    configs = list(itertools.product(*(range(len(axis)) for axis in axes)))
    kept = list(picked(data.draw, range(ensemble.call["replicates"]))[:3])
    for c in picked(data.draw, configs)[:2]:
        expected = simulated(ensemble, configs[c], c, kept)
        found = np.asarray(result.samples)[configs[c]][..., kept]
        if family_of(ensemble) in OF_DATA and not is_tame(ensemble, configs[c]):
            # What infinite factors make of padding is open: finite values are right, and none is where there is none.
            expected = np.where(np.isfinite(found), expected, np.nan)
            found = np.where(np.isfinite(found), found, np.nan)
        assert_same_bits(found, expected, f"config {configs[c]}, replicates {kept}")
    check_statistics(result)


def family_of(ensemble: Ensemble) -> str:
    name = type(ensemble.problems[0]).__name__
    return next(family for family, names in FAMILIES.items() if name in names)


def is_tame(ensemble: Ensemble, config: tuple[int, int, int]) -> bool:
    """A problem on data whose numbers are too small to overflow in the steps that are taken."""
    problem: Any = ensemble.problems[config[0]]
    rate = ensemble.base_lr[config[2]] * (1.0 if problem.sample_weight is None else problem._train.unit_weights.max())
    if getattr(problem, "loss", None) is not None:  # whose derivative may be anything
        return False
    return rate <= 1.0 and np.abs(problem.X).max() < 100.0 and problem.l2 < 1.0


def simulated(ensemble: Ensemble, config: tuple[int, int, int], number: int, kept: list[int]) -> np.ndarray:
    """What the reference says: (records, replicates), or (records, metrics, replicates)."""
    call = ensemble.call
    arguments: dict[str, Any] = {
        "schedule": SCHEDULES[ensemble.schedules[config[1]]],
        "base_lr": ensemble.base_lr[config[2]],
        "replicates": [call["first_replicate"] + r for r in kept],
        "stream": 0 if call["common_random_numbers"] else number,
    }
    arguments |= {key: call[key] for key in ("horizon", "seed", "record_at", "iterate", "tail_frac", "dtype")}
    problem: Any = ensemble.problems[config[0]]
    if "metric" not in call:
        return reference.simulate(problem=separable(problem), **arguments)
    if isinstance(problem, problems.Custom):
        arguments |= program(problem)
        found = [reference_programs.simulate(metric=name, **arguments) for name in call["metric"]]
        return np.stack(found, axis=1)
    arguments |= {key: call[key] for key in ("momentum", "nesterov", "weight_decay")}
    if "method" in call:
        arguments["method"] = problem._method_program(call["method"])
    found = reference.networks.simulate(network=network(problem), **arguments)
    return np.stack([found[name] for name in call["metric"]], axis=1)


def separable(problem: Any) -> reference.Problem:
    kind, *ends = problem.projection or ("none",)
    return reference.Problem(
        KINDS[type(problem).__name__],
        weight=problem.curvature if isinstance(problem, problems.Quadratic) else problem.slope,
        x0=problem.x0,
        shape_parameter=getattr(problem, "width", 1.0),
        noise=problem.noise,
        noise_std=problem.noise_std,
        projection=kind,
        minimum=smallest(problem),
        **dict(zip({"none": (), "box": ("lower", "upper"), "ball": ("radius",)}[kind], ends, strict=True)),
    )


def program(problem: problems.Custom) -> dict[str, Any]:
    kind, ends = problem._common[3], problem.projection
    drawn = isinstance(problem.x0, Program)
    return {
        "program": problem.program,
        "x0": None if drawn else problem.x0,
        "dimension": problem.dimension,
        "parameters": problem.parameters,
        "projection": kind,
        "minimum": problem.minimum,
        **({"lower": ends[1], "upper": ends[2]} if kind == "box" else {"radius": ends[1]} if kind == "ball" else {}),
    }


def smallest(problem: Any) -> float:
    """f*, in the summation order of NumPy, checked against an exact sum."""
    lower, upper = problem.projection[1:] if problem.projection and problem.projection[0] == "box" else (0.0, 0.0)
    nearest = np.clip(np.zeros_like(problem.x0), lower, upper)
    weight = problem.curvature if isinstance(problem, problems.Quadratic) else problem.slope
    terms = []
    for w, x in zip(weight.tolist(), nearest.tolist(), strict=True):
        a, d = Fraction(w), abs(Fraction(x))
        if isinstance(problem, problems.Quadratic):
            terms.append(a * d * d / 2)
        elif isinstance(problem, problems.Huber):
            width = Fraction(problem.width)
            terms.append(a * (d * d / (2 * width) if d <= width else d - width / 2))
        else:
            terms.append(a * d)
    assert math.isclose(problem.minimum, float(sum(terms)), rel_tol=1e-14)
    return float(problem.minimum)


def network(problem: Any) -> reference.Network:
    loss = getattr(problem, "loss", None) or LOSSES.get(type(problem).__name__, "softmax")
    return reference.Network(
        loss,
        problem.X,
        problem.y,
        outputs=int(problem.y.max()) + 1 if loss == "softmax" else 1,
        hidden=getattr(problem, "hidden", ()),
        activation=getattr(problem, "activation", "relu"),
        intercept=problem.intercept,
        x0=problem.x0,
        l2=problem.l2,
        radius=problem.projection[1] if problem.projection else math.inf,
        minimum=MINIMUM,
        batch_size=problem.batch_size,
        sampling=problem.sampling,
        sample_weight=problem.sample_weight,
        test_X=problem.test[0],
        test_y=problem.test[1],
    )


# --- statistics -------------------------------------------------------------------------------------------------------


def check_statistics(result: Any) -> None:
    """Of every cell, from its samples: counts and extremes exact, sums to rounding, bits as the reference has them."""
    samples = np.asarray(result.samples)
    expected = reference.moments(samples, result.first_replicate)
    np.testing.assert_array_equal(result.mean, np.where(expected.count > 0, expected.mean, np.nan))
    deviation = np.sqrt(expected.m2 / np.maximum(expected.count - 1, 1))
    np.testing.assert_array_equal(result.std, np.where(expected.count > 1, deviation, np.nan))
    for cell in np.ndindex(result.mean.shape):
        values = [float(value) for value in samples[cell] if np.isfinite(value)]
        assert (result.count[cell], result.diverged[cell]) == (len(values), samples.shape[-1] - len(values))
        if not values:
            assert np.isnan([result.mean[cell], result.std[cell], result.min[cell], result.max[cell]]).all()
            continue
        assert (result.min[cell], result.max[cell]) == (min(values), max(values))
        size = max(map(abs, values))
        exact = sum(map(Fraction, values)) / len(values)
        assert abs(Fraction(float(result.mean[cell])) - exact) <= Fraction(size) * Fraction(1e-15)
        if len(values) > 1 and size < 1e150:
            squares = sum((Fraction(value) - exact) ** 2 for value in values) / (len(values) - 1)
            assert math.isclose(result.std[cell], math.sqrt(squares), rel_tol=1e-12, abs_tol=1e-15 * size)
            assert math.isclose(result.stderr[cell], result.std[cell] / math.sqrt(len(values)), rel_tol=1e-15)
    check_quantiles(result, samples)


def check_quantiles(result: Any, samples: np.ndarray) -> None:
    """Those of NumPy where no trajectory diverged; each is one of the values, or between two neighbours."""
    q = [0.0, 0.1, 0.5, 0.77, 1.0]
    found = result.quantile(q)
    ordered = np.sort(np.where(np.isfinite(samples), samples, np.inf).astype(np.float64), axis=-1)
    last = samples.shape[-1] - 1
    for i, fraction in enumerate(q):
        place = fraction * last
        low, high = ordered[..., math.floor(place)], ordered[..., math.ceil(place)]
        assert np.all((low <= found[i]) & (found[i] <= high))
        with np.errstate(over="ignore", invalid="ignore"):
            between = low + (high - low) * (place - math.floor(place))
        usual = np.isfinite(between)
        np.testing.assert_allclose(found[i][usual], between[usual], rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@SHORT
@given(st.data())
def test_random_calls_agree_with_the_reference(family, data):
    check(data.draw(ensembles(family, most_steps=17 if family == "separable" else 5)), data)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@LONG
@given(st.data())
def test_very_many_random_calls_agree_with_the_reference(family, data):
    check(data.draw(ensembles(family)), data)
