"""Random valid ensembles, for Hypothesis: every kind of problem, call and size, and learning rates that overflow."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anneal_sgd import Result, methods, problems, reference, schedules, simulate
from method_cases import HARD

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

FAMILIES = {
    "separable": ("AbsoluteValue", "Quadratic", "Huber"),
    "linear": ("LeastSquares", "LogisticRegression", "HingeLoss", "SoftmaxRegression", "LinearModel"),
    "network": ("MLP",),
    "program": ("Custom",),
}
OF_DATA = ("linear", "network")
NOISES = ("none", "rademacher", "gaussian", "uniform")
SCHEDULES: dict[schedules.Schedule, reference.Schedule] = {
    schedules.Constant(): reference.Schedule("constant"),
    schedules.InverseSqrt(): reference.Schedule("inverse_power", 0.5),
    schedules.Polynomial(1.7, floor=0.1): reference.Schedule("polynomial", 1.7, floor=0.1),
    schedules.Linear(warmup_frac=0.2): reference.Schedule("linear", warmup_frac=0.2),
    schedules.Cosine(): reference.Schedule("cosine"),
    schedules.OneMinusSqrt(): reference.Schedule("one_minus_sqrt"),
    schedules.Exponential(0.01): reference.Schedule("exponential", 0.01),
    schedules.StepDecay(0.1, (0.5, 0.75)): reference.Schedule("step_decay", 0.1, table=(0.5, 0.75)),
    schedules.WarmupStableDecay(0.4, "cosine"): reference.Schedule("warmup_stable_decay", 0.4, "cosine"),
    schedules.Tabulated([0.5, 1.0, 0.0]): reference.Schedule("tabulated", table=[0.5, 1.0, 0.0]),
}
METHODS: tuple[methods.Method | Callable[[int], methods.Method], ...] = (
    methods.Adam(),
    methods.Adam(beta2=0.9, weight_decay=0.2, decoupled=True, amsgrad=True),
    methods.RMSProp(0.8, 0.2, 0.5, True, 0.1),
    methods.AdaGradNorm(0.3),
    methods.SignSGD(momentum=0.6),
    methods.NormalizedSGD(momentum=0.6),
    methods.Clipped(methods.Adam(), 0.8),
    methods.Clipped(methods.SGD(0.7, True, 0.2), 0.5, "value"),
    methods.ScheduleFree(methods.SGD(weight_decay=0.1), 0.7, 1.5, 1.0),
    methods.DoG(),
    methods.PolyakMax(2.0, 1.5),
    methods.NGN(),
    methods.Langevin(0.3),
    methods.ExtraGradient(),
    methods.DescentAscent(1, alternating=True),
    *HARD,
)
MINIMUM = 0.125  # of problems on data, instead of a solver's, and of programs
LARGEST_RATE = {"float32": 1e38, "float64": 1e300}


@dataclass(frozen=True)
class Ensemble:
    """What `simulate` is called with; sequences always, so that results have all dimensions."""

    problems: tuple[problems.Problem, ...]
    schedules: tuple[schedules.Schedule, ...]
    base_lr: tuple[float, ...]
    call: dict[str, Any]

    def run(self, **changes: Any) -> Result:
        arguments: dict[str, Any] = {
            "problem": self.problems,
            "schedule": self.schedules,
            "base_lr": self.base_lr,
            "backend": "cpu",
            "keep_samples": True,
            **self.call,
            **changes,
        }
        if arguments["iterate"] != "tail_average":
            del arguments["tail_frac"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # trajectories that diverge are meant
            return simulate(arguments.pop("problem"), arguments.pop("schedule"), **arguments)


def canonical(array: object) -> NDArray[Any]:
    """The bits of an array of floats, every NaN the same one."""
    values = np.asarray(array)
    return np.where(np.isnan(values), np.nan, values).astype(values.dtype).view(f"u{values.dtype.itemsize}")


def assert_same_bits(found: object, expected: object, what: str) -> None:
    np.testing.assert_array_equal(canonical(found), canonical(expected), err_msg=what)


@st.composite
def ensembles(draw: st.DrawFn, family: str, most_steps: int = 150) -> Ensemble:
    """Ensembles of a family, of about a millisecond."""
    dtype = draw(st.sampled_from(["float32", "float64"]))
    of_data = family in OF_DATA
    name = draw(st.sampled_from(FAMILIES[family]))
    several = draw(_on_data(name) if of_data else _separable(name) if family == "separable" else _programs())
    horizons = st.integers(1, 20) if family != "separable" else st.sampled_from([1, 2, 3, 17, 127, 128, 129, 150])
    horizon = draw(horizons.filter(lambda steps: steps <= most_steps))
    call: dict[str, Any] = {
        "horizon": horizon,
        "replicates": draw(st.integers(1, 40)),
        "first_replicate": draw(st.sampled_from([0, 1, 1010, 2**32 - 40])),
        "seed": draw(st.integers(0, 2**64 - 1)),
        "record_at": sorted(draw(st.sets(st.integers(0, horizon), min_size=1, max_size=6))),
        "iterate": draw(st.sampled_from(["last", "average", "tail_average"])),
        "tail_frac": draw(st.floats(0.01, 1.0)),
        "common_random_numbers": draw(st.booleans()),
        "dtype": dtype,
    }
    if of_data:
        momentum = draw(st.sampled_from([0.0, 0.5, 0.9]))
        decay = draw(st.sampled_from([0.0, 0.0, 0.1, 10.0]))
        call |= {"momentum": momentum, "nesterov": momentum > 0 and draw(st.booleans()), "weight_decay": decay}
        if draw(st.booleans()):
            call |= {"method": draw(_methods(several[0])), "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    if family != "separable":
        call["metric"] = several[0]._METRICS
    return Ensemble(
        problems=several,
        schedules=tuple(draw(st.lists(st.sampled_from(list(SCHEDULES)), min_size=1, max_size=2))),
        base_lr=(draw(_ordinary), *draw(st.lists(_rates(LARGEST_RATE[dtype]), min_size=1, max_size=4))),
        call=call,
    )


@st.composite
def _methods(draw: st.DrawFn, problem: Any) -> methods.Method:
    """That a problem on data can take."""
    method = draw(st.sampled_from(METHODS))
    method = method(problem.dimension) if callable(method) else method
    return methods.Adam() if method._unconstrained and problem.projection else method


def _rates(largest: float) -> st.SearchStrategy[float]:
    """Ordinary ones, 0, and ones that make trajectories overflow, at once or after a while."""
    large = [x for x in (10.0, 1e3, 1e6, 1e9, 1e13, 1e20, 1e30, 1e38, 1e80, 1e160, 1e300) if x <= largest]
    return st.one_of(st.sampled_from(large), _ordinary, st.just(0.0))


_ordinary = st.floats(0.001, 1.0)


@st.composite
def _separable(draw: st.DrawFn, name: str) -> tuple[problems.Problem, ...]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    noise, kind = draw(st.sampled_from(NOISES)), draw(st.integers(0, 2))
    d, lowest = draw(st.integers(1, 40)), draw(st.sampled_from([-0.5, 0.5]))  # the latter: boxes without a minimiser
    large = draw(st.sampled_from([1.0, 1.0, 1e8]))

    def one() -> problems.Problem:
        weight, x0 = rng.uniform(0.1, 0.9, d), rng.uniform(-1, 1, d) / d
        lower, upper = large * rng.uniform(-1, lowest, d), large * rng.uniform(1, 2, d)
        if lowest < 0:
            lower = np.where(rng.random(d) < 0.5, lower, -upper)
        x0 = np.clip(x0, lower, upper) if kind == 1 else x0
        projection = (None, ("box", lower, upper), ("ball", large))[kind]
        arguments: dict[str, Any] = {"noise": noise, "x0": x0, "projection": projection}
        if noise != "none":
            arguments["noise_std"] = rng.uniform(0.2, 1.0, d)
        if name == "Huber":
            arguments["width"] = float(rng.uniform(0.1, 1.0))
        return _class(name)(weight, **arguments)

    return tuple(one() for _ in range(draw(st.integers(1, 2))))


@st.composite
def _on_data(draw: st.DrawFn, name: str) -> tuple[problems.Problem, ...]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, d, classes = draw(st.integers(3, 24)), draw(st.integers(1, 20)), draw(st.integers(2, 3))
    scale = draw(st.sampled_from([1.0, 1.0, 1e3]))
    large = draw(st.sampled_from([1.0, 1.0, 1e8]))
    shape: dict[str, Any] = {
        "l2": draw(st.sampled_from([0.0, 0.01, 3.0])),
        "intercept": draw(st.booleans()),
        "projection": draw(st.sampled_from([None, ("ball", large)])),
        "batch_size": draw(st.integers(1, 20)),
        "sampling": draw(st.sampled_from(["with_replacement", "reshuffling", "sequential"])),
    }
    if name == "MLP":
        shape["hidden"] = tuple(draw(st.lists(st.integers(1, 20), min_size=1, max_size=2)))
        shape["activation"] = draw(st.sampled_from(["relu", "tanh"]))
    if name == "LinearModel":
        shape["minimum"] = MINIMUM
    if name == "LinearModel" or (name == "MLP" and draw(st.integers(0, 3)) == 0):
        shape["loss"] = f"{_text(draw, True, draw(st.integers(1, 3)), 3, _LOSS_LEAVES)} + 0.25 * (z - y)"

    def targets(rows: int) -> NDArray[Any]:
        if name == "LeastSquares" or "loss" in shape:
            return rng.standard_normal(rows)
        return np.arange(rows) % (classes if name in ("SoftmaxRegression", "MLP") else 2)

    def weights() -> NDArray[Any] | None:
        """None, or of mean 1 in size, some 0."""
        some = rng.uniform(0.2, 2.0, n) * (rng.random(n) < 0.8)
        return some if draw(st.booleans()) and some.any() else None

    def one() -> problems.Problem:
        X, test = scale * rng.standard_normal((n, d)), scale * rng.standard_normal((5, d))
        return _class(name)(X, targets(n), sample_weight=weights(), test=(test, targets(5)), **shape)

    first = one()
    several = draw(st.sampled_from([(first,), (first, first.replace(l2=0.5)), (first, one())]))
    for problem in several:
        if "suboptimality" in problem._METRICS and "minimum" not in shape:
            problem._take_minimum(MINIMUM)
    return several


# Texts of vectors and of numbers, {0}, {1}, .. vectors and {s} a number themselves. Constants stand beside symbols:
# what is computed of constants alone while tracing may be no number.
_LEAVES = (
    ["x", "b", "x[::-1]", "x * x", "(b - x)"],
    ["a", "x[0]", "(0.5 - b[-1])", "2.5 * a", "sum(x)", "max(b * x)"],
)
_FORMS = (
    [
        "({0} + {1})", "({0} - {1})", "{0} * {1}", "{0} / (1.5 + {1})", "{s} * {0}", "({0} - {s})", "({0})[::-1]",
        *(f"{f} ({{0}})" for f in ("abs", "exp", "sin", "cos", "tanh", "square", "sign", "arctan", "erf", "floor")),
        "sqrt(abs({0}))",
        "log({0} * {0})", "abs({0}) ** 1.5", "({0}) ** -1", "maximum({0}, {1})", "minimum({0}, {s})",
        "clip({0}, -0.75, 2)", "where({0} < {1}, {0}, {s})", "where({0} <= {s}, {1}, {0})",
        "where(({0} == {1}) | ({s} >= 0.25), {1}, -{0})", "({0} @ {matrix})",
    ],
    [
        "sum({0})", "max({0})", "min({0})", "mean({0})", "dot({0}, {1})", "norm({0})", "({s} * {s})", "tanh({s})",
        "where({s} > 0.5, sum({0}), {s})", "({0})[0]",
    ],
)  # fmt: skip
_PROGRAM_NOISES = (
    "0.3 * draw.gaussian()",
    "a * draw.student_t(3.0, size=()) * x",
    "draw.stable(1.5) - draw.exponential()",
    "draw.uniform()[::-1] * draw.rademacher() + 0.1 * draw.laplace()",
)
_PROGRAM_STARTS = ("b * draw.gaussian()", "draw.uniform() + draw.pareto(4.0, size=())", "a * draw.rademacher()[::-1]")
_PROGRAM_PROJECTIONS = ("clip(x, -1, 1)", "x / maximum(1, norm(x))", "minimum(x, 2 + a * a)")  # which leave a start


_LOSS_LEAVES = (
    ["([0.3, -0.7, 1.5] * z)", "([1.0, -2.0, 0.5] - y)", "(z * [1.0, 1.0, -1.0])"],
    ["z", "y", "(z - y)", "(y * z)"],
)


def _text(draw: st.DrawFn, number: bool, depth: int, d: int, leaves: tuple[list[str], list[str]] = _LEAVES) -> str:
    """Of a number or of a vector of d."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(leaves[number]))
    form = draw(st.sampled_from(_FORMS[number]))
    matrix = [[round(float(np.sin(i + j * d)), 3) for j in range(d)] for i in range(d)] if "{matrix}" in form else ""
    vectors = [_text(draw, False, depth - 1, d, leaves) if f"{{{k}}}" in form else "" for k in range(2)]
    return form.format(*vectors, s=_text(draw, True, depth - 1, d, leaves) if "{s}" in form else "", matrix=matrix)


@st.composite
def _programs(draw: st.DrawFn) -> tuple[problems.Problem, ...]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    d = draw(st.sampled_from([1, 2, 3, 5, 33, 40]))
    f = f"{_text(draw, True, draw(st.integers(1, 4)), d)} + 0 * (a + b[0])"
    hypothesis.assume(len(f) <= 10_000)  # what a text may have; matrices are long
    noise = draw(st.sampled_from([*NOISES, *_PROGRAM_NOISES]))
    large = draw(st.sampled_from([1.0, 1.0, 1e8]))
    sets = [None, ("box", rng.uniform(-1, -0.5, d) * large, 0.75 * large), ("ball", large), *_PROGRAM_PROJECTIONS]
    projection, start = draw(st.sampled_from(sets)), draw(st.sampled_from([None, *_PROGRAM_STARTS]))

    def one() -> problems.Problem:
        level = {"noise_std": rng.uniform(0.2, 1.0, d)} if noise in NOISES[1:] else {}
        x0 = rng.uniform(-0.5, 0.5, d) / d if start is None else start
        parameters = {"a": rng.uniform(0.1, 0.9), "b": rng.uniform(-1, 1, d)}
        value = MINIMUM if start is not None else float(problems.Custom(f, x0=x0, parameters=parameters).value(x0))
        return problems.Custom(
            f,
            x0=x0,
            dimension=d,
            parameters=parameters,
            noise=noise,
            projection=projection,
            minimum=value if value < MINIMUM else MINIMUM,  # one above f(x0) is refused
            **level,
        )

    return tuple(one() for _ in range(draw(st.integers(1, 2))))


def _class(name: str) -> Callable[..., Any]:
    return getattr(problems, name)  # type: ignore[no-any-return]


def picked(draw: st.DrawFn, options: Sequence[Any]) -> tuple[int, ...]:
    """Numbers of some of the options, in any order."""
    numbers = st.lists(st.integers(0, len(options) - 1), min_size=1, max_size=len(options), unique=True)
    return tuple(draw(numbers))
