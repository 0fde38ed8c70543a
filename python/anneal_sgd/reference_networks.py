"""The stream of problems on data in NumPy: minibatches, losses and steps, written from docs/stream.md alone.

Like `anneal_sgd.reference`, of which this is the second half: the compiled backends are compared with it to the bit, it
shares no code with them, and it is slow. Arrays run over replicates first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import reference
from .reference import FloatArray, Schedule, fma, minus_two_log, philox4x32_10

WIDTH = 16  # accumulators of a product
SAMPLES, EPOCHS, START = 1 << 24, 2 << 24, 3 << 24  # purposes, as the last word of a counter
_EXP32 = "0x1.62e432p-1 0x1.ebfbe6p-3 0x1.c6ada8p-5 0x1.3b21cap-7 0x1.5fb504p-10 0x1.4b107ep-13"
EXP32 = [float.fromhex(c) for c in _EXP32.split()]
LOG2E = {"float32": ("0x1.715476p+0", "0x1.4ae0cp-26"), "float64": ("0x1.71547652b82fep+0", "0x1.777d0ffda0d24p-56")}
EXPONENTS = {"float32": (-86.0, 88.0), "float64": (-700.0, 700.0)}


@dataclass(frozen=True, eq=False)
class Network:
    """A feed-forward network on data; without hidden layers a linear model.

    - `loss`: squared, logistic, hinge (one output, targets numbers or -1, +1) or softmax (targets 0 .. outputs - 1)
    - `X`, `y`: rows and targets; `test_X`, `test_y`: held out
    - `outputs`, `hidden`, `activation` ("relu", "tanh"), `intercept`: the model
    - `x0`: the start, or None: drawn
    - `l2`, `radius` of the ball, `minimum` f*, `batch_size`, `reshuffling`
    """

    loss: str
    X: FloatArray
    y: ArrayLike
    outputs: int = 1
    hidden: Sequence[int] = ()
    activation: str = "relu"
    intercept: bool = False
    x0: ArrayLike | None = None
    l2: float = 0.0
    radius: float = math.inf
    minimum: float = 0.0
    batch_size: int = 1
    reshuffling: bool = False
    test_X: FloatArray | None = None
    test_y: ArrayLike = ()


# --- elementary functions ---------------------------------------------------------------------------------------------


def exp(x: FloatArray) -> FloatArray:
    """`e^y`, y = x brought into [-86, 88] ([-700, 700] in float64): n = y / ln 2 rounded, `2^(y / ln 2 - n) 2^n`.

    >>> exp(np.array([0.0, -1e9])).tolist(), exp(np.float32([1.0])).tolist()
    ([1.0, 9.85967654375977e-305], [2.7182817459106445])
    """
    name, F = x.dtype.name, x.dtype.type
    low, high = (F(bound) for bound in EXPONENTS[name])
    major, minor = (F(float.fromhex(c)) for c in LOG2E[name])
    bits, integer, magic = (23, np.int32, F(1.5 * 2**23)) if name == "float32" else (52, np.int64, F(1.5 * 2**52))
    y = reference._lesser(high, reference._greater(low, x))
    nan = np.isnan(y)
    y = np.where(nan, F(0), y)
    n = fma(y, major, magic) - magic
    r = fma(y, minor, fma(y, major, -n))
    coefficients = EXP32 if name == "float32" else reference.COEFFICIENTS["EXP64"]
    p = np.full_like(r, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        p = fma(p, r, F(c))
    mantissa = fma(r, p, F(1))
    scaled = (mantissa.view(integer) + (n.astype(integer) << integer(bits))).view(x.dtype)
    return np.asarray(np.where(nan, F(np.nan), scaled))


def _log(x: FloatArray) -> FloatArray:
    return np.asarray(x.dtype.type(-0.5) * minus_two_log(x))


def _activated(kind: str, z: FloatArray) -> FloatArray:
    one, two = z.dtype.type(1), z.dtype.type(2)
    return reference._greater(z.dtype.type(0), z) if kind == "relu" else one - two / (exp(z + z) + one)


def _through(kind: str, a: FloatArray, delta: FloatArray) -> FloatArray:
    zero, one = a.dtype.type(0), a.dtype.type(1)
    return np.where(a > 0, delta, zero) if kind == "relu" else fma(-a, a, one) * delta


# --- samples ----------------------------------------------------------------------------------------------------------


def _words(counter: tuple[ArrayLike, ...], seed: int) -> NDArray[np.uint32]:
    return philox4x32_10(np.stack(np.broadcast_arrays(*counter), axis=-1), [seed % 2**32, seed // 2**32])


def rows(
    n: int, *, seed: int, replicates: ArrayLike, first: int, count: int, stream: int = 0, reshuffling: bool = False
) -> NDArray[np.int64]:
    """Row numbers of samples first .. first + count - 1: `(replicates, count)`.

    >>> rows(10, seed=1, replicates=[0, 1], first=0, count=5).tolist()
    [[6, 5, 4, 9, 5], [5, 3, 5, 2, 9]]
    >>> sorted(rows(5, seed=1, replicates=[0], first=5, count=5, reshuffling=True)[0].tolist())
    [0, 1, 2, 3, 4]
    """
    replicates = np.asarray(replicates, np.int64)
    out = np.empty((len(replicates), count), np.int64)
    for j, q in enumerate(range(first, first + count)):
        if not reshuffling:
            words = _words((replicates, stream, q // 4 % 2**32, SAMPLES + q // 4 // 2**32), seed)
            out[:, j] = (words[:, q % 4].astype(np.uint64) * np.uint64(n)) >> np.uint64(32)
            continue
        epoch, position = divmod(q, n)
        calls = [
            _words((replicates, stream, (4 * epoch + call) % 2**32, EPOCHS + 4 * epoch // 2**32), seed)
            for call in range(4)
        ]
        out[:, j] = [_shuffled(position, n, keys.tolist()) for keys in np.concatenate(calls, axis=1)]
    return out


def _scattered(x: int, key: int, size: int) -> int:
    u = (x ^ key) * 0x9E3779B1 % 2**32
    u ^= u >> 15
    u = u * 0x85EBCA77 % 2**32
    u ^= u >> 13
    return (u * 0xC2B2AE3D % 2**32) * size >> 32


def _shuffled(position: int, n: int, keys: Sequence[int]) -> int:
    columns = math.isqrt(n - 1) + 1
    grid_rows = -(-n // columns)
    while True:
        high, low = divmod(position, columns)
        for r in range(0, 16, 2):
            high = (high + _scattered(low, keys[r], grid_rows)) % grid_rows
            low = (low + _scattered(high, keys[r + 1], columns)) % columns
        position = high * columns + low
        if position < n:
            return position


# --- the model --------------------------------------------------------------------------------------------------------


def _layers(network: Network, x: FloatArray) -> list[tuple[FloatArray, FloatArray | None]]:
    """Weights `(replicates, units, inputs)` and intercepts `(replicates, units)` of every layer: views of x."""
    sizes = (network.X.shape[1], *network.hidden, network.outputs)
    layers, at = [], 0
    for inputs, units in pairwise(sizes):
        weights = x[:, at : at + inputs * units].reshape(-1, units, inputs)
        at += inputs * units
        layers.append((weights, x[:, at : at + units] if network.intercept else None))
        at += units * network.intercept
    return layers


def _product(weights: FloatArray, rows: FloatArray) -> FloatArray:
    """`(replicates, samples, units)` from weights (replicates, units, inputs), rows (replicates, samples, inputs)."""
    acc = np.zeros((*rows.shape[:2], weights.shape[1], WIDTH), weights.dtype)
    for i in range(0, rows.shape[2], WIDTH):
        part = slice(0, min(WIDTH, rows.shape[2] - i))
        w, x = weights[:, None, :, i : i + WIDTH], rows[:, :, None, i : i + WIDTH]
        acc[..., part] = fma(w, x, acc[..., part])
    return reference._fold(acc, axis=-1)


def _forward(network: Network, x: FloatArray, rows: FloatArray) -> tuple[list[FloatArray], FloatArray]:
    """Inputs of every layer, and the outputs."""
    inputs, layers = [rows], _layers(network, x)
    for k, (weights, intercept) in enumerate(layers):
        z = _product(weights, inputs[-1])
        if intercept is not None:
            z = z + intercept[:, None, :]
        if k + 1 < len(layers):
            inputs.append(_activated(network.activation, z))
    return inputs, z


def _derivative(loss: str, z: FloatArray, y: FloatArray) -> FloatArray:
    F = z.dtype.type
    if loss == "softmax":
        e = exp(z - z.max(axis=-1, keepdims=True))
        total = F(0)
        for k in range(z.shape[-1]):
            total = total + e[..., k]
        hot = (y[..., None] == np.arange(z.shape[-1])).astype(z.dtype)
        return fma(e, np.broadcast_to((F(1) / total)[..., None], e.shape), -hot)
    z = z[..., 0]
    if loss == "squared":
        d = z - y
    elif loss == "logistic":
        d = -y / (F(1) + exp(y * z))
    else:
        d = np.where(y * z < 1, -y, F(0))
    return np.asarray(d[..., None])


def _loss(loss: str, z: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Losses, and whether the target is predicted."""
    F = z.dtype.type
    if loss == "softmax":
        above = z - z.max(axis=-1, keepdims=True)
        e, total = exp(above), F(0)
        for k in range(z.shape[-1]):
            total = total + e[..., k]
        target = np.take_along_axis(above, y[..., None].astype(np.int64), axis=-1)[..., 0]
        return _log(np.asarray(total)) - target, z.argmax(axis=-1) == y
    z = z[..., 0]
    if loss == "squared":
        r = z - y
        return (r * F(0.5)) * r, r == 0
    m = y * z
    hits = (z > 0) == (y > 0)
    if loss == "logistic":
        return reference._greater(F(0), -m) + _log(F(1) + exp(-abs(m))), hits
    return reference._greater(F(0), F(1) - m), hits


def metrics(network: Network, x: FloatArray) -> dict[str, FloatArray]:
    """suboptimality, loss, test_loss and test_accuracy, in the dtype of x, for points x of shape (replicates, d)."""
    out = {}
    with np.errstate(all="ignore"):
        for prefix, X, y in (("", network.X, network.y), ("test_", network.test_X, network.test_y)):
            if X is None:
                continue
            data = np.broadcast_to(np.asarray(X, x.dtype), (len(x), *X.shape))
            targets = np.broadcast_to(np.asarray(y, x.dtype), data.shape[:2])
            losses, hits = _loss(network.loss, _forward(network, x, data)[1], targets)
            acc = np.zeros((len(x), WIDTH))
            for i in range(len(X)):
                acc[:, i % WIDTH] += losses[:, i]
            mean = reference._fold(acc, axis=1) / len(X)
            if prefix:
                out["test_loss"] = mean.astype(x.dtype)
                out["test_accuracy"] = np.where(np.isfinite(mean), hits.sum(axis=1) / len(X), np.nan).astype(x.dtype)
                continue
            if network.l2 > 0:
                acc = np.zeros((len(x), WIDTH))
                for weights, _ in _layers(network, x):
                    for row in np.moveaxis(weights.astype(np.float64), 1, 0):
                        for i in range(row.shape[1]):
                            acc[:, i % WIDTH] = fma(row[:, i], row[:, i], acc[:, i % WIDTH])
                mean = mean + 0.5 * network.l2 * reference._fold(acc, axis=1)
            out["loss"] = mean.astype(x.dtype)
            out["suboptimality"] = reference._greater(np.float64(0), mean - network.minimum).astype(x.dtype)
    return out


# --- trajectories -----------------------------------------------------------------------------------------------------


def _start(network: Network, replicates: NDArray[np.int64], seed: int, stream: int, dtype: Any) -> FloatArray:
    sizes = (network.X.shape[1], *network.hidden, network.outputs)
    d = sum(a * b + b * network.intercept for a, b in pairwise(sizes))
    x = np.zeros((len(replicates), d), dtype)
    if network.x0 is not None:
        x[:] = np.asarray(network.x0, np.float64).astype(dtype)
        return x
    drawn = reference.draws(
        "gaussian",
        seed=seed,
        replicates=replicates,
        first_step=0,
        steps=d,
        stream=stream,
        coordinate=START,
        dtype=x.dtype,
    ).T
    for k, ((into, _), (draws, _)) in enumerate(zip(_layers(network, x), _layers(network, drawn), strict=True)):
        gain = 2.0 if k + 2 < len(sizes) and network.activation == "relu" else 1.0
        into[:] = np.asarray(math.sqrt(gain / sizes[k])).astype(x.dtype) * draws
    return x


def _project(network: Network, x: FloatArray) -> FloatArray:
    acc = np.zeros((len(x), WIDTH), x.dtype)
    for weights, intercept in _layers(network, x):
        for row in [*np.moveaxis(weights, 1, 0), *([] if intercept is None else [intercept])]:
            for i in range(row.shape[1]):
                acc[:, i % WIDTH] = fma(row[:, i], row[:, i], acc[:, i % WIDTH])
    F, q = x.dtype.type, reference._fold(acc, axis=1)
    factor = np.where(q < F(np.inf), F(network.radius) / np.sqrt(q), F(np.nan))
    return np.where((q > F(network.radius * network.radius))[:, None], x * factor[:, None], x)


def simulate(
    *,
    network: Network,
    schedule: Schedule,
    base_lr: float,
    horizon: int,
    replicates: ArrayLike,
    seed: int,
    stream: int = 0,
    record_at: Sequence[int] | None = None,
    iterate: str = "last",
    tail_frac: float = 0.5,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    dtype: DTypeLike = np.float32,
) -> dict[str, FloatArray]:
    """The metrics of `metrics` as arrays `(records, replicates)`, after `record_at[k]` steps (default: the horizon).

    >>> network = Network("squared", X=np.array([[1.0], [1.0]]), y=[1.0, 1.0], x0=[0.0])
    >>> call = dict(network=network, schedule=Schedule("constant"), base_lr=0.5, horizon=2, seed=0, record_at=[0, 1, 2])
    >>> simulate(replicates=[0], **call)["loss"].tolist()
    [[0.5], [0.125], [0.03125]]
    """
    dtype = np.dtype(dtype)
    F: Any = dtype.type
    numbers = np.asarray(replicates, np.int64)
    records = (horizon,) if record_at is None else tuple(record_at)
    length = {k: k if iterate == "average" else max(1, math.ceil(tail_frac * k)) for k in records}
    steps = np.arange(horizon, dtype=np.int64)
    u, v = steps / horizon, (horizon - steps) / horizon
    lr = (base_lr * reference.schedule_value(horizon=horizon, u=u, v=v, **vars(schedule))).astype(dtype)
    X, y, B = np.asarray(network.X, dtype), np.asarray(network.y, dtype), network.batch_size
    decay, mu, share = F(network.l2 + weight_decay), F(momentum), F(1) / F(B)
    indices = rows(
        len(X),
        seed=seed,
        replicates=numbers,
        first=0,
        count=B * max(records),
        stream=stream,
        reshuffling=network.reshuffling,
    )

    x = _start(network, numbers, seed, stream, dtype)
    velocity = np.zeros_like(x)
    finished, segment = np.zeros(x.shape, np.float64), np.zeros(x.shape, dtype)
    sums = {0: finished}
    starts = {k - length[k] for k in records}
    out: dict[str, list[FloatArray]] = {}
    with np.errstate(all="ignore"):
        for k in range(max(records) + 1):
            if k > 0:
                batch = indices[:, (k - 1) * B : k * B]
                x, velocity = _step(network, x, velocity, X[batch], y[batch], -lr[k - 1], (decay, mu, share, nesterov))
                segment = segment + x
                if k % reference.SEGMENT == 0:
                    finished, segment = finished + segment, np.zeros(x.shape, dtype)
                if k in starts:
                    sums[k] = finished + segment
            if k in records:
                point = x
                if iterate != "last" and k > 0:
                    point = ((finished + segment - sums[k - length[k]]) / length[k]).astype(dtype)
                for name, values in metrics(network, point).items():
                    out.setdefault(name, []).append(values)
    return {name: np.stack(values) for name, values in out.items()}


def _step(
    network: Network,
    x: FloatArray,
    velocity: FloatArray,
    batch: FloatArray,
    y: FloatArray,
    minus_lr: Any,
    rule: tuple[Any, Any, Any, bool],
) -> tuple[FloatArray, FloatArray]:
    """One step: a new point and velocity."""
    decay, mu, share, nesterov = rule
    inputs, z = _forward(network, x, batch)
    layers = _layers(network, x)
    c = (share if mu else minus_lr * share) * _derivative(network.loss, z, y)  # (replicates, samples, units)
    factors = [c]
    for k in range(len(layers) - 1, 0, -1):
        delta = np.zeros_like(inputs[k])
        for unit in range(factors[0].shape[2]):
            weight = np.broadcast_to(layers[k][0][:, None, unit, :], delta.shape)
            delta = fma(np.broadcast_to(factors[0][:, :, unit, None], delta.shape), weight, delta)
        factors.insert(0, _through(network.activation, inputs[k], delta))
    total = np.empty_like(x)  # what before_rows and the rows make
    for k, (weights, intercept) in enumerate(layers):
        into, into_intercept = _layers(network, total)[k]
        if mu:
            s = decay * weights
        else:
            s = fma(np.broadcast_to(minus_lr * decay, weights.shape), weights, weights) if decay > 0 else weights
        for b in range(batch.shape[1]):
            factor = np.broadcast_to(factors[k][:, b, :, None], s.shape)
            s = fma(factor, np.broadcast_to(inputs[k][:, b, None, :], s.shape), s)
        into[:] = s
        if intercept is not None and into_intercept is not None:
            s = np.zeros_like(intercept) if mu else intercept
            for b in range(batch.shape[1]):
                s = s + factors[k][:, b, :]
            into_intercept[:] = s
    if mu:
        velocity = fma(np.broadcast_to(mu, x.shape), velocity, total)
        direction = fma(np.broadcast_to(mu, x.shape), velocity, total) if nesterov else velocity
        total = fma(np.broadcast_to(minus_lr, x.shape), direction, x)
    if network.radius < math.inf:
        total = _project(network, total)
    return total, velocity
