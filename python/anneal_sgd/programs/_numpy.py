"""What NumPy's functions are to symbols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._ir import COMPOSED
from ._matrix import function_of_matrices, of_matrices, outer, reshaped, stacked
from ._special import SPECIAL_FUNCTIONS, SPECIAL_UFUNCS
from ._symbol import FUNCTIONS, UFUNCS, Condition, Symbol, lifted, product, refused, root_of_square


def _plain(op: str) -> Callable[..., Symbol]:
    return lambda s, *operands: s._made(op, *operands)


def _condition(symbol: Symbol) -> Condition:
    return Condition(symbol._builder, symbol._value)


def _less(s: Symbol, a: Any, b: Any) -> Condition:
    return _condition(s._made("less", a, b))


def _less_equal(s: Symbol, a: Any, b: Any) -> Condition:
    """Not b < a, and neither of the two is NaN, of which no absolute value is above -1."""
    unknown = [x for x in (a, b) if isinstance(x, Symbol)]
    known = s._made("less", -1.0, abs(unknown[0] if len(unknown) == 1 else np.minimum(a, b)))
    return _condition(s._made("select", s._made("less", b, a), 0.0, known))


def _equal(s: Symbol, a: Any, b: Any) -> Condition:
    return _condition(s._made("select", s._made("less", a, b), 0.0, _less_equal(s, a, b)))


def _not(s: Symbol, a: Any) -> Condition:
    return _condition(s._made("select", _truth(s, a), 0.0, 1.0))


def _truth(s: Symbol, a: Any) -> Any:
    """1 where a is not 0, as NaN is not."""
    if isinstance(a, Symbol):
        return a if isinstance(a, Condition) else _not(s, _equal(s, a, 0.0))
    numbers = np.asarray(a)
    return (numbers != 0).astype(np.float64) if numbers.dtype.kind in "biuf" else a


def _logical(op: str) -> Callable[..., Condition]:
    return lambda s, a, b: _condition(s._made(op, _truth(s, a), _truth(s, b)))


def _power(s: Symbol, base: Any, exponent: Any) -> Symbol:
    if isinstance(exponent, Symbol):
        known = s._builder.value_of(exponent._value)
        if known is None or len(known) != 1:
            return _power_of_number(s, base, exponent)
        exponent = known[0]
    if np.ndim(exponent) != 0:
        raise refused("A power with several exponents")
    e = float(exponent)
    if not np.isfinite(e):
        raise ValueError(f"exponents must be finite, got {e}")
    if e == 0.0:
        return s._made("add", s._made("multiply", base, 0.0), 1.0)
    return s._made("power", base, attribute=e) if e != 1.0 else s._made("add", base, 0.0)


def _power_of_number(s: Symbol, base: Any, exponent: Symbol) -> Symbol:
    """exp(exponent log base), of what is >= 0; its derivative where that is 0 is 0."""
    if not isinstance(base, Symbol) and np.ndim(base) == 0 and float(base) > 0:
        return s._made("exp", s._made("multiply", exponent, s._made("log", float(base))))
    if not isinstance(base, Symbol) or not s._builder.is_non_negative(base._value):
        raise refused("A power whose base and exponent are no constants, of what may be negative (take np.abs of it),")
    positive = s._made("less", 0.0, base)
    log = s._made("log", s._made("select", positive, base, 1.0))
    log = s._made("select", positive, log, s._made("add", base, _LOG_OF_ZERO))  # which keeps a NaN
    return s._made("exp", s._made("multiply", exponent, log))


_LOG_OF_ZERO = -1e30  # finite, so that 0 to the 0 is 1

_OR = _logical("maximum")  # which is what NumPy adds conditions with

_UFUNCS: dict[str, Callable[..., Any]] = {
    **{name: _plain(name) for name in ("subtract", "multiply", "divide", "negative", "absolute", "sign")},
    **{
        name: _plain(name)
        for name in ("sqrt", "exp", "log", "sin", "cos", "tanh", "rint", "arctan", "minimum", "maximum")
    },
    **{name: _plain(name) for name in ("erf", *COMPOSED)},
    "true_divide": _plain("divide"),
    "fabs": _plain("absolute"),
    "positive": lambda s, a: s._made("add", a, 0.0),
    "square": lambda s, a: s._made("power", a, attribute=2.0),
    "reciprocal": lambda s, a: s._made("divide", 1.0, a),
    "power": _power,
    "float_power": _power,
    "add": lambda s, a, b: (_OR if isinstance(a, Condition) and isinstance(b, Condition) else _plain("add"))(s, a, b),
    "less": _less,
    "greater": lambda s, a, b: _less(s, b, a),
    "less_equal": _less_equal,
    "greater_equal": lambda s, a, b: _less_equal(s, b, a),
    "equal": _equal,
    "not_equal": lambda s, a, b: _not(s, _equal(s, a, b)),
    **dict.fromkeys(("logical_and", "bitwise_and"), _logical("multiply")),
    **dict.fromkeys(("logical_or", "bitwise_or"), _OR),
    **dict.fromkeys(("logical_not", "invert"), _not),
    "exp2": lambda s, a: s._made("exp", s._made("multiply", a, np.log(2.0))),
    "log2": lambda s, a: s._made("multiply", s._made("log", a), 1.0 / np.log(2.0)),
    "log10": lambda s, a: s._made("multiply", s._made("log", a), 1.0 / np.log(10.0)),
    "tan": lambda s, a: s._made("divide", s._made("sin", a), s._made("cos", a)),
    "hypot": lambda s, a, b: _hypot(s, a, b),
    "matmul": lambda _, a, b: product(a, b),
    "vecdot": lambda _, a, b: product(a, b),
    "clip": lambda s, a, low, high: _clip(s, a, low, high),
}


def _hypot(s: Symbol, a: Any, b: Any) -> Symbol:
    return root_of_square(s._made("add", s._made("multiply", a, a), s._made("multiply", b, b)))


def _clip(s: Symbol, a: Any, a_min: Any = None, a_max: Any = None, **names: Any) -> Symbol:
    low, high = names.pop("min", a_min), names.pop("max", a_max)
    if names:
        raise refused(f"np.clip with {', '.join(names)}")
    result = s._made("add", a, 0.0)
    if low is not None:
        result = s._made("maximum", result, low)
    return result if high is None else s._made("minimum", result, high)


def _norm(s: Symbol, x: Any, ord: Any = None) -> Symbol:
    if ord in (None, 2):
        return root_of_square(product(x, x))
    if ord == 1:
        return s._made("absolute", x).sum()
    if ord == np.inf:
        return s._made("absolute", x).max()
    raise refused(f"np.linalg.norm with ord={ord!r}")


def _concatenate(s: Symbol, parts: Any, axis: int = 0) -> Symbol:
    if axis not in (0, -1):
        raise refused(f"np.concatenate over axis {axis}")
    values = [lifted(s._builder, _concatenate(s, p) if isinstance(p, list | tuple) else p) for p in parts]
    sizes = [s._builder.shape(v)[0] if s._builder.shape(v) else 1 for v in values]
    total, result = sum(sizes), None
    for i, value in enumerate(values):
        start = sum(sizes[:i])
        part = Symbol(s._builder, s._builder.node("embed", value, attribute=(start, 1, total)))
        result = part if result is None else s._made("add", result, part)
    assert result is not None
    return result


def _stack(s: Symbol, parts: Any, axis: int = 0) -> Any:
    return stacked(parts, axis) if any(np.ndim(part) for part in parts) else _concatenate(s, parts, axis)


def _roll(s: Symbol, x: Symbol, shift: int) -> Symbol:
    k = int(shift) % len(x)
    return s._made("add", x, 0.0) if k == 0 else _concatenate(s, [x[-k:], x[:-k]])


def _method(name: str) -> Callable[..., Symbol]:
    return lambda _, a, axis=None, **options: getattr(a, name)(axis, **options)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _method(name) for name in ("sum", "mean", "max", "min", "var", "std", "prod", "cumsum", "any", "all")},
    "amax": _method("max"),
    "amin": _method("min"),
    "outer": lambda _, a, b: outer(a, b),
    "reshape": lambda _, a, *shape: reshaped(a, *shape),
    "of matrices": of_matrices,
    "function of matrices": function_of_matrices,
    "dot": lambda _, a, b: product(a, b),
    "inner": lambda _, a, b: product(a, b),
    "vdot": lambda _, a, b: product(a, b),
    "where": lambda s, condition, a, b: s._made("select", _truth(s, condition), a, b),
    "clip": _clip,
    "norm": _norm,
    "concatenate": _concatenate,
    "hstack": _concatenate,
    "append": lambda s, a, b: _concatenate(s, [a, b]),
    "stack": _stack,
    "roll": _roll,
    "flip": lambda _, a: a[::-1],
    "zeros_like": lambda s, a: s._made("multiply", 0.0, np.zeros(a.shape)) if a.shape else s._made("add", 0.0, 0.0),
    "ones_like": lambda s, a: s._made("multiply", 1.0, np.ones(a.shape)) if a.shape else s._made("add", 1.0, 0.0),
    "copy": lambda _, a: a,
    "ravel": lambda _, a: a.ravel(),
    "shape": lambda _, a: a.shape,
    "ndim": lambda _, a: a.ndim,
    "size": lambda _, a: a.size,
}

UFUNCS.update(_UFUNCS | SPECIAL_UFUNCS)
FUNCTIONS.update(_FUNCTIONS | SPECIAL_FUNCTIONS)
