"""Matrices of numbers that are not known yet: their numbers row after row, as a symbol, and a shape.

What NumPy does with a matrix is done with rows, columns or all numbers at once; a program has vectors alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ._refusals import instead
from ._symbol import FUNCTIONS, UFUNCS, Symbol, full_name, place, refused

_MOST_PARTS = 1024  # rows, columns or numbers that are taken one by one
_REDUCTIONS = ("sum", "max", "min", "mean", "prod", "any", "all")


class Matrix(NDArrayOperatorsMixin):
    """What `x.reshape(m, n)` and the like are in a function that is traced."""

    __slots__ = ("numbers", "shape")

    ndim = 2

    def __init__(self, numbers: Symbol, shape: tuple[int, int]) -> None:
        """`numbers`: of shape (m n,), row after row."""
        self.numbers, self.shape = numbers, shape

    @property
    def size(self) -> int:
        """How many numbers."""
        return self.shape[0] * self.shape[1]

    @property
    def T(self) -> Matrix:
        """Transposed."""
        return _stacked([self.column(j) for j in _few(self.shape[1])])

    def row(self, i: int) -> Symbol:
        """(n,)."""
        n = self.shape[1]
        found: Symbol = self.numbers[i * n : (i + 1) * n]
        return found

    def column(self, j: int) -> Symbol:
        """(m,)."""
        found: Symbol = self.numbers[j :: self.shape[1]]
        return found

    def __len__(self) -> int:
        """How many rows."""
        return self.shape[0]

    def __iter__(self) -> Iterator[Symbol]:
        """Row after row."""
        return map(self.row, _few(self.shape[0]))

    def __getitem__(self, index: Any) -> Any:
        """An element, a row, a column, or a matrix of some of them."""
        given = [one for one in (index if isinstance(index, tuple) else (index,)) if one is not Ellipsis]
        first_is_column = isinstance(index, tuple) and index[0] is Ellipsis and len(given) == 1
        rows, columns = (slice(None), *given) if first_is_column else (*given, *[slice(None)] * (2 - len(given)))[:2]
        if len(given) > 2 or not all(isinstance(one, int | np.integer | slice) for one in (rows, columns)):
            raise refused(f"Indexing of a matrix with {index!r}")
        if not isinstance(rows, slice):
            return self.row(_within(rows, self.shape[0]))[columns]
        if not isinstance(columns, slice):
            return self.column(_within(columns, self.shape[1]))[rows]
        picked = range(self.shape[0])[rows]
        if not picked:
            raise ValueError(f"slices must not be empty, got {index!r} of shape {self.shape} ({place()})")
        return _stacked([self.row(i)[columns] for i in _few(picked)])

    def __setitem__(self, index: Any, value: Any) -> None:
        """TypeError."""
        raise refused("Assignment to an element (use np.where or np.concatenate)")

    def __bool__(self) -> bool:
        """TypeError."""
        raise refused("A branch on a value (use np.where)")

    def __array__(self, *_: Any, **__: Any) -> Any:
        """TypeError."""
        raise refused("A matrix where one number or a vector is needed (x.ravel() is one)")

    def __getattr__(self, name: str) -> Any:
        """Reductions; else Untraceable."""
        if name in _REDUCTIONS:
            return lambda axis=None, *, keepdims=False: _reduced(self, name, axis, keepdims)
        raise refused(f"Attribute {name!r} of a matrix")

    def reshape(self, *shape: Any) -> Any:
        """As `np.reshape`, in the order of rows."""
        return reshaped(self.numbers, *shape)

    def ravel(self) -> Symbol:
        """Its numbers."""
        return self.numbers

    flatten = ravel

    def copy(self) -> Matrix:
        """Itself, which nothing can change."""
        return self

    def dot(self, other: Any) -> Any:
        """As `np.dot`."""
        return _product(self, other)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's operators and functions of numbers."""
        return of_matrices(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, _: Any, arguments: Any, options: Any) -> Any:
        """NumPy's functions of arrays."""
        return function_of_matrices(function, arguments, options)


def of_matrices(ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    """An operator or function of numbers where an operand has two dimensions."""
    name = ufunc.__name__
    if method != "__call__" or name not in UFUNCS:
        raise refused(f"{full_name(ufunc, method)} of a matrix ({instead(name)})")
    if any(value is not None for value in options.values()):
        raise refused(f"{full_name(ufunc)} of a matrix with {', '.join(options)}")
    if name == "matmul":
        return _product(*inputs)
    if ufunc.nout > 1:
        raise refused(f"{full_name(ufunc)} of a matrix (use np.trunc, np.floor_divide, np.remainder)")
    return _elementwise(UFUNCS[name], inputs)


def function_of_matrices(function: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """A function of arrays where an argument has two dimensions."""
    name = function.__name__
    full = f"{function.__module__}.{name}".replace("numpy", "np", 1)
    if name not in _FUNCTIONS:
        raise refused(f"{full} of a matrix ({instead(name)})")
    try:
        return _FUNCTIONS[name](*arguments, **options)
    except TypeError as error:
        if isinstance(error, AttributeError):  # refused
            raise
        raise refused(f"{full} of a matrix with {', '.join(options) or 'these arguments'}") from None


def reshaped(numbers: Symbol, *shape: Any) -> Any:
    """A symbol's numbers as a vector or a matrix."""
    given = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    sizes = [operator.index(n) for n in given]
    flat = numbers.ravel()
    if sizes.count(-1) == 1 and len(sizes) <= 2:
        known = -int(np.prod(sizes))
        sizes = [flat.size // known if n == -1 and known else n for n in sizes]
    if len(sizes) not in (1, 2) or int(np.prod(sizes)) != flat.size or min(sizes) < 1:
        raise refused(f"A reshape of {flat.size} numbers to {tuple(given)}")
    return flat if len(sizes) == 1 else Matrix(flat, (sizes[0], sizes[1]))


def outer(a: Any, b: Any) -> Matrix:
    """`np.outer` of vectors, one of them a symbol."""
    column, row = (one if isinstance(one, Symbol) else np.asarray(one) for one in (a, b))
    if column.ndim != 1 or row.ndim != 1:
        raise refused("np.outer of what are no vectors")
    return _stacked([column[i] * row for i in _few(column.shape[0])])


def stacked(parts: Sequence[Any], axis: int = 0) -> Matrix:
    """`np.stack` of vectors."""
    if axis not in (0, 1, -1, -2):
        raise refused(f"np.stack over axis {axis}")
    symbol = next(part for part in parts if isinstance(part, Symbol))
    rows = [part if isinstance(part, Symbol) else _constant(symbol, part) for part in parts]
    if len({row.shape for row in rows}) > 1:
        raise ValueError(f"np.stack must be of values of one length, got {[row.shape for row in rows]} ({place()})")
    found = _stacked(rows)
    return found.T if axis in (1, -1) else found


# --- how -------------------------------------------------------------------------------------------------------------


def _few(places: int | range) -> range:
    found = range(places) if isinstance(places, int) else places
    if len(found) > _MOST_PARTS:
        raise refused(f"A matrix of {len(found)} rows or columns, taken one by one, more than {_MOST_PARTS},")
    return found


def _within(index: Any, n: int) -> int:
    if not -n <= index < n:
        raise IndexError(f"index must be in {-n} .. {n - 1}, got {index} ({place()})")
    return int(index) % n


def _joined(parts: Sequence[Any]) -> Symbol:
    """Numbers and vectors one after another."""
    symbol = next(part for part in parts if isinstance(part, Symbol))
    joined: Symbol = FUNCTIONS["concatenate"](symbol, parts)
    return joined


def _stacked(rows: Sequence[Symbol]) -> Matrix:
    return Matrix(_joined(rows), (len(rows), rows[0].size))


def _constant(symbol: Symbol, value: Any) -> Symbol:
    """A number or vector as a symbol of the same function."""
    found: Symbol = UFUNCS["add"](symbol, symbol._made("multiply", 0.0, np.zeros(np.shape(value))), value)
    return found


def _shape(value: Any) -> tuple[int, ...]:
    return value.shape if isinstance(value, Symbol | Matrix) else np.shape(value)


def _symbol_of(values: Sequence[Any]) -> Symbol:
    return next(v.numbers if isinstance(v, Matrix) else v for v in values if isinstance(v, Symbol | Matrix))


def _elementwise(f: Callable[..., Any], operands: Sequence[Any]) -> Matrix:
    """Of operands that are broadcast against each other, to two dimensions."""
    try:
        shape = np.broadcast_shapes(*map(_shape, operands))
    except ValueError:
        raise ValueError(f"operands must broadcast, got shapes {[*map(_shape, operands)]} ({place()})") from None
    if len(shape) != 2:
        raise refused(f"An array of shape {shape}, which is no matrix,")
    numbers = [_broadcast(value, shape) for value in operands]
    symbol = _symbol_of(operands)
    return Matrix(f(symbol, *numbers), (shape[0], shape[1]))


def _broadcast(value: Any, shape: tuple[int, ...]) -> Any:
    """All numbers of the shape, row after row, or one for all."""
    m, n = shape
    if not isinstance(value, Symbol | Matrix):
        return value if np.ndim(value) == 0 else np.broadcast_to(np.asarray(value, np.float64), shape).reshape(-1)
    if isinstance(value, Symbol):
        if value.shape == ():
            return value
        value = Matrix(value, (1, value.size))
    if value.shape == shape:
        return value.numbers
    rows = [value.row(i) for i in _few(value.shape[0])]
    if value.shape[1] != n:  # one number for a row
        rows = [row[0] + np.zeros(n) for row in rows]
    repeated = _joined(rows if len(rows) == m else rows * len(_few(m)))
    return type(value.numbers)(repeated._builder, repeated._value)


def _reduced(matrix: Matrix, name: str, axis: Any, keepdims: bool = False) -> Any:
    return _along(matrix, axis, keepdims, lambda numbers: getattr(numbers, name)())


def _along(matrix: Matrix, axis: Any, keepdims: bool, reduction: Callable[[Symbol], Symbol]) -> Any:
    """A reduction of all numbers, or of each row or column."""
    given = (0, 1) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = {a % 2 if isinstance(a, int) and -2 <= a < 2 else a for a in given}
    if not axes or not axes <= {0, 1}:
        raise refused(f"A reduction of a matrix over axis {axis!r}")
    if len(axes) == 2:
        result = reduction(matrix.numbers)
        return Matrix(result.ravel(), (1, 1)) if keepdims else result
    m, n = matrix.shape
    parts = [reduction(line) for line in (map(matrix.column, _few(n)) if axes == {0} else matrix)]
    joined = _joined(parts)
    result = type(parts[0])(joined._builder, joined._value)  # conditions stay such
    return Matrix(result, (1, n) if axes == {0} else (m, 1)) if keepdims else result


def _product(a: Any, b: Any) -> Any:
    """`a @ b`, sums of products of rows and columns."""
    if _shape(a) == () or _shape(b) == ():
        raise refused("A product with a matrix of one number (use *)")
    left, right = _lines(a, rows=True), _lines(b, rows=False)
    if len(left) * len(right) > _MOST_PARTS:
        raise refused(f"A product of {len(left) * len(right)} numbers, more than {_MOST_PARTS},")
    if (k := _shape(left[0])[0]) != (other := _shape(right[0])[0]):
        raise ValueError(f"a product must be of values of one length, got {k} and {other} ({place()})")
    symbol = _symbol_of([one for one in (a, b) if isinstance(one, Symbol | Matrix)])
    numbers = [symbol._made("sum", symbol._made("multiply", row, column)) for row in left for column in right]
    if len(_shape(a)) == len(_shape(b)) == 2:
        return Matrix(_joined(numbers), (len(left), len(right)))
    return _joined(numbers)


def _lines(value: Any, *, rows: bool) -> list[Any]:
    if len(_shape(value)) == 1:
        return [value]
    if isinstance(value, Matrix):
        return [value.row(i) for i in _few(value.shape[0])] if rows else [value.column(j) for j in _few(value.shape[1])]
    return list(np.asarray(value, np.float64) if rows else np.asarray(value, np.float64).T)


def _norm(a: Matrix, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None and ord not in (None, "fro"):
        raise refused(f"np.linalg.norm of a matrix with ord={ord!r}")
    return _along(a, axis, keepdims, lambda numbers: FUNCTIONS["norm"](numbers, numbers, None if ord == "fro" else ord))


def _diagonal(a: Matrix) -> Symbol:
    found: Symbol = a.numbers[: min(a.shape) * a.shape[1] : a.shape[1] + 1]
    return found


def _method(name: str) -> Callable[..., Any]:
    return lambda a, axis=None, *, keepdims=False: _reduced(a, name, axis, keepdims)


def _where(condition: Any, a: Any, b: Any) -> Matrix:
    return _elementwise(lambda s, *three: FUNCTIONS["where"](s, *three), (condition, a, b))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _method(name) for name in _REDUCTIONS},
    "amax": _method("max"),
    "amin": _method("min"),
    "where": _where,
    "dot": _product,
    "norm": _norm,
    "trace": lambda a: _diagonal(a).sum(),
    "diag": _diagonal,
    "diagonal": _diagonal,
    "transpose": lambda a: a.T,
    "reshape": lambda a, shape: a.reshape(shape),
    "ravel": lambda a: a.numbers,
    "copy": lambda a: a,
    "shape": lambda a: a.shape,
    "ndim": lambda a: 2,
    "size": lambda a: a.size,
}
