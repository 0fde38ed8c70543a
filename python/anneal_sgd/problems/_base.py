"""What every problem is to the rest of the package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .. import _core, _validate
from .._arrays import FloatArray
from ._own_metric import OwnMetric

if TYPE_CHECKING:
    from ..methods import Method
    from ..programs import Program
    from ..programs._ir import Shape

Projection: TypeAlias = tuple[str, ArrayLike, ArrayLike] | tuple[str, float] | None

LARGEST_DIMENSION = 2**24 - 1
ROUNDING = 1e-12  # of a norm or a sum of squares, relative


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Problem(ABC):
    """What all problems share; use one of the classes of this module. TypeError: a subclass with a formula of its own.

    >>> from anneal_sgd import problems
    >>> isinstance(problems.AbsoluteValue(slope=1.0), problems.Problem)
    True
    """

    # What the problems of one call must share, its class and dimension first; named by _COMMON.
    _common: tuple[Any, ...] = field(init=False)

    _COMMON: ClassVar[tuple[str, ...]]
    _METRICS: ClassVar[tuple[str, ...]] = ("suboptimality",)
    """What can be recorded; the first is the default."""
    _TAKES_MOMENTUM: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        """TypeError: a formula of one's own."""
        super().__init_subclass__(**options)
        advice = "simulations compute the problems of anneal_sgd.problems, use one of its classes as it is"
        _validate.refuse_formula(cls, Problem, advice)

    @property
    def dimension(self) -> int:
        """d, the number of coordinates."""
        return int(self._common[1])

    @property
    @abstractmethod
    def minimum(self) -> float:
        """f*: the smallest value of f on the set."""

    @property
    def _solves_for_minimum(self) -> bool:
        """Whether f* comes from a solver, whose last bits depend on its version."""
        return False

    def _take_minimum(self, minimum: float) -> None:
        """Take f* as known, where it would come from a solver."""
        if self._solves_for_minimum:
            self.__dict__["minimum"] = minimum

    @abstractmethod
    def value(self, x: ArrayLike) -> FloatArray:
        """f(x): for x of shape (..., d) float64 of shape (...)."""

    @abstractmethod
    def gradient(self, x: ArrayLike) -> FloatArray:
        """f'(x), without noise: float64 of the shape of x, (..., d)."""

    def suboptimality(self, x: ArrayLike) -> FloatArray:
        """f(x) - f*, shaped like `value(x)`; what a simulation records, there in its dtype.

        ValueError: the last axis of x has not d elements.

        >>> from anneal_sgd import problems
        >>> float(problems.AbsoluteValue(slope=2.0, projection=("box", 0.5, 1.0)).suboptimality(0.75))
        0.5
        """
        return np.asarray(self.value(x) - self.minimum)

    def _point(self, x: ArrayLike) -> FloatArray:
        point = _validate.numbers("x", x)
        if point.ndim == 0 and self.dimension == 1:
            return point.reshape(1)
        if point.ndim == 0 or point.shape[-1] != self.dimension:
            raise ValueError(f"x must have shape (..., {self.dimension}), got shape {point.shape}")
        return point

    @property
    def _programs(self) -> tuple[Program, ...]:
        """What of it is a program."""
        return ()

    @property
    def _is_projected(self) -> bool:
        return bool(self._common[3] != "none")

    @property
    def _network(self) -> tuple[tuple[int, ...], bool] | None:
        """Of a problem on data: inputs, hidden units, outputs, and whether there are intercepts."""
        return None

    def _method_program(self, method: Method) -> Program:
        """A step of a method on it."""
        return method.program(self.dimension)

    def _run_program(self, own: Sequence[OwnMetric], method: Program | None) -> Program | None:
        """What is run where it is a program, of a method that is None where it is SGD; None: it is none."""
        return None

    def _own_metric(self, name: str, f: object, state: Mapping[str, Shape]) -> OwnMetric:
        """What a function of one's own records, which may take parts of a method's state.

        ValueError: problems of this class take none.
        """
        raise ValueError(
            f"metric {name!r} must go with problems.Custom or a problem on data, got it for {type(self).__name__}"
        )

    def _check_own_metric(self, metric: OwnMetric, state: Mapping[str, Shape]) -> None:
        """ValueError: it is of another kind of problem, or of another method's state."""
        self._own_metric(metric.name, metric, state)

    @classmethod
    @abstractmethod
    def _stack(cls, problems: Sequence[Any], dtype: str, *, with_minimum: bool) -> _core.Problems:
        """What the compiled core takes for problems that share `_common`."""

    @classmethod
    @abstractmethod
    def _refusal(cls, problems: Sequence[Any], dtype: str) -> str:
        """Why the problems cannot be simulated in the dtype, in words; empty where they can."""

    @classmethod
    @abstractmethod
    def _varying(cls, problems: Sequence[Any]) -> dict[str, FloatArray]:
        """Parameters in which the problems differ: (problems,), or (problems, d) if it differs between coordinates."""

    @cached_property
    def _stacked(self) -> dict[tuple[str, bool, tuple[OwnMetric, ...], Any], _core.Problems]:
        """The problem alone as the core takes it, by what `_stack` depends on."""
        return {}

    @cached_property
    def _refusals(self) -> dict[str, str]:
        return {}

    @property
    @abstractmethod
    def _bytes(self) -> bytes:
        """The content, together with `_common`."""

    def __eq__(self, other: object) -> bool:
        """Same class and same content."""
        if self is other:
            return True
        return isinstance(other, Problem) and self._common == other._common and self._bytes == other._bytes

    def __hash__(self) -> int:
        """By content."""
        return hash((self._common, self._bytes))


def as_sequence(problem: Problem | Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems of one call, checked: one or more that share what `_COMMON` of their class says."""
    problems = _validate.one_or_more("problem", problem, Problem, "problem")  # type: ignore[type-abstract]
    common = problems[0]._common
    for i, other in enumerate(problems):
        if other._common is not common and other._common != common:
            raise ValueError(f"problem must {_difference(problems[0], other)} at index {i}")
    return problems


def _difference(first: Problem, other: Problem) -> str:
    for word, a, b in zip(first._COMMON, first._common, other._common, strict=False):
        if a != b:
            a, b = (repr(v.__name__ if isinstance(v, type) else v) if isinstance(v, type | str) else v for v in (a, b))
            return f"{word}: {a} at index 0, got {b}"
    raise AssertionError("the problems do not differ")
