"""What problems on data share: their parameters, their content, and how the core takes them."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core, _validate
from .._arrays import FloatArray, frozen, short
from .._locks import unlocked_property
from .._validate import FINITE, NON_NEGATIVE, POSITIVE, shown
from ..programs import Node, Program, canonical
from ..programs._canonical import ordered
from ..programs._combine import combined, of_state
from ..programs._ir import state_part
from ..programs._lower import lowered
from ..programs._lower_method import lowered_method, places_of_state
from ._base import LARGEST_DIMENSION, ROUNDING, Problem, Projection
from ._dataset import Dataset
from ._input import column_names, features_of, weights_of
from ._minimum import remembered
from ._model import Model
from ._not_found import LostInRoundingError, NotFoundError
from ._own_loss import lost_loss, lowered_loss
from ._own_metric import OwnMetric, check_point, check_state, program_of

if TYPE_CHECKING:
    from ..methods import Method
    from ..programs._ir import Shape

Sampling: TypeAlias = Literal["with_replacement", "reshuffling", "sequential"]

_SAMPLINGS = tuple(kind.name for kind in _core.Sampling)
_LARGEST_BATCH = 2**24 - 1

_Self = TypeVar("_Self", bound="DataProblem")


@dataclass(frozen=True, init=False, eq=False, repr=False)
class DataProblem(Problem):
    """What problems on data share; use one of the classes of this module.

    >>> from anneal_sgd import problems
    >>> isinstance(problems.LeastSquares([[1.0], [2.0]], [1.0, 2.0]), problems.DataProblem)
    True
    """

    l2: float
    intercept: bool
    projection: tuple[str, float] | None
    x0: FloatArray | None
    batch_size: int
    sampling: Sampling
    _train: Dataset = field(init=False)
    _test: Dataset | None = field(init=False)
    _sizes: tuple[int, ...] = field(init=False)  # inputs, hidden units, outputs
    _activation: str = field(init=False)

    _COMMON: ClassVar[tuple[str, ...]] = (
        "be of one kind",
        "be of one dimension",
        "have one size of layers",
        "have one activation",
        "have one intercept",
        "have one batch_size",
        "have one sampling",
        "have one kind of projection",
        "have one loss",
    )
    _METRICS: ClassVar[tuple[str, ...]] = ("suboptimality", "loss", "test_loss", "test_accuracy")
    _TAKES_MOMENTUM: ClassVar[bool] = True
    _loss: ClassVar[_core.Loss]
    _own_loss: ClassVar[Program | None] = None  # in an instance, where `_loss` is own

    @property
    def X(self) -> NDArray[Any]:
        """Features, (n, d), float32 or float64 as given: a read-only view of padded rows, not contiguous."""
        return self._train.features

    @property
    def y(self) -> FloatArray:
        """Targets, (n,), float64; binary labels as -1 and +1, others as the number of their class."""
        return self._train.targets

    @property
    def sample_weight(self) -> FloatArray | None:
        """Weights of the rows, (n,), float64, as they were given; None: all alike."""
        return self._train.weights

    @property
    def classes(self) -> tuple[Any, ...]:
        """The labels as they were given, ascending: of two the first is -1, of more it is 0. Empty for numbers.

        >>> from anneal_sgd import problems
        >>> problem = problems.LogisticRegression([[1.0], [2.0], [3.0]], ["no", "yes", "yes"])
        >>> problem.classes, problem.y.tolist()
        (('no', 'yes'), [-1.0, 1.0, 1.0])
        """
        return self._train.classes

    @property
    def test(self) -> tuple[NDArray[Any], FloatArray] | None:
        """Features and targets held out."""
        return None if self._test is None else (self._test.features, self._test.targets)

    @property
    def _programs(self) -> tuple[Program, ...]:
        return () if self._own_loss is None else (self._own_loss,)

    @property
    def _is_projected(self) -> bool:
        return self.projection is not None

    @property
    def _network(self) -> tuple[tuple[int, ...], bool]:
        return self._sizes, self.intercept

    def _method_program(self, method: Method) -> Program:
        return method._program_on_data(self.dimension, self._intercepts)

    @cached_property
    def _intercepts(self) -> tuple[tuple[int, int], ...]:
        """Where they begin and end in a point, layer by layer."""
        ends = itertools.accumulate(units * (inputs + 1) for inputs, units in itertools.pairwise(self._sizes))
        return tuple((end - n, end) for end, n in zip(ends, self._sizes[1:], strict=True)) if self.intercept else ()

    @property
    def _solves_for_minimum(self) -> bool:
        return True

    @unlocked_property
    def minimum(self) -> float:
        """f*: the smallest value of f on the set, computed at the first use by a solver.

        To within 1e-8 (1 + f*); where it is not attained, as for separable labels without l2, the infimum. The search
        is bounded, and Ctrl-C ends it. ValueError: f* was not found to that precision; or, beside an intercept or a
        constant column, one of X varies by at most 1e-9 of its size. ImportError: SciPy is missing; the extra
        `anneal_sgd[data]` brings it.

        >>> from anneal_sgd import problems
        >>> round(problems.LeastSquares([[1.0], [2.0], [2.0]], [1.0, 2.0, 3.0]).minimum, 6)  # 5 / 54, at w = 11 / 9
        0.092593
        """
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused
                return remembered(self._minimum_key, self._find_minimum)
        except NotFoundError as error:
            lost = isinstance(error, LostInRoundingError)
            easier = "" if lost else "; with l2 > 0 or a ball it is easier to find"
            raise ValueError(
                f"the minimum of {self!r} was not found: {error}{easier}; metric='loss' needs none"
            ) from None

    @property
    def _minimum_key(self) -> tuple[Any, ...]:
        """All that f* depends on."""
        return (type(self).__name__, self._train.digest, self.l2, self.intercept, self.projection)

    def value(self, x: ArrayLike) -> FloatArray:
        """f(x): for x of shape (..., dimension) float64 of shape (...), in passes over the data for every point.

        ValueError: the last axis of x has not `dimension` elements.

        >>> from anneal_sgd import problems
        >>> float(problems.LeastSquares([[1.0], [2.0]], [1.0, 2.0]).value([0.0]))
        1.25
        """
        points = self._point(x)
        values = [self._value_and_gradient(point, gradient=False)[0] for point in points.reshape(-1, self.dimension)]
        return np.array(values).reshape(points.shape[:-1])

    def gradient(self, x: ArrayLike) -> FloatArray:
        """f'(x), over all rows: float64 of the shape of x, (..., dimension); a subgradient where f has a kink.

        ValueError: the last axis of x has not `dimension` elements.

        >>> from anneal_sgd import problems
        >>> problems.LeastSquares([[1.0], [2.0]], [1.0, 2.0]).gradient([0.0]).tolist()
        [-2.5]
        """
        points = self._point(x)
        gradients = [self._value_and_gradient(point)[1] for point in points.reshape(-1, self.dimension)]
        return np.array(gradients).reshape(np.shape(x))

    def replace(self: _Self, **changes: Any) -> _Self:
        """The problem with other parameters than X, y and sample_weight, on the same data, which is not copied.

        ValueError: as for a new problem. TypeError: a parameter that the class does not have.

        >>> from anneal_sgd import problems
        >>> problems.LeastSquares([[1.0], [2.0]], [1.0, 2.0]).replace(l2=0.5).l2
        0.5
        """
        problem = type(self).__new__(type(self))
        arguments = {**self._parameters(), **changes}
        unknown = set(changes) - set(self._parameters())
        if unknown:
            raise TypeError(f"replace takes {', '.join(self._parameters())}, got {', '.join(sorted(unknown))}")
        problem._set_up(self._train, **arguments)
        return problem

    # --- for subclasses -----------------------------------------------------------------------------------------------

    @abstractmethod
    def _targets(
        self, name: str, y: ArrayLike, rows: int, classes: tuple[Any, ...]
    ) -> tuple[FloatArray, tuple[Any, ...]]:
        """Checked targets as float64, and the classes; `classes`: for a test set, those of the training set."""

    @abstractmethod
    def _find_minimum(self) -> float:
        """f*; NotFoundError."""

    def _set_up(
        self,
        train: Dataset,
        *,
        l2: float,
        intercept: bool,
        projection: Projection,
        x0: ArrayLike | None,
        batch_size: int,
        sampling: Sampling,
        test: Any,
        outputs: int | None = None,
        hidden: tuple[int, ...] = (),
        activation: str = "relu",
        drawn: bool = False,
        own_loss: Program | None = None,
    ) -> None:
        outputs = self._outputs(train) if outputs is None else outputs
        sizes = (train.columns, *hidden, outputs)
        kept_intercept = _validate.flag("intercept", intercept)
        dimension = Model(sizes, kept_intercept, activation).dimension
        if dimension > LARGEST_DIMENSION:
            name = "hidden" if hidden else "X"
            raise ValueError(f"{name} must give a model of at most {LARGEST_DIMENSION} coordinates, got {dimension}")
        radius = _radius(projection)
        kept_projection = None if radius == math.inf else ("ball", radius)
        kept_sampling = _validate.choice("sampling", sampling, _SAMPLINGS)
        size = _validate.integer("batch_size", batch_size, lowest=1, highest=_LARGEST_BATCH)
        fields: dict[str, Any] = {
            "l2": _validate.real("l2", l2, NON_NEGATIVE) + 0.0,
            "intercept": kept_intercept,
            "projection": kept_projection,
            "x0": _start(x0, dimension, radius, drawn),
            "batch_size": size,
            "sampling": kept_sampling,
            "_train": train,
            "_test": self._checked_test(test, train),
            "_sizes": sizes,
            "_activation": activation,
            "_common": (
                type(self),
                dimension,
                sizes,
                activation,
                kept_intercept,
                size,
                kept_sampling,
                "none" if kept_projection is None else "ball",
                "built in" if own_loss is None else own_loss.digest,
            ),
        }
        if own_loss is not None:
            fields |= {"_loss": _core.Loss.own, "_own_loss": own_loss}
        self.__dict__.update(fields)

    def _load(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> Dataset:
        features = features_of("X", X)
        rows = features.shape[0]
        targets, classes = self._targets("y", y, rows, ())
        weights = None if sample_weight is None else weights_of("sample_weight", sample_weight, rows)
        return Dataset("X and y", features, targets, classes, weights, column_names(X))

    def _outputs(self, train: Dataset) -> int:
        return 1

    def _checked_test(self, test: Any, train: Dataset) -> Dataset | None:
        if test is None or isinstance(test, Dataset):
            return test
        if not isinstance(test, tuple | list) or len(test) != 2:
            raise ValueError(f"test must be None or (X, y), got {shown(test)}")
        features = features_of("test X", test[0])
        if features.shape[1] != train.columns:
            raise ValueError(f"test X must have {train.columns} columns like X, got {features.shape[1]}")
        names = column_names(test[0])
        if names is not None and train.names is not None and names != train.names:
            raise ValueError(
                f"test X must have the columns of X in their order, {shown(list(train.names))}, got "
                f"{shown(list(names))}: choose them by test_X[X.columns]"
            )
        return Dataset("test", features, *self._targets("test y", test[1], features.shape[0], train.classes))

    # --- the model in NumPy -------------------------------------------------------------------------------------------

    def _value_and_gradient(self, x: FloatArray, *, gradient: bool = True) -> tuple[float, FloatArray]:
        model = Model(self._sizes, self.intercept, self._activation)
        with np.errstate(all="ignore"):  # whatever the caller has set
            return model.value_and_gradient(x, self._train, self._losses, l2=self.l2, gradient=gradient)

    @abstractmethod
    def _losses(self, z: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Loss (rows,) and its derivatives by the outputs z (rows, outputs)."""

    # --- metrics of one's own -----------------------------------------------------------------------------------------

    def _own_metric(self, name: str, f: object, state: Mapping[str, Shape]) -> OwnMetric:
        exact = {"value": (), "gradient": (self.dimension,)}
        allowed = f"metric {name!r} must be a function of the point x" + (
            f" and the method's {', '.join(state)} alone" if state else " alone"
        )
        try:
            traced = program_of(f"metric {name!r}", f, self.dimension, {**state, **exact})
        except ValueError as error:
            raise ValueError(f"{allowed}: {error}") from None
        traced = of_state(traced, list(state))
        if taken := [node.attribute for node in traced.nodes if node.op == "parameter"]:
            raise ValueError(f"{allowed}, got one of {taken[0]!r}")
        check_point(name, f, state)
        program = canonical(replace(traced, parameters=()))
        if (shape := program.nodes[program.output("value")].shape) != ():
            raise ValueError(f"metric {name!r} must return one number, got shape {shape}")
        return OwnMetric(name, program)

    def _check_own_metric(self, metric: OwnMetric, state: Mapping[str, Shape]) -> None:
        if metric.program.dimension != self.dimension or metric.program.parameters:
            raise ValueError(f"metric {metric.name!r} must be of a problem with this one's dimension and parameters")
        check_state(metric, state)

    # --- for the core -------------------------------------------------------------------------------------------------

    @classmethod
    def _stack(
        cls,
        problems: Sequence[DataProblem],
        dtype: str,
        *,
        with_minimum: bool,
        own: Sequence[OwnMetric] = (),
        method: Program | None = None,
    ) -> _core.Problems:
        first = problems[0]
        taken = sorted({node.attribute for metric in own for node in metric.program.nodes if node.op == "state"})
        places = [] if method is None else [places_of_state(method)[k] for k in taken]
        return _core.Problems(
            loss=first._loss,
            own_loss=None if first._own_loss is None else lowered_loss(first._own_loss),
            own_metrics=_lowered_metrics(own, taken) if own else None,
            own_state=np.array(places, np.int64).reshape(-1, 3),
            method=None if method is None else lowered_method(method),
            activation=_core.Activation[first._activation],
            sampling=_core.Sampling[first.sampling],
            intercept=first.intercept,
            sizes=list(first._sizes),
            batch_size=first.batch_size,
            projection=_core.ProjectionKind["none" if first.projection is None else "ball"],
            precision=_core.Precision[dtype],
            problems=[
                (
                    p._train.of_dtype(dtype),
                    None if p._test is None else p._test.of_dtype(dtype),
                    p.l2,
                    math.inf if p.projection is None else p.projection[1],
                    p.minimum if with_minimum else 0.0,
                    p.x0,
                )
                for p in problems
            ],
        )

    @classmethod
    def _refusal(cls, problems: Sequence[DataProblem], dtype: str) -> str:
        limits = np.finfo(dtype)
        own = problems[0]._own_loss
        if own is not None and (lost := lost_loss(own, dtype)):
            return lost
        for p in problems:
            radius = 1.0 if p.projection is None else p.projection[1]
            for name, size, low, high in (
                ("l2", p.l2, float(limits.tiny), float(limits.max)),
                ("projection radius", radius, math.sqrt(float(limits.tiny)), math.sqrt(float(limits.max))),
                ("x0", 0.0 if p.x0 is None else float(np.abs(p.x0).max()), 0.0, float(limits.max)),
            ):
                if size and not low <= size <= high:
                    sizes = f"0 or of size {low:.4g} to {high:.4g}" if low else f"of size up to {high:.4g}"
                    return f"{name} must be {sizes} in {dtype}, got {short(size)}"
            for data in (p._train, p._test):
                lost = "" if data is None else data.lost_in(dtype)
                if lost:
                    return lost
        return ""

    @classmethod
    def _varying(cls, problems: Sequence[DataProblem]) -> dict[str, FloatArray]:
        named = {
            "l2": np.array([p.l2 for p in problems]),
            "radius": np.array([math.inf if p.projection is None else p.projection[1] for p in problems]),
        }
        return {name: values for name, values in named.items() if np.any(values != values[0])}

    @property
    def _bytes(self) -> bytes:
        start = b"drawn" if self.x0 is None else self.x0.tobytes()
        numbers = repr((self.l2, self.projection)).encode()
        return b"".join((self._train.digest, b"" if self._test is None else self._test.digest, numbers, start))

    def _parameters(self) -> dict[str, Any]:
        """What `__init__` takes besides X, y and sample_weight."""
        return {
            "l2": self.l2,
            "intercept": self.intercept,
            "projection": self.projection,
            "x0": self.x0,
            "batch_size": self.batch_size,
            "sampling": self.sampling,
            "test": self._test,
        }

    def __repr__(self) -> str:
        """The class, the shape of the data, and the parameters that are not the defaults."""
        defaults = signature(type(self).__init__).parameters
        texts = [f"X: {self._train.rows} x {self._train.columns}"]
        texts += [] if self._train.weights is None else ["sample_weight=..."]
        for name, value in self._parameters().items():
            if name == "x0":
                drawn_by_default = "hidden" in defaults
                texts += ["x0=..."] if value is not None and (drawn_by_default or value.any()) else []
            elif isinstance(value, Program):
                texts.append(f"{name}=<program {value.digest[:8]}>")
            elif name == "test":
                texts += [] if value is None else [f"test X: {value.rows} x {value.columns}"]
            elif value != defaults[name].default:
                texts.append(f"{name}={value!r}")
        return f"<{type(self).__name__} {', '.join(texts)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by content, and f* where it has been found."""
        test = None if self._test is None else (self._test.features, self._test.given_targets())
        parameters = {"sample_weight": self._train.weights, **self._parameters(), "test": test}
        y = self._train.given_targets()
        return _rebuilt, (type(self), np.array(self.X), y, parameters, self.__dict__.get("minimum"))


def _lowered_metrics(own: Sequence[OwnMetric], taken: Sequence[int]) -> _core.Program:
    """For the compiled core, which asks for a value and a gradient beside them; `taken`: parts of a method's state."""
    d = own[0].program.dimension
    point = Program(d, (), (Node("point", (), None, (d,)),), (("value", 0),))
    programs = [_with_parts(metric.program, taken) for metric in own]
    outputs = {"value": (programs[0], "value"), "gradient": (point, "value")}
    outputs |= {f"metric {i}": (program, "value") for i, program in enumerate(programs)}
    kept = {node.attribute: node for program in programs for node in program.nodes if node.op == "state"}
    for k in range(len(taken)):
        outputs[state_part(k)] = (Program(d, (), (kept[k],), (("value", 0),)), "value")
    return lowered(ordered(combined(**outputs)))


def _with_parts(program: Program, taken: Sequence[int]) -> Program:
    """Parts of the state by their places among those that are taken."""
    nodes = (replace(n, attribute=taken.index(n.attribute)) if n.op == "state" else n for n in program.nodes)
    return replace(program, nodes=tuple(nodes))


def _rebuilt(
    kind: Callable[..., DataProblem], X: NDArray[Any], y: FloatArray, parameters: dict[str, Any], minimum: float | None
) -> DataProblem:
    problem = kind(X, y, **parameters)
    if minimum is not None:
        problem._take_minimum(minimum)
    return problem


def _radius(projection: Projection) -> float:
    if projection is None:
        return math.inf
    is_pair = isinstance(projection, tuple | list) and len(projection) == 2
    if is_pair and isinstance(projection[0], str) and projection[0] == "ball":
        return _validate.real("projection radius", projection[1], POSITIVE)
    raise ValueError(f"projection must be None or ('ball', radius) for a problem on data, got {shown(projection)}")


def _start(x0: ArrayLike | None, dimension: int, radius: float, drawn: bool) -> FloatArray | None:
    if x0 is None:
        return None if drawn else frozen(np.zeros(dimension))
    given = _validate.real_array("x0", x0, FINITE, max_ndim=1)
    if given.ndim == 1 and given.size != dimension:
        raise ValueError(f"x0 must be one number or have shape ({dimension},), got shape {given.shape}")
    start = np.broadcast_to(given, dimension) + 0.0
    norm = float(np.linalg.norm(start))
    if norm > radius * (1.0 + ROUNDING):
        raise ValueError(f"x0 must lie in the ball of radius {short(radius)}, got norm {short(norm)}")
    return frozen(start)
