"""What methods share: a method is a program of a step, traced from the formula that its class states."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from .. import _validate
from .._arrays import short
from .._validate import Interval, shown
from ..schedules import Schedule
from ._following import SCHEDULABLE, Following

if TYPE_CHECKING:
    from ..programs import Program, Symbol
    from ..programs._ir import Shape
    from ._step import Now, Start


class Method(ABC):
    """How a step is made of the stochastic gradient: a class of `anneal_sgd.methods`, frozen, equal by content."""

    _kind: ClassVar[str]
    """What `by_name` knows the class by: of `NormalizedSGD` "normalized_sgd"."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Name the class."""
        super().__init_subclass__(**options)
        cls._kind = re.sub(r"(?<=[a-z])(?=[A-Z][a-z]|SGD)", "_", cls.__name__).lower()

    @property
    def name(self) -> str:
        """A short text that identifies the method: `by_name` reads it back, but for one's own and for tables.

        >>> from anneal_sgd import methods
        >>> methods.NormalizedSGD().name, methods.Clipped(methods.SGD(momentum=0.9), threshold=2).name
        ('normalized_sgd', 'clipped(method=sgd(momentum=0.9), threshold=2)')
        """
        usual = type(self)()
        texts = [f"{key}={_text(v)}" for key, v in self._fields.items() if v != getattr(usual, key)]
        return self._kind + (f"({', '.join(texts)})" if texts else "")

    def program(self, dimension: int) -> Program:
        """A step in that many coordinates, as a program in canonical form, which defines its bits.

        Parameters "gradient k" and "value k" are those of the problem at the output "point k", or at x where there is
        none. Outputs: "direction", which the learning rate multiplies, or "next", the point after the step; "state k",
        what part k of the state becomes, and "begin k", what it begins with where that is not 0.

        >>> from anneal_sgd import methods
        >>> print(methods.SGD(momentum=0.9).program(1))
        v0 = constant 0.9
        v1 = state 0 (1,)
        v2 = parameter 'gradient 0' (1,)
        v3 = fma v0, v1, v2 (1,)
        direction = v3
        state 0 = v3
        """
        return _program(self, _validate.integer("dimension", dimension, lowest=1, highest=2**24 - 1))

    def _program_on_data(self, dimension: int, intercepts: tuple[tuple[int, int], ...]) -> Program:
        """The same where coordinates in some ranges are intercepts, which do not decay."""
        return _program(self, dimension, intercepts)

    def _state(self, d: int) -> Mapping[str, Start]:
        """The parts of the state and what they begin with."""
        return {}

    def _parts(self, dimension: int) -> dict[str, Shape]:
        """The parts of the state of a step in that many coordinates, in order, and their shapes."""
        program = self.program(dimension)
        names = enumerate(self._names_of_parts(dimension))
        return {name: program.nodes[program.output(f"state {k}")].shape for k, name in names}

    def _names_of_parts(self, dimension: int) -> tuple[str, ...]:
        return tuple(self._state(dimension))

    @abstractmethod
    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        """The direction, or `Next`, and the state after the step."""

    @property
    def _is_plain(self) -> bool:
        """Whether the step is that of SGD."""
        return False

    @property
    def _unconstrained(self) -> bool:
        """Whether the formula is for problems without a projection alone."""
        return False

    @property
    def _dimension(self) -> int | None:
        """The one that it is for; None: any."""
        return None

    @property
    def _programs(self) -> tuple[Program, ...]:
        """What of it is a program of one's own."""
        return ()

    @property
    def _identity(self) -> Any:
        """What campaigns know it by, as JSON takes it."""
        values = self._fields
        known = {name: v._identity if isinstance(v, Method | Following) else v for name, v in values.items()}
        return [self._kind, known]

    @property
    def _fields(self) -> dict[str, Any]:
        of_class: Any = type(self)  # a dataclass, as every method's is
        return {f.name: getattr(self, f.name) for f in fields(of_class)}

    @property
    def _scheduled(self) -> tuple[tuple[str, Following], ...]:
        """The numbers that follow schedules, by name, with those of a method in it."""
        found: list[tuple[str, Following]] = []
        for name, value in self._fields.items():
            if isinstance(value, Following):
                found.append((name, value))
            elif isinstance(value, Method):
                found += value._scheduled
        return tuple(found)

    @property
    def _followed(self) -> tuple[Following, ...]:
        """Each once: number k of a step is the k-th of them."""
        return tuple(dict.fromkeys(one for _, one in self._scheduled))

    def _number(self, name: str, interval: Interval | None = None) -> None:
        """Check a field, and keep it as a float; one of `SCHEDULABLE` may follow a schedule, and has its interval."""
        given = getattr(self, name)
        if interval is None and isinstance(given, Schedule):
            given = Following(given)
        if not (interval is None and isinstance(given, Following)):
            given = _validate.real(name, given, interval or SCHEDULABLE[name])
        object.__setattr__(self, name, given)

    def _check_scheduled(self, horizon: int) -> None:
        """ValueError: a number that leaves its interval on the way."""
        for name, one in self._scheduled:
            one.check(name, SCHEDULABLE[name], horizon)


def _text(value: Any) -> str:
    """As `by_name` reads it."""
    if isinstance(value, Method | Following):
        return value.name
    if isinstance(value, tuple):
        return "/".join(map(str, value))
    return short(value) if isinstance(value, float) else str(value).lower()


@lru_cache(maxsize=256)
def _program(method: Method, dimension: int, intercepts: tuple[tuple[int, int], ...] = ()) -> Program:
    from ._step import traced  # what it needs takes long to import

    return traced(dimension, method._state(dimension), method._step, intercepts, method._followed)


def of_kind(name: str, value: object) -> Method:
    """The method that an argument is. ValueError: it is none."""
    if not isinstance(value, Method):
        what = _validate.remedy(value, Method, "method")
        raise ValueError(f"{name} must be of anneal_sgd.methods, such as methods.Adam(), got {shown(value)}{what}")
    return value
