"""Separable problems: convex functions of d coordinates with known minimisers, and their noise."""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core, _validate
from .._arrays import FloatArray, frozen, short
from .._validate import FINITE, NON_NEGATIVE, POSITIVE, Interval, shown
from ._base import LARGEST_DIMENSION, ROUNDING, Problem, Projection
from ._own_metric import OwnMetric
from ._sets import check_set, numbers_of, parsed_set

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..programs import Program
    from ._custom import Custom

Noise: TypeAlias = Literal["none", "rademacher", "gaussian", "uniform"]

_NOISES = tuple(kind.name for kind in _core.NoiseKind)
_SHOWN_ELEMENTS = 1000  # of an array in a text; like NumPy, more are summarised


class _Columns:
    """Named views of rows of shape (..., 5 d + 3): five arrays of d elements, then three numbers."""

    def __init__(self, rows: FloatArray, d: int) -> None:
        self.rows = rows
        self.weight = rows[..., :d]
        self.noise_std = rows[..., d : 2 * d]
        self.lower = rows[..., 2 * d : 3 * d]
        self.upper = rows[..., 3 * d : 4 * d]
        self.x0 = rows[..., 4 * d : 5 * d]
        self.shape_parameter: FloatArray = rows[..., 5 * d]
        self.radius: FloatArray = rows[..., 5 * d + 1]
        self.minimum: FloatArray = rows[..., 5 * d + 2]


class Parameter(NamedTuple):
    """A parameter of a class of problems: its name and the numbers that it may be."""

    name: str
    allowed: Interval


class Common(TypedDict, total=False):
    """What every separable problem takes besides its own parameters; the defaults are those of `_set_up`."""

    noise: Noise
    noise_std: ArrayLike | None
    second_moment: float | None
    projection: Projection
    x0: ArrayLike
    dimension: int | None


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SeparableProblem(Problem):
    """What separable problems share; use one of the classes below.

    >>> isinstance(AbsoluteValue(slope=1.0), SeparableProblem)
    True
    """

    noise: Noise
    noise_std: FloatArray
    projection: tuple[str, FloatArray, FloatArray] | tuple[str, float] | None
    x0: FloatArray

    # What a class declares, besides an `__init__` that passes on `Common`, and three formulas.
    _kind: ClassVar[_core.ProblemKind]
    _weight: ClassVar[Parameter]
    """Of every coordinate."""
    _shape: ClassVar[Parameter | None] = None
    """One number for all coordinates."""
    _texts: ClassVar[dict[str, Any]]
    """f, or f and its gradient, as a `Custom` takes them: a is the weight, delta the shape parameter, c = a / delta."""

    # All numbers of a problem lie in one read-only array, so that stacking many problems is one copy.
    _columns: _Columns = field(init=False)

    _COMMON: ClassVar[tuple[str, ...]] = (
        "be of one kind",
        "be of one dimension",
        "have one kind of noise",
        "have one kind of projection",
    )

    def __init_subclass__(cls) -> None:
        """Show `Common` in the signature, with its defaults."""
        super().__init_subclass__()
        own = [p for p in inspect.signature(cls.__init__).parameters.values() if p.kind is not p.VAR_KEYWORD][1:]
        common = [p for p in inspect.signature(cls._set_up).parameters.values() if p.name in Common.__annotations__]
        cls.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined]

    @property
    def second_moment(self) -> float:
        """G^2: the supremum over the set of E|g|^2, g the stochastic gradient; inf where it is unbounded.

        >>> AbsoluteValue(slope=[3.0, 4.0], noise="gaussian", noise_std=1.0).second_moment
        27.0
        """
        return self._largest_gradient(self._columns) + float(np.sum(self.noise_std**2))

    @property
    def minimum(self) -> float:
        """f*: the smallest value of f on the set; 0 unless a box excludes the minimiser 0.

        >>> AbsoluteValue(slope=2.0, projection=("box", 0.5, 1.0)).minimum
        1.0
        """
        return float(self._columns.minimum)

    def value(self, x: ArrayLike) -> FloatArray:
        """f(x): for x of shape (..., d) float64 of shape (...); where d = 1 a single number will do.

        ValueError: the last axis of x has not d elements.

        >>> float(Quadratic(curvature=[1.0, 2.0]).value([1.0, 2.0]))
        4.5
        """
        return np.asarray(np.sum(self._terms(self._columns, self._point(x)), axis=-1))

    def gradient(self, x: ArrayLike) -> FloatArray:
        """f'(x), without noise: float64 of the shape of x, (..., d); the subgradient 0 where |x_i| has its kink.

        ValueError: the last axis of x has not d elements.

        >>> AbsoluteValue(slope=[1.0, 2.0, 3.0]).gradient([-1.0, 0.0, 0.5]).tolist()
        [-1.0, 0.0, 3.0]
        """
        return self._gradient(self._columns, self._point(x)).reshape(np.shape(x))

    @staticmethod
    @abstractmethod
    def _terms(p: _Columns, x: FloatArray) -> FloatArray:
        """The share of f(x) of every coordinate."""

    @staticmethod
    @abstractmethod
    def _gradient(p: _Columns, x: FloatArray) -> FloatArray:
        """f'(x)."""

    @staticmethod
    @abstractmethod
    def _largest_gradient(p: _Columns) -> float:
        """The supremum over the set of |f'|^2."""

    def _set_up(
        self,
        weight: ArrayLike,
        shape_parameter: float = 1.0,
        *,
        noise: Noise = "none",
        noise_std: ArrayLike | None = None,
        second_moment: float | None = None,
        projection: Projection = None,
        x0: ArrayLike = 1.0,
        dimension: int | None = None,
    ) -> None:
        """Check everything and fill `_row` and the fields that show it."""
        if self._shape is not None:
            shape_parameter = _validate.real(self._shape.name, shape_parameter, self._shape.allowed)
        _validate.choice("noise", noise, _NOISES)
        set_kind, lower, upper, radius = parsed_set(projection)
        name, allowed = self._weight
        given = {name: numbers_of(name, weight, allowed), "x0": numbers_of("x0", x0, FINITE)}
        if noise_std is not None:
            given["noise_std"] = numbers_of("noise_std", noise_std, NON_NEGATIVE)
        d = _dimension(dimension, {**given, "projection lower end": lower, "projection upper end": upper})
        row = np.zeros(5 * d + 3)
        p = _Columns(row, d)
        p.weight[:], p.lower[:], p.upper[:], p.x0[:] = given[name], lower, upper, given["x0"]
        row[-3:] = shape_parameter, radius, 0.0
        check_set(p.lower, p.upper, float(p.radius), p.x0)
        p.noise_std[:] = self._level(p, noise, given.get("noise_std"), second_moment)
        if set_kind == "box":
            row[-1] = np.sum(self._terms(p, np.clip(0.0, p.lower, p.upper)))
        row += 0.0  # no negative zeros, so that equal problems have equal bytes
        self._adopt(row, noise, set_kind)

    def _adopt(self, row: FloatArray, noise: str, set_kind: str) -> None:
        """Take over a checked row: the fields are views of it."""
        d = (row.size - 3) // 5
        p = _Columns(frozen(row), d)
        projection = {"none": None, "box": ("box", p.lower, p.upper), "ball": ("ball", float(p.radius))}[set_kind]
        if self._shape is not None:
            self.__dict__[self._shape.name] = float(p.shape_parameter)
        self.__dict__.update(
            {
                self._weight.name: p.weight,
                "noise": noise,
                "noise_std": p.noise_std,
                "projection": projection,
                "x0": p.x0,
                "_columns": p,
                "_common": (type(self), d, noise, set_kind),
            }
        )

    def _level(
        self, p: _Columns, noise: str, noise_std: float | FloatArray | None, second_moment: float | None
    ) -> float | FloatArray:
        if noise == "none":
            if second_moment is not None or (noise_std is not None and np.any(noise_std)):
                name, value = ("second_moment", second_moment) if noise_std is None else ("noise_std", noise_std)
                raise ValueError(f"{name} must be left out where noise is 'none', got {shown(value)}")
            return 0.0
        if noise_std is not None:
            if second_moment is not None:
                raise ValueError(f"second_moment must be left out where noise_std is given, got {shown(second_moment)}")
            return noise_std
        if second_moment is None:
            raise ValueError(f"noise_std or second_moment must be given where noise is {noise!r}")
        total = _validate.real("second_moment", second_moment, NON_NEGATIVE)
        gradient = self._largest_gradient(p)
        if gradient == math.inf:
            raise ValueError("second_moment must go with a bounded set here: the gradient is unbounded, give noise_std")
        rest = total - gradient
        if rest < -ROUNDING * gradient:
            raise ValueError(f"second_moment must be at least {gradient!r}, the gradient's own part, got {total!r}")
        return math.sqrt(max(rest, 0.0) / p.weight.size)

    @classmethod
    def _stack(
        cls, problems: Sequence[SeparableProblem], dtype: str, *, with_minimum: bool, method: Program | None = None
    ) -> _core.Problems:
        columns = _rows(problems)
        kind, _, noise, projection = problems[0]._common
        shared: dict[str, Any] = {
            "projection": _core.ProjectionKind[projection],
            "lower": columns.lower,
            "upper": columns.upper,
            "radius": columns.radius,
            "x0": columns.x0,
            "minimum": columns.minimum,
        }
        if method is not None:
            from ._built_in_programs import as_program

            return _core.Problems(**as_program(columns, problems[0]._as_custom._run_program((), method)), **shared)
        return _core.Problems(
            kind=kind._kind,
            noise=_core.NoiseKind[noise],
            weight=columns.weight,
            shape_parameter=columns.shape_parameter,
            noise_std=columns.noise_std,
            **shared,
        )

    @property
    def _as_custom(self) -> Custom:
        from ._built_in_programs import as_custom  # programs take long to import

        return as_custom(self._texts, self._columns, self.noise, self.projection, shaped=self._shape is not None)

    def _run_program(self, own: Sequence[OwnMetric], method: Program | None) -> Program | None:
        return None if method is None else self._as_custom._run_program(own, method)

    @classmethod
    def _refusal(cls, problems: Sequence[SeparableProblem], dtype: str) -> str:
        p, limits = _rows(problems), np.finfo(dtype)
        size = np.abs(p.rows)
        ordinary = (size == 0.0) | (size >= 1e-15) & (size <= 1e15) | (size == math.inf)
        if ordinary.all() and (p.lower.astype(dtype) < p.upper.astype(dtype)).all():
            return ""
        tiny, huge = float(limits.tiny), float(limits.max)
        weight, shape = cls._names()
        for name, values, low, high in (
            (weight, p.weight, tiny, huge),
            ("noise_std", p.noise_std, tiny, huge),
            ("x0", p.x0, tiny, huge),
            ("projection lower end", p.lower, tiny, huge),
            ("projection upper end", p.upper, tiny, huge),
            ("projection radius", p.radius[:, None], math.sqrt(tiny), math.sqrt(huge)),  # its square is computed with
            (shape, p.shape_parameter[:, None], tiny, huge),
            (f"{weight} / {shape}", p.weight / p.shape_parameter[:, None], tiny, huge),
            ("f*, the smallest value on the set,", p.minimum[:, None], tiny, huge),
        ):
            size = np.abs(values)
            outside = (size > 0.0) & (size < low) | (size > high) & (size < math.inf)
            if np.any(outside):
                got = _place(problems, values, outside)
                return f"{name} must be 0 or of size {low:.4g} to {high:.4g} in {dtype}, got {got}"
        collapsed = p.lower.astype(dtype) >= p.upper.astype(dtype)
        if np.any(collapsed):
            got = f"{_place(problems, p.lower, collapsed)} with upper end {short(p.upper[collapsed][0])}"
            return f"projection must be a box with lower < upper in {dtype}, got lower end {got}"
        return ""

    @classmethod
    def _varying(cls, problems: Sequence[SeparableProblem]) -> dict[str, FloatArray]:
        columns = _rows(problems)
        weight, shape = cls._names()
        named = {
            weight: columns.weight,
            shape: columns.shape_parameter[:, None],
            "noise_std": columns.noise_std,
            "lower": columns.lower,
            "upper": columns.upper,
            "radius": columns.radius[:, None],
            "x0": columns.x0,
        }
        varying = {name: values for name, values in named.items() if np.any(values != values[0])}
        return {
            name: np.ascontiguousarray(values[:, 0] if np.all(values == values[:, :1]) else values)
            for name, values in varying.items()
        }

    @classmethod
    def _names(cls) -> tuple[str, str]:
        """Of the weight and of the shape parameter, which is 1 where a class has none."""
        return cls._weight.name, "shape parameter" if cls._shape is None else cls._shape.name

    def _arguments(self) -> dict[str, Any]:
        """What makes the same problem again."""
        arguments: dict[str, Any] = {self._weight.name: self._columns.weight, "noise": self.noise}
        if self.noise != "none":
            arguments["noise_std"] = self.noise_std
        arguments.update(projection=self.projection, x0=self.x0)
        if self._shape is not None:
            arguments[self._shape.name] = self.__dict__[self._shape.name]
        return arguments

    @property
    def _bytes(self) -> bytes:
        return self._columns.rows.tobytes()

    def __repr__(self) -> str:
        """The call that makes the problem; an array of equal numbers as one number, a very long one summarised."""
        arguments = self._arguments()
        texts = [f"{name}={_shown(value)}" for name, value in arguments.items()]
        one_number = all(
            np.ndim(_collapsed(value)) == 0 for value in arguments.values() if isinstance(value, np.ndarray)
        )
        if self.dimension > 1 and one_number:
            texts.append(f"dimension={self.dimension}")
        return f"{type(self).__name__}({', '.join(texts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by content."""
        kind, _, noise, set_kind = self._common
        return _rebuilt, (kind, noise, set_kind, self._bytes)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class AbsoluteValue(SeparableProblem):
    """$f(x) = sum_i a_i |x_i|$ with a = `slope` > 0; minimiser 0. The non-smooth test problem.

    Gradient $a_i sign(x_i)$, 0 at $x_i = 0$; $sup |f'|^2 = sum_i a_i^2$, so `second_moment` = G^2 means
    `noise_std = sqrt((G^2 - sum_i a_i^2) / d)`. The other parameters: see the module. ValueError: a parameter out of
    its range or of another shape, a start outside the set, a level of noise missing, given twice or without noise, a
    `second_moment` below $sum_i a_i^2$.

    >>> problem = AbsoluteValue(slope=0.6, noise="rademacher", second_moment=1.0, projection=("box", -1.0, 1.0))
    >>> problem.noise_std.tolist(), float(problem.value(-0.5))
    ([0.8], 0.3)
    >>> problem
    AbsoluteValue(slope=0.6, noise='rademacher', noise_std=0.8, projection=('box', -1, 1), x0=1)
    """

    slope: FloatArray

    _kind: ClassVar[_core.ProblemKind] = _core.ProblemKind.absolute_value
    _weight: ClassVar[Parameter] = Parameter("slope", POSITIVE)
    _texts: ClassVar[dict[str, Any]] = {"f": "sum(a * abs(x))"}

    def __init__(self, slope: ArrayLike, **common: Unpack[Common]) -> None:
        """Check the parameters."""
        self._set_up(slope, **common)

    @staticmethod
    def _terms(p: _Columns, x: FloatArray) -> FloatArray:
        return p.weight * np.abs(x)

    @staticmethod
    def _gradient(p: _Columns, x: FloatArray) -> FloatArray:
        return p.weight * np.sign(x)

    @staticmethod
    def _largest_gradient(p: _Columns) -> float:
        return float(np.sum(p.weight**2))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Quadratic(SeparableProblem):
    """$f(x) = sum_i l_i x_i^2 / 2$ with l = `curvature` >= 0, not all 0; minimiser 0. The smooth test problem.

    Gradient $l_i x_i$; it is bounded on a bounded set only, so `second_moment` = G^2 needs one:
    `noise_std = sqrt((G^2 - S) / d)` with S = sum_i l_i^2 max(lower_i^2, upper_i^2) on a box and S = max(l)^2 R^2 on a
    ball of radius R. Without a projection the moments are known exactly, `anneal_sgd.theory.quadratic_moments`. The
    other parameters: see the module. ValueError: a parameter out of its range or of another shape, a start outside the
    set, a level of noise missing, given twice or without noise, a `second_moment` below S or without a bounded set.

    >>> problem = Quadratic(curvature=[1.0, 4.0], noise="gaussian", noise_std=0.7, x0=[1.0, -0.5])
    >>> float(problem.value(problem.x0)), problem.gradient(problem.x0).tolist()
    (1.0, [1.0, -2.0])
    >>> Quadratic(curvature=3.0, noise="gaussian", second_moment=25.0, projection=("ball", 1.0)).noise_std.tolist()
    [4.0]
    """

    curvature: FloatArray

    _kind: ClassVar[_core.ProblemKind] = _core.ProblemKind.quadratic
    _weight: ClassVar[Parameter] = Parameter("curvature", NON_NEGATIVE)
    _texts: ClassVar[dict[str, Any]] = {"f": "0.5 * sum(a * x * x)"}

    def __init__(self, curvature: ArrayLike, **common: Unpack[Common]) -> None:
        """Check the parameters."""
        self._set_up(curvature, **common)
        if not np.any(self.curvature):
            raise ValueError(f"curvature must have an element > 0, got {_shown(self.curvature)}")

    @staticmethod
    def _terms(p: _Columns, x: FloatArray) -> FloatArray:
        return 0.5 * p.weight * x**2

    @staticmethod
    def _gradient(p: _Columns, x: FloatArray) -> FloatArray:
        return p.weight * x

    @staticmethod
    def _largest_gradient(p: _Columns) -> float:
        if p.radius < math.inf:
            return float(np.max(p.weight) ** 2 * p.radius**2)
        curved = p.weight > 0.0  # 0 * inf is no gradient
        reach = np.maximum(np.abs(p.lower), np.abs(p.upper))
        return float(np.sum((p.weight[curved] * reach[curved]) ** 2))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Huber(SeparableProblem):
    """$f(x) = sum_i a_i (x_i^2 / (2 w) if |x_i| <= w else |x_i| - w / 2)$, a = `slope` > 0, w = `width` > 0.

    Quadratic near its minimiser 0, of slope a_i beyond the distance `width` (one number for all coordinates). Gradient
    $a_i clip(x_i / w, -1, 1)$; $sup |f'|^2$ is taken as $sum_i a_i^2$, so `second_moment` = G^2 means
    `noise_std = sqrt((G^2 - sum_i a_i^2) / d)`. The other parameters: see the module. ValueError: a parameter out of
    its range or of another shape, a start outside the set, a level of noise missing, given twice or without noise, a
    `second_moment` below $sum_i a_i^2$. Huber's regression on data is `LinearModel(X, y, loss="huber(1, z - y)")`.

    >>> problem = Huber(slope=2.0, width=0.5)
    >>> problem.value([[0.0], [0.5], [1.0]]).tolist(), float(problem.gradient(0.25))
    ([0.0, 0.5, 1.5], 1.0)
    """

    slope: FloatArray
    width: float

    _kind: ClassVar[_core.ProblemKind] = _core.ProblemKind.huber
    _weight: ClassVar[Parameter] = Parameter("slope", POSITIVE)
    _shape: ClassVar[Parameter | None] = Parameter("width", POSITIVE)
    _texts: ClassVar[dict[str, Any]] = {
        "f": "sum(c * minimum(delta, abs(x)) * (-0.5 * minimum(delta, abs(x)) + abs(x)))",
        "gradient": "minimum(a, maximum(-a, c * x))",
    }

    def __init__(self, slope: ArrayLike, *, width: float, **common: Unpack[Common]) -> None:
        """Check the parameters."""
        self._set_up(slope, width, **common)

    @staticmethod
    def _terms(p: _Columns, x: FloatArray) -> FloatArray:
        size = np.abs(x)
        near = np.minimum(size, p.shape_parameter)
        return p.weight / p.shape_parameter * near * (size - 0.5 * near)

    @staticmethod
    def _gradient(p: _Columns, x: FloatArray) -> FloatArray:
        return p.weight * np.clip(x / p.shape_parameter, -1.0, 1.0)

    @staticmethod
    def _largest_gradient(p: _Columns) -> float:
        return float(np.sum(p.weight**2))


def _rows(problems: Sequence[SeparableProblem]) -> _Columns:
    """The parameters of all problems, of one dimension: views of shape (problems, d) or (problems,)."""
    rows = np.concatenate([problem._columns.rows for problem in problems]).reshape(len(problems), -1)
    return _Columns(rows, problems[0].dimension)


def _place(problems: Sequence[SeparableProblem], values: FloatArray, where: NDArray[np.bool_]) -> str:
    """The first value marked in an array of shape (problems, coordinates), and where it is."""
    row, column = (int(i) for i in np.argwhere(where)[0])
    text = short(values[row, column])
    if values.shape[1] > 1:
        text += f" at index {column}"
    return text + (f" of problem {row}" if len(problems) > 1 else "")


def _dimension(dimension: int | None, parameters: dict[str, float | FloatArray]) -> int:
    given = (
        None if dimension is None else _validate.integer("dimension", dimension, lowest=1, highest=LARGEST_DIMENSION)
    )
    first = "dimension"
    for name, value in parameters.items():
        if isinstance(value, float):
            continue
        if given is None:
            given, first = value.size, name
        elif value.size != given:
            raise ValueError(f"{name} must be one number or have {given} elements like {first}, got {value.size}")
    return 1 if given is None else given


def _collapsed(value: FloatArray) -> FloatArray:
    return np.asarray(value[0]) if np.all(value == value[0]) else value


def _shown(value: object) -> str:
    if isinstance(value, np.ndarray):
        collapsed = _collapsed(np.atleast_1d(value))
        if collapsed.ndim == 0:
            return short(float(collapsed))
        texts = [short(x) for x in (collapsed if collapsed.size <= _SHOWN_ELEMENTS else collapsed[:3])]
        if collapsed.size > _SHOWN_ELEMENTS:
            texts += ["...", short(collapsed[-1])]
        return f"[{', '.join(texts)}]"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_shown, value))})"
    if isinstance(value, float | int):
        return short(value)
    return repr(value)


def _rebuilt(kind: type[SeparableProblem], noise: str, set_kind: str, row: bytes) -> SeparableProblem:
    problem = kind.__new__(kind)
    problem._adopt(np.frombuffer(row).copy(), noise, set_kind)
    return problem
