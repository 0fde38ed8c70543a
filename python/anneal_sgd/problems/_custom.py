"""A problem of one's own: what NumPy operations express, traced once and run by the compiled core."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from .. import _core, _validate
from .._arrays import FloatArray, frozen, short
from .._locks import unlocked_property
from .._validate import FINITE, NON_NEGATIVE, shown
from ..programs import Program, canonical, differentiated, evaluate
from ..programs._canonical import ordered
from ..programs._combine import alone, combined, noisy, of_state, substituted, summed, with_method
from ..programs._draws import Draws
from ..programs._ir import Shape
from ..programs._lower import lowered
from ._base import LARGEST_DIMENSION, ROUNDING, Problem, Projection
from ._not_found import NotFoundError
from ._own_metric import OwnMetric, check_point, check_state, program_of
from ._search import AGREEMENT, checked_minimum, lowest_value
from ._sets import check_set, numbers_of, parsed_set

_NOISES = tuple(kind.name for kind in _core.NoiseKind)
_POINTS = 8  # at which a gradient that is given is compared with the one that is derived
_RELATIVE = 1e-6  # by how much it may differ there


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Custom(Problem):
    """A function of one's own, with its noise: f(x), or f(x, a, ...), called with symbols for numbers.

    `f`: a function of the point, an array of shape (d,), and of its `parameters` by their names, which returns one
    number. Here and below what has the name of a parameter, or "draw", is that wherever it stands, "x" is the point,
    and other names are the point and the draws in this order. It may use NumPy: operators, `np.sum`, `max`, `min`,
    `mean`, `var`, `std`, `prod`, `cumsum`, `median`, `dot`, `@` with a constant matrix, `where`, `abs`, `sqrt`, `exp`,
    `log`, `log1p`, `logaddexp`, `sin`, `cos`, `tanh`, `maximum`, `minimum`, `clip`, `scipy.special.expit` and many more
    (the list is in "Your own problem"), powers with a constant exponent, or with a
    parameter for one of what is seen to be >= 0, `np.abs(x) ** q`, slices, known indices and small
    matrices, `x.reshape(3, 4)`. Arrays that it refers to are constants. What cannot be traced, such as a branch on a
    value, is a TypeError that names the operation and the line. Or a text in a small language of such names,
    `"a * sum(abs(x) ** 1.5)"` (`programs.parse`), which is read and never executed as code; so may be the other
    functions. The gradient is derived; at kinks it is the subgradient of docs/stream.md, "Programs".

    - `x0`: the start, a number or (d,), inside the set; or a function of draw (as in `noise`) and parameters, so that
      every replicate starts at a point of its own, which is projected. `dimension`: d, where x0 is no array (1 by
      default).
    - `parameters`: a dictionary of numbers and arrays of shape (n,), which problems of one call may differ in.
    - `gradient`: a function like f that returns f'(x), (d,), in place of the derived one, with which it is compared at
      a few points.
    - `noise`: added to the gradient in every step: "none", "rademacher", "gaussian" or "uniform", of standard deviation
      `noise_std`, a number or (d,), as in a built-in problem; or a function of x, draw and parameters. `draw` has the
      methods `gaussian()`, `rademacher()`, `uniform()`, of mean 0 and variance 1; `exponential()`, of mean 1;
      `laplace()`, of variance 2; `student_t(nu)`; `stable(alpha)`, symmetric, of characteristic function
      $exp(-|t|^alpha)$; `weibull(shape)`, with $P(X > x) = exp(-x^shape)$; and `pareto(alpha)`, with
      $P(X > x) = x^-alpha$ from 1 on (NumPy's `pareto` is this less 1). Each is of shape (d,), or one number for all
      coordinates with `size=()`; each call is a new draw.
    - `oracle`: a function of x, draw and parameters that returns the stochastic gradient itself, in place of `noise`.
    - `projection`: None, ("box", lower, upper) or ("ball", radius), as in a built-in problem; or a function of x and
      parameters that returns where an iterate goes after each step. x0 must stay where it is.
    - `minimum`: f*, for the metric "suboptimality"; without it f itself is recorded, "value". "solve": the lowest
      value that local searches from twelve starts find, where two of them agree to 1e-7 of the fall of f from x0, or
      1e-7 if that is more; found, not proved, and of little use where f has kinks or many valleys. A number above f(x0)
      is refused, no other is checked: where f is below it, 0 is recorded. `metric=["suboptimality", "value"]` records
      both, and a `result.min` of "value" below the number tells.

    `simulate(problem, .., metric={"distance": lambda x: ..})` records functions of one's own as well.

    It runs on every back end, with the bits of docs/stream.md. ValueError, TypeError: an argument
    that is not as above.

    >>> import numpy as np
    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.Custom(
    ...     lambda x, a: a * np.sum(np.abs(x) ** 1.5), x0=np.ones(3), parameters={"a": 0.5}, minimum=0.0,
    ...     noise="gaussian", noise_std=1.0,
    ... )
    >>> problem.value([1.0, 4.0, 0.0]).item(), problem.gradient([1.0, 4.0, 0.0]).tolist()
    (4.5, [0.75, 1.5, 0.0])
    >>> result = simulate(problem, schedules.Linear(), base_lr=0.1, horizon=1000, replicates=1024)
    >>> bool(result.mean < 0.15)
    True
    """

    program: Program
    """Of the value and of the stochastic gradient, in canonical form."""
    parameters: Mapping[str, FloatArray]
    projection: tuple[str, FloatArray, FloatArray] | tuple[str, float] | Program | None
    """As given; of a function its program."""
    x0: FloatArray | Program
    """(d,), or the program of a function of draws."""
    _exact: Program = field(init=False)
    _numbers: FloatArray = field(init=False)
    _minimum: float | str | None = field(init=False)

    _COMMON: ClassVar[tuple[str, ...]] = (
        "be of one kind",
        "be of one dimension",
        "have one program and differ in `parameters` alone",
        "have one kind of projection",
    )
    _METRICS: ClassVar[tuple[str, ...]] = ("value", "suboptimality")

    def __init__(
        self,
        f: Callable[..., Any] | str,
        *,
        x0: ArrayLike | Callable[..., Any] | str,
        parameters: Mapping[str, ArrayLike] | None = None,
        gradient: Callable[..., Any] | str | None = None,
        noise: Callable[..., Any] | str = "none",
        noise_std: ArrayLike | None = None,
        oracle: Callable[..., Any] | str | None = None,
        projection: Projection | Callable[..., Any] | str = None,
        minimum: float | Literal["solve"] | None = None,
        dimension: int | None = None,
    ) -> None:
        """Trace and check everything."""
        start, d = _start(x0, dimension)
        given = _parameters(parameters)
        own_set = projection if callable(projection) or isinstance(projection, str) else None
        kind, lower, upper, radius = parsed_set(cast(Projection, projection) if own_set is None else None)
        ends = [np.broadcast_to(of_dimension(name, end, d), d) for name, end in (("lower", lower), ("upper", upper))]
        check_set(ends[0], ends[1], radius, np.clip(0.0, *ends) if start is None else start)
        shapes = {name: value.shape for name, value in given.items()}
        value = _objective(f, d, shapes)
        derived = exact = canonical(differentiated(value))
        if gradient is not None:
            exact = _pair(value, _vector("gradient", gradient, d, shapes))
            _compare(exact, derived, given, np.zeros(d) if start is None else start, ends[0], ends[1])
        program = _stochastic(value, exact, given, shapes, d, noise, noise_std, oracle)
        points = {}
        if start is None:
            points["start"] = canonical(_vector("x0", x0, d, shapes, draws=True, point=False))
        if own_set is not None:
            kind, points["projection"] = "own", canonical(_vector("projection", own_set, d, shapes))
            if start is not None:
                _check_fixed(points["projection"], given, start)
        if points:
            outputs = {name: (program, name) for name in ("value", "gradient")}
            program = ordered(combined(**outputs, **{name: (own, "value") for name, own in points.items()}))
        taken = {node.attribute for part in (exact, program) for node in part.nodes if node.op == "parameter"}
        for name in given:
            if name not in taken:
                raise ValueError(f"parameters must be taken by f or another function, {name!r} is by none")
        known = checked_minimum(minimum)
        if known == "solve" and own_set is not None:
            raise ValueError("minimum must be a number or None where the projection is one's own, got 'solve'")
        if start is not None and isinstance(known, float):
            _check_below(known, exact, given, start)
        self._adopt(exact, program, given, kind, ends, radius, np.zeros(d) if start is None else start, known)

    def _adopt(
        self,
        exact: Program,
        program: Program,
        parameters: Mapping[str, FloatArray],
        set_kind: str,
        ends: Sequence[FloatArray],
        radius: float,
        x0: FloatArray,
        minimum: float | str | None,
    ) -> None:
        parts = [parameters[name].reshape(-1) for name, _ in program.parameters]
        numbers = np.concatenate([*parts, *ends, x0, [radius]]) + 0.0  # no negative zeros: equal ones have equal bytes
        d = x0.size
        own = {name: alone(program, name) for name, _ in program.outputs if name in ("start", "projection")}
        sets = {"none": None, "box": ("box", *ends), "ball": ("ball", radius), "own": own.get("projection")}
        self.__dict__.update(
            {
                "program": program,
                "parameters": {name: frozen(value) for name, value in parameters.items()},
                "projection": sets[set_kind],
                "x0": own.get("start", frozen(x0)),
                "_exact": exact,
                "_numbers": frozen(numbers),
                "_minimum": minimum,
                "_common": (type(self), d, _Programs(program, exact), set_kind),
            }
        )
        if minimum is not None:
            self.__dict__["_METRICS"] = ("suboptimality", "value")

    @property
    def _programs(self) -> tuple[Program, ...]:
        return (self.program,)

    @property
    def _solves_for_minimum(self) -> bool:
        return self._minimum == "solve"

    @unlocked_property
    def minimum(self) -> float:
        """f*, as given; with `minimum="solve"` the lowest value found, at the first use.

        ValueError: it was not given, or the search is in doubt. ImportError: SciPy is missing; the extra
        `anneal_sgd[data]` brings it.

        >>> Custom(lambda x: x[0] ** 2, x0=1.0, minimum=0.0).minimum
        0.0
        >>> round(Custom(lambda x: (x[0] - 1) ** 2 + 3, x0=5.0, minimum="solve").minimum, 9)
        3.0
        """
        if self._minimum is None:
            raise ValueError("metric must be 'value', or minimum must be given: f* is not known")
        if not isinstance(self._minimum, str):
            return self._minimum
        lower, upper, x0 = self._points
        ends, radius = (lower, upper), float(self._numbers[-1])
        try:
            return lowest_value(self._value_and_gradient, np.clip(x0, *ends), self._common[3], ends, radius)
        except NotFoundError as error:
            raise ValueError(f"minimum must be given as a number, it was not found: {error}") from None

    @property
    def _points(self) -> FloatArray:
        """Ends of the box and x0, zeros where it is drawn: (3, d)."""
        return self._numbers[-1 - 3 * self.dimension : -1].reshape(3, -1)

    def value(self, x: ArrayLike) -> FloatArray:
        """f(x): for x of shape (..., d) float64 of shape (...); where d = 1 a single number will do.

        ValueError: the last axis of x has not d elements.

        >>> Custom(lambda x: (x[1] - x[0] ** 2) ** 2, x0=[0.0, 1.0]).value([[0.0, 1.0], [1.0, 1.0]]).tolist()
        [1.0, 0.0]
        """
        return self._evaluated("value", x)

    def gradient(self, x: ArrayLike) -> FloatArray:
        """f'(x), without noise: float64 of the shape of x, (..., d).

        ValueError: the last axis of x has not d elements.

        >>> Custom(lambda x: (x[1] - x[0] ** 2) ** 2, x0=[0.0, 1.0]).gradient([1.0, 2.0]).tolist()
        [-4.0, 2.0]
        """
        point = self._point(x)
        return np.asarray(np.moveaxis(self._evaluated("gradient", x), 0, -1).reshape(point.shape)).reshape(np.shape(x))

    def _value_and_gradient(self, point: FloatArray) -> tuple[float, FloatArray]:
        found = self._outputs(point)
        return float(found["value"]), np.array(np.broadcast_to(found["gradient"], point.shape), np.float64)

    def _outputs(self, point: FloatArray) -> dict[str, FloatArray]:
        names = {name for name, _ in self._exact.parameters}
        values = {name: value for name, value in self.parameters.items() if name in names}
        with np.errstate(all="ignore"):
            return evaluate(self._exact, point, values)

    def _evaluated(self, output: str, x: ArrayLike) -> FloatArray:
        point = np.moveaxis(self._point(x), -1, 0)
        result = self._outputs(point)[output]
        shape = point.shape if output == "gradient" else point.shape[1:]
        return np.array(np.broadcast_to(result, shape), np.float64)

    def _own_metric(self, name: str, f: object, state: Mapping[str, Shape]) -> OwnMetric:
        shapes = dict(self.program.parameters)
        exact = {"value": (), "gradient": (self.dimension,)}  # of f, where no parameter has that name
        try:
            program = program_of(f"metric {name!r}", f, self.dimension, {**state, **exact, **shapes})
        except ValueError as error:
            known = ", ".join(["x", *{**exact, **shapes, **state}])
            what = f"metric {name!r} must be a function of {known}: " if str(error).startswith("parameters") else ""
            raise ValueError(f"{what}{error}") from None
        check_point(name, f, {**exact, **shapes, **state})
        program = of_state(program, ["" if part in shapes or part in exact else part for part in state])
        program = canonical(substituted(program, self._exact, [one for one in exact if one not in shapes]))
        if (shape := program.nodes[program.output("value")].shape) != ():
            raise ValueError(f"metric {name!r} must return one number, got shape {shape}")
        return OwnMetric(name, program)

    def _check_own_metric(self, metric: OwnMetric, state: Mapping[str, Shape]) -> None:
        if (metric.program.dimension, metric.program.parameters) != (self.dimension, self.program.parameters):
            raise ValueError(f"metric {metric.name!r} must be of a problem with this one's dimension and parameters")
        check_state(metric, state)

    def _run_program(self, own: Sequence[OwnMetric], method: Program | None) -> Program:
        """With the method's step in place of the gradient, and the metrics' values as further outputs."""
        program = self.program if method is None else with_method(self.program, method)
        if not own:
            return program
        outputs = {name: (program, name) for name, _ in program.outputs}
        outputs |= {f"metric {i}": (metric.program, "value") for i, metric in enumerate(own)}
        return ordered(combined(**outputs))

    @classmethod
    def _stack(
        cls,
        problems: Sequence[Custom],
        dtype: str,
        *,
        with_minimum: bool,
        own: Sequence[OwnMetric] = (),
        method: Program | None = None,
    ) -> _core.Problems:
        d = problems[0].dimension
        rows = np.stack([p._numbers for p in problems])
        count = rows.shape[1] - 3 * d - 1
        return _core.Problems(
            program=lowered(problems[0]._run_program(own, method)),
            projection=_core.ProjectionKind["none" if problems[0]._common[3] == "own" else problems[0]._common[3]],
            parameters=rows[:, :count],
            lower=rows[:, count : count + d],
            upper=rows[:, count + d : count + 2 * d],
            x0=rows[:, count + 2 * d : count + 3 * d],
            radius=rows[:, -1],
            minimum=np.array([p.minimum if with_minimum else 0.0 for p in problems]),
        )

    @classmethod
    def _refusal(cls, problems: Sequence[Custom], dtype: str) -> str:
        largest = float(np.finfo(dtype).max)
        if (constant := problems[0].program.largest_constant) > largest:
            return f"f must have constants of size up to {largest:.4g} in {dtype}, got {short(constant)}"
        for p in problems:
            finite = p._numbers[np.isfinite(p._numbers)]
            if finite.size and np.abs(finite).max() > largest:
                return f"parameters, projection and x0 must be of size up to {largest:.4g} in {dtype}"
            if p._common[3] == "box":
                lower, upper, _ = p._points.astype(dtype)
                if not np.all(lower < upper):
                    return f"projection must be a box with lower < upper in {dtype}"
        return ""

    @classmethod
    def _varying(cls, problems: Sequence[Custom]) -> dict[str, FloatArray]:
        named = {name: np.stack([p.parameters[name] for p in problems]) for name in problems[0].parameters}
        named["x0"] = np.stack([p._points[2] for p in problems])
        if problems[0]._common[3] == "ball":
            named["radius"] = np.array([p._numbers[-1] for p in problems])
        return {name: values for name, values in named.items() if np.any(values != values[0])}

    @property
    def _bytes(self) -> bytes:
        return self._numbers.tobytes() + repr(self._minimum).encode()

    def __repr__(self) -> str:
        """The program's value, and the numbers of the problem."""
        texts = [
            f"{name}={short(v.item()) if v.size == 1 else shown(v.tolist())}" for name, v in self.parameters.items()
        ]
        return (
            f"Custom(<program {self.program.digest[:8]}>, dimension={self.dimension}{''.join(', ' + t for t in texts)})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by content: the program, not the function."""
        lower, upper, x0 = self._points
        arguments = (
            self._exact,
            self.program,
            dict(self.parameters),
            self._common[3],
            [lower, upper],
            float(self._numbers[-1]),
            x0,
            self._minimum,
        )
        return _rebuilt, arguments


def _rebuilt(*content: Any) -> Custom:
    problem = Custom.__new__(Custom)
    problem._adopt(*content)
    return problem


@dataclass(frozen=True, repr=False)
class _Programs:
    """What problems of one call share."""

    program: Program
    exact: Program

    def __repr__(self) -> str:
        """What campaigns know the programs by."""
        return repr((self.program.digest, self.exact.digest))

    def __str__(self) -> str:
        """With noise, and without."""
        return f"<programs {self.program.digest[:8]}, {self.exact.digest[:8]}>"


def _named_noise(noise: object) -> str:
    if isinstance(noise, str) and noise not in _NOISES and not noise.startswith("_") and hasattr(Draws, noise):
        names = ", ".join(map(repr, _NOISES))
        raise ValueError(
            f"noise must be one of {names}, or a function such as lambda draw: draw.{noise}(..), got {noise!r}"
        )
    return _validate.choice("noise", noise, _NOISES)


def _objective(f: object, d: int, shapes: Mapping[str, Shape]) -> Program:
    """Of a function or a text whose value is one number."""
    program = program_of("f", f, d, shapes)
    if callable(f) and {*inspect.signature(f).parameters} <= {*shapes}:
        raise ValueError(f"f must take the point beside its parameters, got a function of {', '.join(shapes)}")
    shape = program.nodes[program.output("value")].shape
    if shape in shapes.values() and shape != ():
        raise ValueError(
            f"f must return one number, got shape {shape}, which a parameter has: it is a vector; for a sweep "
            "make a list of problems, or a campaigns.ProblemGrid"
        )
    return program


def _stochastic(
    value: Program,
    exact: Program,
    parameters: dict[str, FloatArray],
    shapes: Mapping[str, Shape],
    d: int,
    noise: Callable[..., Any] | str,
    noise_std: ArrayLike | None,
    oracle: Callable[..., Any] | str | None,
) -> Program:
    """Of the value, and of the gradient that a step sees; a `noise_std` joins the parameters."""
    program, named = exact, isinstance(noise, str) and (noise in _NOISES or noise.isidentifier())
    if oracle is not None:
        if noise != "none":
            raise ValueError(f"noise must be left out where an oracle is given, got {shown(noise)}")
        program = _pair(value, _vector("oracle", oracle, d, shapes, draws=True))
    elif not named:
        program = canonical(summed(exact, _vector("noise", noise, d, shapes, draws=True)))
    elif _named_noise(noise) != "none":
        if noise_std is None:
            raise ValueError(f"noise_std must be given where noise is {noise!r}")
        if "noise_std" in parameters:
            raise ValueError("parameters must not be named 'noise_std', which is a parameter already")
        std = of_dimension("noise_std", numbers_of("noise_std", noise_std, NON_NEGATIVE), d)
        parameters["noise_std"] = std
        program = canonical(noisy(exact, str(noise), std.shape))
    if noise_std is not None and (noise == "none" or not named):
        raise ValueError(f"noise_std must be left out where noise is no name of one, got {shown(noise_std)}")
    return program


def _pair(value: Program, gradient: Program) -> Program:
    return canonical(combined(value=(value, "value"), gradient=(gradient, "value")))


def _vector(name: str, f: object, dimension: int, shapes: Mapping[str, Shape], **options: bool) -> Program:
    """Of a function or a text whose value is as long as the point."""
    program = program_of(name, f, dimension, shapes, **options)
    if (shape := program.nodes[program.output("value")].shape) not in ((), (dimension,)):
        raise ValueError(f"{name} must return one number or {dimension}, got shape {shape}")
    return program


def _start(x0: ArrayLike | Callable[..., Any], dimension: int | None) -> tuple[FloatArray | None, int]:
    """None where it is drawn, and d."""
    if callable(x0) or isinstance(x0, str):
        size = 1 if dimension is None else dimension
        return None, _validate.integer("dimension", size, lowest=1, highest=LARGEST_DIMENSION)
    start = _validate.real_array("x0", x0, FINITE, max_ndim=1)
    d = start.size
    if dimension is not None:
        d = _validate.integer("dimension", dimension, lowest=1, highest=LARGEST_DIMENSION)
        if start.ndim == 1 and start.size != d:
            raise ValueError(f"x0 must be one number or have {d} elements like dimension, got {start.size}")
    return np.array(np.broadcast_to(start, d)), d


def _parameters(given: Mapping[str, ArrayLike] | None) -> dict[str, FloatArray]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(f"parameters must be a dictionary of names and numbers, got {shown(given)}")
    for name in given:
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"parameters must have names that a function's arguments can have, got {shown(name)}")
        if name in ("x", "draw"):
            raise ValueError(f"parameters must not be named {name!r}, which functions take already")
    return {name: _validate.real_array(f"parameters {name!r}", v, FINITE, max_ndim=1) for name, v in given.items()}


def of_dimension(name: str, value: float | FloatArray, d: int) -> FloatArray:
    array = np.asarray(value, np.float64)
    if array.ndim == 1 and array.size != d:
        raise ValueError(f"{name} must be one number or have {d} elements, got {array.size}")
    return array


def _check_fixed(projection: Program, parameters: Mapping[str, FloatArray], x0: FloatArray) -> None:
    """ValueError: the projection moves the start."""
    names = {name for name, _ in projection.parameters}
    with np.errstate(all="ignore"):
        found = evaluate(projection, x0, {name: value for name, value in parameters.items() if name in names})
    y = np.broadcast_to(found["value"], x0.shape)
    if not np.all(np.abs(y - x0) <= 1e3 * ROUNDING * (1.0 + np.abs(x0))):
        after = f"{shown(x0.tolist())}, of which it makes {shown(y.tolist())}"
        raise ValueError(f"x0 must be a point that the projection leaves where it is, got {after}")


def _check_below(minimum: float, exact: Program, parameters: Mapping[str, FloatArray], x0: FloatArray) -> None:
    """ValueError: f is below it at the start already."""
    with np.errstate(all="ignore"):
        value = float(evaluate(alone(exact, "value"), x0, parameters)["value"])
    if value < minimum - AGREEMENT * (1.0 + abs(minimum)):
        raise ValueError(f"minimum must be f*, which is at most f(x0) = {short(value)}, got {short(minimum)}")


def _compare(
    given: Program,
    derived: Program,
    parameters: Mapping[str, FloatArray],
    x0: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
) -> None:
    """ValueError: the gradient that was given is not f'(x) at one of a few points about the start."""
    rng = np.random.default_rng(0)
    scale = 1.0 + np.abs(x0)
    points = np.clip(
        x0[:, None] + scale[:, None] * rng.standard_normal((x0.size, _POINTS)), lower[:, None], upper[:, None]
    )
    with np.errstate(all="ignore"):
        a, b = (np.broadcast_to(evaluate(p, points, parameters)["gradient"], points.shape) for p in (given, derived))
    wrong = np.abs(a - b) > _RELATIVE * (1.0 + np.abs(b))
    if np.any(wrong):
        i, k = (int(n) for n in np.argwhere(wrong)[0])
        raise ValueError(
            f"gradient must be the derivative of f, got {short(a[i, k])} for {short(b[i, k])} in coordinate {i} at "
            f"x = {shown(points[:, k].tolist())}"
        )
