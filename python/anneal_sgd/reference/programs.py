"""Programs, of docs/stream.md: what each operation computes, and the trajectory of a problem that is a program."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import functions
from .arithmetic import FloatArray, fma, fold, greater, lesser, moved
from .averages import Averages
from .draws import draws_of, draws_per_call, units_of
from .schedules import Schedule, learning_rates, numbers_of_steps

ACCUMULATORS = 32


class Node(Protocol):
    """One value of a program, as `anneal_sgd.programs.Node`."""

    op: str
    operands: tuple[int, ...]
    attribute: Any
    shape: tuple[int, ...]


class Program(Protocol):
    """As `anneal_sgd.programs.Program`."""

    nodes: Sequence[Node]
    outputs: Sequence[tuple[str, int]]

    def output(self, name: str) -> int:
        """The node of an output."""


_ON_ONE: dict[str, Callable[..., Any]] = {
    "negative": lambda a: -a,
    "absolute": np.abs,
    "sign": functions.sign,
    "sqrt": np.sqrt,
    "exp": functions.exponential,
    "log": functions.logarithm,
    "sin": functions.sine,
    "cos": functions.cosine,
    "tanh": functions.hyperbolic_tangent,
    "rint": functions.rint,
    "arctan": functions.arctangent,
    "erf": functions.error_function,
}
_ON_SEVERAL: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "minimum": functions.minimum,
    "maximum": functions.maximum,
    "less": lambda a, b: np.where(a < b, a.dtype.type(1), a.dtype.type(0)),
    "fma": fma,
    "select": lambda c, a, b: np.where(np.abs(c) > 0, a, b),
}


def _summed(terms: int, add: Any, shape: tuple[int, ...], dtype: Any) -> FloatArray:
    acc = np.zeros((ACCUMULATORS, *shape), dtype)
    for i in range(terms):
        acc[i % ACCUMULATORS] = add(i, acc[i % ACCUMULATORS])
    return fold(acc, axis=0)


def _reduced(op: str, a: FloatArray) -> FloatArray:
    extreme = functions.maximum if op.endswith("max") else functions.minimum
    top = a[0]
    for row in a[1:]:
        top = extreme(top, row)
    if op in ("max", "min"):
        return np.asarray(top[None])
    marks = np.zeros_like(a)
    found = np.zeros(a.shape[1:], bool)
    for i, row in enumerate(a):
        here = ~(row < top) & ~(top < row) & ~found
        marks[i] = here
        found |= here
    return marks


def _value(node: Node, operands: Sequence[FloatArray], dtype: Any) -> FloatArray:
    """One operation on values of shape (numbers, replicates); one number stands for several."""
    op, attribute = node.op, node.attribute
    if op in _ON_ONE:
        return np.asarray(_ON_ONE[op](operands[0]))
    if op in _ON_SEVERAL:
        return np.asarray(_ON_SEVERAL[op](*np.broadcast_arrays(*operands)))
    a = operands[0]
    if op == "power":
        return functions.real_power(a, dtype.type(attribute))
    if op == "sum":
        return _summed(len(a), lambda i, acc: acc + a[i], a.shape[1:], dtype)[None]
    if op == "sum_product":
        return _summed(len(a), lambda i, acc: fma(a[i], operands[1][i], acc), a.shape[1:], dtype)[None]
    if op in ("max", "min", "first_max", "first_min"):
        return _reduced(op, a)
    if op == "matvec":
        rows = []
        for row in attribute:
            acc = np.zeros_like(a[0])
            for factor, x in zip(row, a, strict=True):
                acc = fma(np.full_like(x, factor), x, acc)
            rows.append(acc)
        return np.stack(rows)
    if op == "slice":
        start, stop, step = attribute
        return a[[*range(start, stop, step)]]
    if op == "element":
        return a[[attribute]]
    if op == "embed":
        start, step, n = attribute
        out = np.zeros((n, *a.shape[1:]), dtype)
        out[[start + step * i for i in range(len(a))]] = a
        return out
    raise ValueError(f"op must be an operation of programs, got {op!r}")


def _needed(program: Program, output: str) -> list[int]:
    """The nodes that an output takes, in order."""
    needed = {program.output(output)}
    for i in range(program.output(output), -1, -1):
        needed |= set(program.nodes[i].operands) if i in needed else set()
    return sorted(needed)


def evaluated(
    program: Program,
    output: str,
    x: FloatArray,
    parameters: Mapping[str, ArrayLike],
    draws: Mapping[int, FloatArray],
    state: Sequence[FloatArray] = (),
    step: Mapping[str, float] | None = None,
) -> FloatArray:
    """An output at x of shape `(d, replicates)`, in the dtype of x; `draws` by node: `(numbers, replicates)`.

    `state`: its parts, `(numbers, replicates)`; `step`: "lr", "t", "number k", "rest k". Parameters of two dimensions
    are of the same shape, in the dtype of x.

    >>> from anneal_sgd.programs import canonical, trace
    >>> square = canonical(trace(lambda x: x[0] * x[0], dimension=1))
    >>> evaluated(square, "value", np.float32([[3.0]]), {}, {}).tolist()
    [[9.0]]
    """
    dtype, lanes = x.dtype, x.shape[1]
    values: dict[int, FloatArray] = {}
    for i in _needed(program, output):
        node = program.nodes[i]
        if node.op == "point":
            value = x
        elif node.op == "draw":
            value = draws[i]
        elif node.op == "state":
            value = state[node.attribute]
        elif node.op == "step":
            value = np.full((1, lanes), (step or {})[node.attribute], dtype)
        elif node.op in ("constant", "parameter"):
            numbers = np.asarray(node.attribute if node.op == "constant" else parameters[node.attribute])
            if numbers.ndim < 2:
                numbers = np.repeat(numbers.astype(np.float64).reshape(-1, 1).astype(dtype), lanes, axis=1)
            value = numbers
        else:
            value = _value(node, [values[k] for k in node.operands], dtype)
        values[i] = value
    return values[program.output(output)]


class Drawn:
    """The draws of a program's steps, by output and node."""

    def __init__(
        self, program: Program, *, seed: int, replicates: NDArray[np.int64], stream: int, dtype: Any, before: int = 0
    ) -> None:
        """`before`: places of others than the program's."""
        self.program, self.counter, self.seed = program, (replicates, stream), seed
        self.dtype, self.before = dtype, before
        self.drawn: dict[tuple[int, int], FloatArray] = {}

    def __call__(self, output: str, t: int) -> dict[int, FloatArray]:
        """Of the places that an output takes, by node: (numbers, replicates)."""
        now = {}
        for i in _needed(self.program, output):
            node = self.program.nodes[i]
            if node.op != "draw":
                continue
            (place, kind), count = node.attribute, node.shape[0] if node.shape else 1
            purpose = 0 if place < 0 else 4 + self.before + place
            counter = *self.counter, np.arange(count)[:, None] + (purpose << 24)
            call, number = divmod(t, draws_per_call("uniform" if kind == "unit" else kind, self.dtype))
            if (i, call) not in self.drawn:
                of = units_of(call, self.seed, counter, self.dtype) if kind == "unit" else None
                drawn = draws_of(kind, call, self.seed, counter, self.dtype) if of is None else of
                self.drawn = {key: kept for key, kept in self.drawn.items() if key[0] != i} | {(i, call): drawn}
            now[i] = self.drawn[i, call][number]
        return now


def state_at_start(program: Program, x: FloatArray, parameters: Mapping[str, ArrayLike]) -> list[FloatArray]:
    """What parts of a method's state begin with at x, (d, replicates): (numbers, replicates) each."""
    outputs, state = dict(program.outputs), list[FloatArray]()
    while f"state {len(state)}" in outputs:
        shape = ((program.nodes[outputs[f"state {len(state)}"]].shape or (1,))[0], x.shape[1])
        begin = f"begin {len(state)}"
        first = evaluated(program, begin, x, parameters, {}) if begin in outputs else np.zeros(shape, x.dtype)
        state.append(np.array(np.broadcast_to(first, shape)))
    return state


def state_after(
    program: Program,
    x: FloatArray,
    parameters: Mapping[str, ArrayLike],
    draws: Drawn,
    t: int,
    state: Sequence[FloatArray],
    step: Mapping[str, float],
) -> list[FloatArray]:
    """What they are after step t, of x and of the state before it."""
    names = [f"state {i}" for i in range(len(state))]
    after = [evaluated(program, name, x, parameters, draws(name, t), state, step) for name in names]
    return [np.array(np.broadcast_to(a, s.shape)) for a, s in zip(after, state, strict=True)]


def simulate(
    *,
    program: Program,
    x0: ArrayLike | None = None,
    dimension: int | None = None,
    schedule: Schedule,
    base_lr: float,
    horizon: int,
    replicates: ArrayLike,
    seed: int,
    parameters: Mapping[str, ArrayLike] | None = None,
    projection: str = "none",
    lower: ArrayLike = -math.inf,
    upper: ArrayLike = math.inf,
    radius: float = math.inf,
    minimum: float = 0.0,
    metric: str | Program = "suboptimality",
    stream: int = 0,
    record_at: Sequence[int] | None = None,
    iterate: str = "last",
    tail_frac: float = 0.5,
    ema_decay: float = 0.999,
    average_degree: float = 3.0,
    step_numbers: Sequence[tuple[Schedule, float, float]] = (),
    dtype: DTypeLike = np.float32,
) -> FloatArray:
    """Projected SGD with the outputs "gradient" and "value" of a canonical program; as `reference.simulate` else.

    With "next" in place of "gradient" that is the point after the step, before the projection. "state k" is what part k
    of a state becomes in a step, "begin k" what it is at first, where that is not 0.

    Without `x0` the program's "start" says where trajectories begin, in so many dimensions. `projection`: "none",
    "box", "ball", or "own", the program's.

    `step_numbers`: those of a method that follow schedules, as for `schedules.numbers_of_steps`.

    `metric`: "suboptimality", "value", or the program of a metric of one's own, whose "value" is recorded.

    >>> from anneal_sgd.programs import canonical, differentiated, trace
    >>> program = canonical(differentiated(trace(lambda x, a: a * abs(x[0]), dimension=1, parameters={"a": ()})))
    >>> call = dict(program=program, x0=[1.0], parameters={"a": 1.0}, schedule=Schedule("constant"))
    >>> simulate(base_lr=0.25, horizon=4, replicates=[0, 1], seed=0, record_at=[0, 1, 4], **call).tolist()
    [[1.0, 1.0], [0.75, 0.75], [0.0, 0.0]]
    """
    dtype = np.dtype(dtype)
    F: Any = dtype.type
    given = parameters or {}
    numbers = np.asarray(replicates, np.int64)
    records = (horizon,) if record_at is None else tuple(record_at)
    lr = learning_rates(schedule, base_lr, horizon, dtype)
    following = numbers_of_steps(step_numbers, horizon, dtype)
    start = np.zeros((dimension or 1, 1)) if x0 is None else np.asarray(x0, np.float64).reshape(-1, 1)
    x = np.repeat(start.astype(dtype), len(numbers), axis=1)
    low = np.zeros_like(x)
    ends = [
        np.broadcast_to(np.asarray(end, np.float64).reshape(-1, 1), start.shape).astype(dtype) for end in (lower, upper)
    ]

    draws = Drawn(program, seed=seed, replicates=numbers, stream=stream, dtype=dtype)

    def projected(y: FloatArray) -> FloatArray:
        if projection == "box":
            return lesser(ends[1], greater(ends[0], y))
        if projection == "ball":
            q = _summed(len(y), lambda i, acc: fma(y[i], y[i], acc), y.shape[1:], dtype)
            factor = np.where(q < F(np.inf), F(radius) / np.sqrt(q), F(np.nan))
            return np.where(q > F(radius * radius), y * factor, y)
        if projection == "own":
            return np.broadcast_to(evaluated(program, "projection", y, given, {}), y.shape)
        return y

    out = np.empty((len(records), len(numbers)), dtype)
    with np.errstate(all="ignore"):  # a diverging trajectory is no accident
        if x0 is None:
            x = projected(np.broadcast_to(evaluated(program, "start", x, given, draws("start", 0)), x.shape))
        kept, state = dict(program.outputs), state_at_start(program, x, given)
        averages = Averages(iterate, tail_frac, records, x, ema_decay, average_degree)
        for k in range(max(records, default=0) + 1):
            if k > 0:
                t = k - 1
                step = {"lr": lr[t], "t": k} | {name: of[t] for name, of in following.items()}
                if "next" in kept:
                    y = np.broadcast_to(evaluated(program, "next", x, given, draws("next", t), state, step), x.shape)
                else:
                    g = evaluated(program, "gradient", x, given, draws("gradient", t), state, step)
                    move = fma(np.broadcast_to(-lr[t], x.shape).astype(dtype), np.broadcast_to(g, x.shape), low)
                    y, low = moved(x, move)
                state = state_after(program, x, given, draws, t, state, step)
                x = projected(y)
                averages.add(k, x)
            if k in records:
                recorded = program if isinstance(metric, str) else metric
                f = evaluated(recorded, "value", averages.at(k, x), given, {}, state)[0]
                out[records.index(k)] = greater(F(0), f - F(minimum)) if metric == "suboptimality" else f
    return out
