"""Numbers that are not known yet, and what is done with them.

A `Symbol` takes part in NumPy's operators, ufuncs and functions. Anything else that a function might do with it, such
as branching on it, is a TypeError that names the operation and the line.
"""

from __future__ import annotations

import functools
import math
import operator
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ._build import Builder
from ._ir import ELEMENTWISE, LARGEST, Shape
from ._refusals import instead

_HERE = str(Path(__file__).parent)
_MOST_ITERATED = 64  # numbers of a symbol that a loop may take one by one

# What NumPy's functions are to symbols, by name; _numpy.py fills them. Their first argument is a symbol.
UFUNCS: dict[str, Callable[..., Any]] = {}
FUNCTIONS: dict[str, Callable[..., Any]] = {}


def place() -> str:
    """The line of the function that is being traced."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith(_HERE) or "numpy" in Path(frame.f_code.co_filename).parts
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Untraceable(TypeError, AttributeError):
    """Something was done with a symbol that a program cannot say."""


def refused(what: str) -> Untraceable:
    """The error for an operation that cannot be traced."""
    return Untraceable(f"{what} cannot be traced ({place()}): the function is called with symbols for numbers")


def lifted(builder: Builder, value: Any, what: str = "an operand") -> int:
    """A symbol's value, or a number or vector as a constant."""
    if isinstance(value, Symbol):
        if value._builder is not builder:
            raise refused("A symbol of another function")
        return value._value
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.ndim > 1 or not 1 <= array.size <= LARGEST:
        raise refused(f"{what}, {type(value).__name__} of shape {array.shape},")
    numbers = array.astype(np.float64).reshape(-1)
    if not np.isfinite(numbers).all():
        raise ValueError(f"constants must be finite, got {numbers[~np.isfinite(numbers)][0]} ({place()})")
    constant = builder.constant(numbers)
    return builder.expanded(constant, 1) if array.ndim == 1 and array.size == 1 else constant


class Symbol(NDArrayOperatorsMixin):
    """A number, or a vector of them, that is not known yet."""

    __slots__ = ("_builder", "_value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, builder: Builder, value: int) -> None:
        """A value of a program in the making."""
        self._builder, self._value = builder, value

    @property
    def shape(self) -> Shape:
        """() or (n,)."""
        return self._builder.shape(self._value)

    @property
    def ndim(self) -> int:
        """0 or 1."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """1 or n."""
        return math.prod(self.shape)

    @property
    def T(self) -> Symbol:
        """Itself, as of an array of one dimension."""
        return self

    def __len__(self) -> int:
        """N."""
        if self.shape == ():
            raise refused("len() of one number")
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        """A number, a slice, what known indices or a known mask pick, or a matrix of one row or column."""
        if isinstance(index, tuple) and self.shape and len(index) == 2 and (index[0] is None) != (index[1] is None):
            vector = self[index[1] if index[0] is None else index[0]]
            return FUNCTIONS["reshape"](self, vector, *((1, -1) if index[0] is None else (-1, 1)))
        if isinstance(index, tuple) and len(rest := [one for one in index if one is not Ellipsis]) == 1:
            index = rest[0]  # of x[..., 0]
        if self.shape and isinstance(index, list | np.ndarray) and np.ndim(index) == 1:
            return self._gathered(np.asarray(index))
        if self.shape == () or isinstance(index, bool) or not isinstance(index, int | np.integer | slice):
            hint = " (use np.where)" if isinstance(index, Condition) else ""
            raise refused(f"Indexing with {type(index).__name__}{hint}")
        n = self.shape[0]
        if isinstance(index, slice):
            picked = range(n)[index]
            if not picked:
                raise ValueError(f"slices must not be empty, got {index} of {n} numbers ({place()})")
            stop = picked[-1] + (1 if picked.step > 0 else -1)
            return self._picked("slice", (picked.start, stop, picked.step))
        if not -n <= index < n:
            raise IndexError(f"index must be in {-n} .. {n - 1}, got {index} ({place()})")
        return self._picked("element", int(index) % n)

    def _gathered(self, index: Any) -> Symbol:
        """The numbers at known places, or where a known mask is True: runs of equal steps, each a slice."""
        n = len(self)
        if index.dtype == bool and len(index) == n:
            index = np.flatnonzero(index)
        if index.dtype.kind not in "iu" or not index.size:
            raise refused(f"Indexing with {type(index).__name__} of {index.dtype}, {index.size} of {n}")
        if (outside := index[(index < -n) | (index >= n)]).size:
            raise IndexError(f"index must be in {-n} .. {n - 1}, got {outside[0]} ({place()})")
        parts, places = [], (index % n).tolist()
        while places:
            step = places[1] - places[0] if len(places) > 1 else 0
            count = 1
            while step and count < len(places) and places[count] - places[count - 1] == step:
                count += 1
            end = places[0] + count * step
            run = slice(places[0], end if end >= 0 else None, step) if step else slice(places[0], places[0] + 1)
            parts.append(self[run])
            places = places[count:]
            if len(parts) > _MOST_ITERATED:
                raise refused(f"Indexing with {index.size} places in more than {_MOST_ITERATED} runs")
        joined: Symbol = parts[0] if len(parts) == 1 else FUNCTIONS["concatenate"](self, parts)
        return joined

    def __iter__(self) -> Iterator[Symbol]:
        """Number after number, where they are few."""
        if len(self) > _MOST_ITERATED:
            raise refused(f"A loop over {len(self)} numbers, more than {_MOST_ITERATED},")
        return (self[i] for i in range(len(self)))

    def __setitem__(self, index: Any, value: Any) -> None:
        """TypeError."""
        raise refused("Assignment to an element (use np.where or np.concatenate)")

    def __bool__(self) -> bool:
        """TypeError."""
        raise refused("A branch on a value (use np.where, np.maximum for max, & for and)")

    def __float__(self) -> float:
        """TypeError."""
        raise refused("Conversion to a number (np.exp is what math.exp would be, scipy.special.erf math.erf)")

    __int__ = __index__ = __complex__ = __float__

    def round(self, decimals: int = 0) -> Symbol:
        """As `np.round`."""
        rounded: Symbol = FUNCTIONS["round"](self, self, decimals)
        return rounded

    def __round__(self, decimals: int | None = None) -> Symbol:
        """As `np.round`."""
        return self.round(decimals or 0)

    def __floor__(self) -> Symbol:
        """`math.floor`, as `np.floor`."""
        whole: Symbol = UFUNCS["floor"](self, self)
        return whole

    def __ceil__(self) -> Symbol:
        """`math.ceil`, as `np.ceil`."""
        whole: Symbol = UFUNCS["ceil"](self, self)
        return whole

    def __trunc__(self) -> Symbol:
        """`math.trunc`, as `np.trunc`."""
        whole: Symbol = UFUNCS["trunc"](self, self)
        return whole

    def __array__(self, *_: Any, **__: Any) -> Any:
        """TypeError."""
        raise refused(
            "Conversion to an array (x is one already, np.stack makes one of numbers, "
            "np.logaddexp.reduce(x) is scipy.special.logsumexp(x))"
        )

    def __getattr__(self, name: str) -> Any:
        """Untraceable, which is a TypeError and, for `hasattr`, an AttributeError."""
        raise refused(f"Attribute {name!r} ({instead(name)})")

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Symbol:
        """As `np.sum`."""
        return self._reduced("sum", axis, keepdims)

    def max(self, axis: Any = None, *, keepdims: bool = False) -> Symbol:
        """As `np.max`."""
        return self._reduced("max", axis, keepdims)

    def min(self, axis: Any = None, *, keepdims: bool = False) -> Symbol:
        """As `np.min`."""
        return self._reduced("min", axis, keepdims)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Symbol:
        """As `np.mean`."""
        return self._made("divide", self.sum(axis, keepdims=keepdims), float(self.size))

    def var(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Symbol:
        """As `np.var`. ValueError: ddof is not below how many numbers there are."""
        if not ddof < self.size:
            raise ValueError(f"ddof must be below {self.size}, how many numbers there are, got {ddof} ({place()})")
        apart = self - self.mean(axis)
        return self._made("divide", (apart * apart).sum(axis, keepdims=keepdims), float(self.size - ddof))

    def std(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Symbol:
        """As `np.std`; its derivative where all numbers are equal is 0."""
        return root_of_square(self.var(axis, ddof=ddof, keepdims=keepdims))

    def prod(self, axis: Any = None, *, keepdims: bool = False) -> Symbol:
        """As `np.prod`, in another order: the halves by each other, then theirs."""
        _check_axis(axis)
        factors, odd = self, []
        while factors.size > 1:
            half = factors.size // 2
            odd += [factors[-1]] * (factors.size % 2)
            factors = factors[:half] * factors[half : 2 * half]
        result = functools.reduce(operator.mul, odd, factors[0] if factors.shape else factors)
        return self._kept(result, keepdims)

    def cumsum(self, axis: Any = None) -> Symbol:
        """As `np.cumsum`, in another order: of 2, 4, 8, .. numbers."""
        _check_axis(axis)
        total, n, k = self if self.shape else self._alone(), self.size, 1
        while k < n:
            total, k = total + total[:-k]._picked("embed", (k, 1, n)), 2 * k
        return total

    def any(self, axis: Any = None, *, keepdims: bool = False) -> Symbol:
        """As `np.any`."""
        truth: Symbol = self if isinstance(self, Condition) else self != 0.0
        return Condition(self._builder, truth.max(axis, keepdims=keepdims)._value)

    def all(self, axis: Any = None, *, keepdims: bool = False) -> Symbol:
        """As `np.all`."""
        truth: Symbol = self if isinstance(self, Condition) else self != 0.0
        return Condition(self._builder, truth.min(axis, keepdims=keepdims)._value)

    def clip(self, min: Any = None, max: Any = None) -> Symbol:
        """As `np.clip`."""
        clipped: Symbol = FUNCTIONS["clip"](self, self, min, max)
        return clipped

    def copy(self) -> Symbol:
        """Itself, which nothing can change."""
        return self

    def astype(self, dtype: Any, **_: Any) -> Symbol:
        """Itself: numbers are of the dtype of the call."""
        if np.dtype(dtype).kind != "f":
            raise refused(f"Conversion to {np.dtype(dtype).name}")
        return self

    def cumprod(self, axis: Any = None) -> Symbol:
        """As `np.cumprod`."""
        product_so_far: Symbol = FUNCTIONS["cumprod"](self, self, axis)
        return product_so_far

    def reshape(self, *shape: Any) -> Any:
        """As `np.reshape`: a vector, or a matrix of its numbers, row after row."""
        return FUNCTIONS["reshape"](self, self, *shape)

    def ravel(self) -> Symbol:
        """Its numbers as a vector."""
        return self if self.shape else self._alone()

    flatten = ravel

    def dot(self, other: Any) -> Symbol:
        """As `np.dot`."""
        return product(self, other)

    def _reduced(self, op: str, axis: Any, keepdims: bool) -> Symbol:
        _check_axis(axis)
        return self._kept(self._made(op, self) if self.shape else self, keepdims)

    def _kept(self, result: Symbol, keepdims: bool) -> Symbol:
        return result._alone() if keepdims and self.shape else result

    def _alone(self) -> Symbol:
        """One number as a vector of one."""
        return Symbol(self._builder, self._builder.expanded(self._value, 1))

    def _picked(self, op: str, attribute: Any) -> Symbol:
        return type(self)(self._builder, self._made(op, self, attribute=attribute)._value)

    def _made(self, op: str, *operands: Any, attribute: Any = None) -> Symbol:
        values = [lifted(self._builder, x) for x in operands]
        if op in ELEMENTWISE and len({self._builder.shape(v) for v in values} - {()}) > 1:
            values = [self._one(v) for v in values]
        try:
            return Symbol(self._builder, self._builder.node(op, *values, attribute=attribute))
        except ValueError as error:
            raise ValueError(f"{error} ({place()})") from None

    def _one(self, value: int) -> int:
        """The number of a vector of one, as NumPy broadcasts it."""
        alone = self._builder.shape(value) == (1,)
        return self._builder.node("element", value, attribute=0) if alone else value

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's operators and functions of numbers."""
        name = ufunc.__name__
        if method in _OF_UFUNCS and name in _OF_UFUNCS[method] and len(inputs) == 1:
            axis = options.pop("axis", None)
            try:
                return _OF_UFUNCS[method][name](inputs[0], axis, **options)
            except Untraceable:
                raise
            except TypeError:
                raise refused(f"np.{name}.{method} with {', '.join(options)}") from None
        full = full_name(ufunc, method)
        if method != "__call__" or name not in UFUNCS:
            raise refused(f"{full} ({instead(name)})")
        matrices = [value for value in inputs if getattr(value, "ndim", 0) == 2]
        if matrices and (name != "matmul" or not isinstance(matrices[0], np.ndarray)):
            return FUNCTIONS["of matrices"](ufunc, method, inputs, options)
        if options.get("out") == (self,) and self.shape == ():  # s += a, of one number, which NumPy does not change
            options = {}
        if any(value is not None for value in options.values()):
            raise refused(f"{full} with {', '.join(options)}")
        return UFUNCS[name](self, *inputs)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        """NumPy's functions of arrays."""
        name = function.__name__
        full = f"{function.__module__}.{name}".replace("numpy", "np", 1)
        if any(getattr(one, "ndim", 0) == 2 for one in types):
            return FUNCTIONS["function of matrices"](function, arguments, options)
        if name not in FUNCTIONS:
            raise refused(f"{full} ({instead(name)})")
        try:
            return FUNCTIONS[name](self, *arguments, **options)
        except Untraceable:
            raise
        except TypeError:
            raise refused(f"{full} with {', '.join(options) or 'these arguments'}") from None


def full_name(ufunc: np.ufunc, method: str = "__call__") -> str:
    """As a user writes it; what is not of NumPy is of scipy.special."""
    of = "np" if getattr(np, ufunc.__name__, None) is ufunc else "scipy.special"
    return f"{of}.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")


def _log_sum_exp(x: Symbol, axis: Any = None, *, keepdims: bool = False) -> Symbol:
    """Relative to the largest number, of which one is in any case."""
    _check_axis(axis)
    top = x.max()
    apart = x._made("exp", x._made("subtract", x, top)).sum()
    return x._kept(x._made("add", top, x._made("log", apart)), keepdims)


_OF_UFUNCS: dict[str, dict[str, Callable[..., Any]]] = {
    "reduce": {
        "add": lambda x, axis, **options: x.sum(axis, **options),
        "multiply": lambda x, axis, **options: x.prod(axis, **options),
        "maximum": lambda x, axis, **options: x.max(axis, **options),
        "minimum": lambda x, axis, **options: x.min(axis, **options),
        "logical_and": lambda x, axis, **options: x.all(axis, **options),
        "logical_or": lambda x, axis, **options: x.any(axis, **options),
        "logaddexp": _log_sum_exp,
    },
    "accumulate": {
        "add": lambda x, axis: x.cumsum(axis),
        "multiply": lambda x, axis: FUNCTIONS["cumprod"](x, x, axis),
    },
}


class Condition(Symbol):
    """Of what a comparison or a logical function gives: ones and zeros, for True and False."""

    __slots__ = ()


def _check_axis(axis: Any) -> None:
    if axis not in (None, 0, -1, (0,), (-1,)):
        raise refused(f"A reduction over axis {axis!r}")


def root_of_square(square: Symbol) -> Symbol:
    """The root of a sum of squares: its derivative at 0 is 0; a NaN stays one."""
    positive = square._made("less", 0.0, square)
    root = square._made("sqrt", square._made("select", positive, square, 1.0))
    return square._made("select", positive, root, square)


def product(a: Any, b: Any) -> Symbol:
    """`a @ b`, of vectors, or of a constant matrix and a vector."""
    matrix_first = not isinstance(a, Symbol) and np.ndim(a) == 2
    matrix_last = not isinstance(b, Symbol) and np.ndim(b) == 2
    symbol: Symbol = b if isinstance(b, Symbol) else a
    if matrix_first or matrix_last:
        matrix = np.asarray(a if matrix_first else np.asarray(b).T, np.float64)
        if not np.isfinite(matrix).all():
            raise ValueError(f"constants must be finite, got a matrix that is not ({place()})")
        return symbol._made("matvec", symbol, attribute=matrix)
    shapes = [symbol._builder.shape(lifted(symbol._builder, x)) for x in (a, b)]
    if () in shapes:
        return symbol._made("multiply", a, b)
    if shapes[0] != shapes[1]:
        raise ValueError(f"a product must be of values of one length, got {shapes[0]} and {shapes[1]} ({place()})")
    return symbol._made("sum", symbol._made("multiply", a, b))
