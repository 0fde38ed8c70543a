"""Problems on data, of docs/stream.md: linear models and networks, and the trajectory of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .arithmetic import FloatArray, fma, fold, greater, moved
from .averages import Averages
from .draws import draws
from .elementary import activated, exp, log, through
from .programs import Drawn, Program, evaluated, state_after, state_at_start
from .samples import rows
from .schedules import Schedule, learning_rates, numbers_of_steps

WIDTH = 16  # accumulators of a product
START = 3 << 24  # purpose, as the last word of a counter


@dataclass(frozen=True, eq=False)
class Network:
    """A feed-forward network on data; without hidden layers a linear model.

    - `loss`: squared, logistic, hinge (one output, targets numbers or -1, +1) or softmax (targets 0 .. outputs - 1); or
      a program of the point (output, target) with outputs "value" and "gradient", the derivative by the first
    - `X`, `y`: rows and targets; `test_X`, `test_y`: held out
    - `sample_weight`: how much each row of X counts, by default all alike
    - `outputs`, `hidden`, `activation` ("relu", "tanh"), `intercept`: the model
    - `x0`: the start, or None: drawn
    - `l2`, `radius` of the ball, `minimum` f*, `batch_size`
    - `sampling`: with_replacement, reshuffling or sequential
    """

    loss: str | Program
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
    sampling: str = "with_replacement"
    sample_weight: ArrayLike | None = None
    test_X: FloatArray | None = None
    test_y: ArrayLike = ()


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
    return fold(acc, axis=-1)


def _forward(network: Network, x: FloatArray, rows: FloatArray) -> tuple[list[FloatArray], FloatArray]:
    """Inputs of every layer, and the outputs."""
    inputs, layers = [rows], _layers(network, x)
    for k, (weights, intercept) in enumerate(layers):
        z = _product(weights, inputs[-1])
        if intercept is not None:
            z = z + intercept[:, None, :]
        if k + 1 < len(layers):
            inputs.append(activated(network.activation, z))
    return inputs, z


def _own(loss: Program, output: str, z: FloatArray, y: FloatArray) -> FloatArray:
    """An output of a program, of the shape of y."""
    found = evaluated(loss, output, np.stack([z.reshape(-1), y.reshape(-1)]), {}, {})[0]
    return np.asarray(found.reshape(y.shape))


def _derivative(loss: str | Program, z: FloatArray, y: FloatArray) -> FloatArray:
    F = z.dtype.type
    if not isinstance(loss, str):
        return _own(loss, "gradient", z, y)[..., None]
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
    elif loss == "hinge":
        d = np.where(y * z < 1, -y, F(0))
    else:
        raise ValueError(f"loss must be 'squared', 'logistic', 'hinge' or 'softmax', got {loss!r}")
    return np.asarray(d[..., None])


def _loss(loss: str | Program, z: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Losses, and whether the target is predicted, which a loss of one's own does not say."""
    F = z.dtype.type
    if not isinstance(loss, str):
        return _own(loss, "value", z, y), np.zeros(y.shape, bool)
    if loss == "softmax":
        above = z - z.max(axis=-1, keepdims=True)
        e, total = exp(above), F(0)
        for k in range(z.shape[-1]):
            total = total + e[..., k]
        target = np.take_along_axis(above, y[..., None].astype(np.int64), axis=-1)[..., 0]
        return log(np.asarray(total)) - target, z.argmax(axis=-1) == y
    z = z[..., 0]
    if loss == "squared":
        r = z - y
        return (r * F(0.5)) * r, r == 0
    m = y * z
    hits = (z > 0) == (y > 0)
    if loss == "logistic":
        return greater(F(0), -m) + log(F(1) + exp(-abs(m))), hits
    if loss == "hinge":
        return greater(F(0), F(1) - m), hits
    raise ValueError(f"loss must be 'squared', 'logistic', 'hinge' or 'softmax', got {loss!r}")


def _row_weights(network: Network, dtype: Any) -> FloatArray:
    """Of mean 1, rounded once."""
    if network.sample_weight is None:
        return np.ones(len(network.X), dtype)
    relative = np.asarray(network.sample_weight, np.float64)
    relative = relative / relative.max()
    return np.asarray(len(network.X) * relative / math.fsum(relative)).astype(dtype)


def metrics(
    network: Network, x: FloatArray, own: Mapping[str, Program] | None = None, state: Sequence[FloatArray] = ()
) -> dict[str, FloatArray]:
    """suboptimality, loss, test_loss and test_accuracy, in the dtype of x, for points x of shape (replicates, d).

    `own`: programs of a point, and of parts of a method's `state`, whose "value" is recorded too, by their names.
    """
    out = {name: evaluated(program, "value", x.T, {}, {}, state)[0] for name, program in (own or {}).items()}
    with np.errstate(all="ignore"):
        for prefix, X, y in (("", network.X, network.y), ("test_", network.test_X, network.test_y)):
            if X is None:
                continue
            data = np.broadcast_to(np.asarray(X, x.dtype), (len(x), *X.shape))
            targets = np.broadcast_to(np.asarray(y, x.dtype), data.shape[:2])
            losses, hits = _loss(network.loss, _forward(network, x, data)[1], targets)
            weights = np.ones(len(X)) if prefix else _row_weights(network, x.dtype).astype(np.float64)
            acc = np.zeros((len(x), WIDTH))
            for i in np.flatnonzero(weights).tolist():
                total = acc[:, i % WIDTH]
                acc[:, i % WIDTH] = fma(np.full(len(x), weights[i]), losses[:, i].astype(np.float64), total)
            mean = fold(acc, axis=1) / len(X)
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
                mean = mean + 0.5 * network.l2 * fold(acc, axis=1)
            out["loss"] = mean.astype(x.dtype)
            out["suboptimality"] = greater(np.float64(0), mean - network.minimum).astype(x.dtype)
    return out


def _start(network: Network, replicates: NDArray[np.int64], seed: int, stream: int, dtype: Any) -> FloatArray:
    sizes = (network.X.shape[1], *network.hidden, network.outputs)
    d = sum(a * b + b * network.intercept for a, b in pairwise(sizes))
    x = np.zeros((len(replicates), d), dtype)
    if network.x0 is not None:
        x[:] = np.asarray(network.x0, np.float64).astype(dtype)
        return x
    drawn = draws(
        "gaussian",
        seed=seed,
        replicates=replicates,
        first_step=0,
        steps=d,
        stream=stream,
        coordinate=START,
        dtype=x.dtype,
    ).T
    for k, ((into, _), (unscaled, _)) in enumerate(zip(_layers(network, x), _layers(network, drawn), strict=True)):
        gain = 2.0 if k + 2 < len(sizes) and network.activation == "relu" else 1.0
        into[:] = np.asarray(math.sqrt(gain / sizes[k])).astype(x.dtype) * unscaled
    return x


def _project(network: Network, x: FloatArray) -> FloatArray:
    acc = np.zeros((len(x), WIDTH), x.dtype)
    for weights, intercept in _layers(network, x):
        for row in [*np.moveaxis(weights, 1, 0), *([] if intercept is None else [intercept])]:
            for i in range(row.shape[1]):
                acc[:, i % WIDTH] = fma(row[:, i], row[:, i], acc[:, i % WIDTH])
    F, q = x.dtype.type, fold(acc, axis=1)
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
    ema_decay: float = 0.999,
    average_degree: float = 3.0,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    method: Program | None = None,
    step_numbers: Sequence[tuple[Schedule, float, float]] = (),
    dtype: DTypeLike = np.float32,
    own: Mapping[str, Program] | None = None,
) -> dict[str, FloatArray]:
    """The metrics of `metrics` as arrays `(records, replicates)`, after `record_at[k]` steps (default: the horizon).

    `method`: the program of a step, in canonical form, in place of SGD; `step_numbers`: those of its numbers that
    follow schedules, as for `schedules.numbers_of_steps`.

    >>> network = Network("squared", X=np.array([[1.0], [1.0]]), y=[1.0, 1.0], x0=[0.0])
    >>> call = dict(network=network, schedule=Schedule("constant"), base_lr=0.5, horizon=2, seed=0, record_at=[0, 1, 2])
    >>> simulate(replicates=[0], **call)["loss"].tolist()
    [[0.5], [0.125], [0.03125]]
    """
    dtype = np.dtype(dtype)
    F: Any = dtype.type
    numbers = np.asarray(replicates, np.int64)
    records = (horizon,) if record_at is None else tuple(record_at)
    lr = learning_rates(schedule, base_lr, horizon, dtype)
    following = numbers_of_steps(step_numbers, horizon, dtype)
    X, y, B = np.asarray(network.X, dtype), np.asarray(network.y, dtype), network.batch_size
    weights = _row_weights(network, dtype)
    decay, mu, share = F(network.l2 + weight_decay), F(momentum), F(1) / F(B)
    evaluations = 1 if method is None else _evaluations(method)
    indices = rows(
        len(X),
        seed=seed,
        replicates=numbers,
        first=0,
        count=B * evaluations * max(records),
        stream=stream,
        sampling=network.sampling,
    )

    x = _start(network, numbers, seed, stream, dtype)
    low, velocity = np.zeros_like(x), np.zeros_like(x)
    averages = Averages(iterate, tail_frac, records, x, ema_decay, average_degree)
    state: list[FloatArray] = []
    if method is not None:
        places = evaluations - 1  # before those of the method
        drawn = Drawn(method, seed=seed, replicates=numbers, stream=stream, dtype=x.dtype, before=places)
        state = state_at_start(method, x.T, {})
    out: dict[str, list[FloatArray]] = {}
    with np.errstate(all="ignore"):
        for k in range(max(records) + 1):
            if k > 0:
                t = k - 1
                samples = [indices[:, (t * evaluations + i) * B :][:, :B] for i in range(evaluations)]
                batches = [(X[n], y[n], weights[n]) for n in samples]
                if method is None:
                    rule = (decay, mu, share, nesterov)
                    x, low, velocity = _step(network, x, low, velocity, batches[0], -lr[t], rule)
                else:
                    step = {"lr": lr[t], "t": k} | {name: of[t] for name, of in following.items()}
                    x, low, state = _method_step(network, method, x, low, state, batches, drawn, t, step)
                averages.add(k, x)
            if k in records:
                for name, values in metrics(network, averages.at(k, x), own, state).items():
                    out.setdefault(name, []).append(values)
    return {name: np.stack(values) for name, values in out.items()}


def _method_step(
    network: Network,
    method: Program,
    x: FloatArray,
    low: FloatArray,
    state: list[FloatArray],
    batches: Sequence[tuple[FloatArray, FloatArray, FloatArray]],
    drawn: Drawn,
    t: int,
    step: Mapping[str, Any],
) -> tuple[FloatArray, FloatArray, list[FloatArray]]:
    """Step t of a method, with rows, targets and row weights for each of its evaluations: x, low and the state."""
    given: dict[str, ArrayLike] = {}
    outputs = dict(method.outputs)

    def output(name: str) -> FloatArray:
        found = evaluated(method, name, x.T, given, drawn(name, t), state, step)
        return np.asarray(np.broadcast_to(found, x.T.shape).T)

    for i, batch in enumerate(batches):
        point = output(f"point {i}") if f"point {i}" in outputs else x
        value, gradient = _sampled(network, point, batch)
        given |= {f"gradient {i}": gradient.T, f"value {i}": value[None]}
    u = output("next" if "next" in outputs else "direction")
    after = state_after(method, x.T, given, drawn, t, state, step)
    if "next" in outputs:
        x = u
    else:
        x, low = moved(x, fma(np.broadcast_to(-step["lr"], x.shape), u, low))
    return _project(network, x) if network.radius < math.inf else x, low, after


def _evaluations(method: Program) -> int:
    """How many points a step of a method takes gradients or values at: one at least."""
    names = (node.attribute for node in method.nodes if node.op == "parameter")
    return max((1 + int(name.split()[1]) for name in names), default=1)


def _sampled(
    network: Network, x: FloatArray, data: tuple[FloatArray, FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """What a batch has for f(x), (replicates,), and its gradient, (replicates, d)."""
    F, (batch, y, row_weights) = x.dtype.type, data
    _, z = _forward(network, x, batch)
    losses, _ = _loss(network.loss, z, y)
    value = np.zeros(len(x), x.dtype)
    for b in range(batch.shape[1]):
        value = np.where(row_weights[:, b] > 0, fma(row_weights[:, b], losses[:, b], value), value)
    value = F(1) / F(batch.shape[1]) * value
    if network.l2 > 0:
        acc = np.zeros((len(x), WIDTH), x.dtype)
        for layer, _ in _layers(network, x):
            for row in np.moveaxis(layer, 1, 0):
                for i in range(row.shape[1]):
                    acc[:, i % WIDTH] = fma(row[:, i], row[:, i], acc[:, i % WIDTH])
        value = fma(np.full(len(x), 0.5 * network.l2).astype(x.dtype), fold(acc, axis=1), value)
    return value, _rows_added(network, x, None, data, F(1) / F(batch.shape[1]), F(network.l2))


def _step(
    network: Network,
    x: FloatArray,
    low: FloatArray,
    velocity: FloatArray,
    data: tuple[FloatArray, FloatArray, FloatArray],
    minus_lr: Any,
    rule: tuple[Any, Any, Any, bool],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One step on rows, targets and row weights: a new point, what it could not take, a new velocity."""
    decay, mu, share, nesterov = rule
    if mu:
        gradient = _rows_added(network, x, None, data, share, decay)
        velocity = fma(np.broadcast_to(mu, x.shape), velocity, gradient)
        direction = fma(np.broadcast_to(mu, x.shape), velocity, gradient) if nesterov else velocity
        total = fma(np.broadcast_to(minus_lr, x.shape), direction, low)
    else:
        total = _rows_added(network, x, low, data, minus_lr * share, minus_lr * decay if decay > 0 else None)
    x, low = moved(x, total)
    if network.radius < math.inf:
        x = _project(network, x)
    return x, low, velocity


def _rows_added(
    network: Network,
    x: FloatArray,
    low: FloatArray | None,
    data: tuple[FloatArray, FloatArray, FloatArray],
    scale: Any,
    decay: Any,
) -> FloatArray:
    """Rows, times scaled derivatives of their losses, added to `low` and `decay` x; intercepts do not decay."""
    batch, y, row_weights = data
    inputs, z = _forward(network, x, batch)
    layers = _layers(network, x)
    slopes = _derivative(network.loss, z, y)  # (replicates, samples, units)
    counting = row_weights[..., None] > 0
    slopes = np.where(counting, row_weights[..., None] * slopes, x.dtype.type(0))
    factors = [scale * slopes]
    for k in range(len(layers) - 1, 0, -1):
        delta = np.zeros_like(inputs[k])
        for unit in range(factors[0].shape[2]):
            weight = np.broadcast_to(layers[k][0][:, None, unit, :], delta.shape)
            delta = fma(np.broadcast_to(factors[0][:, :, unit, None], delta.shape), weight, delta)
        factors.insert(0, through(network.activation, inputs[k], delta))
    total = np.empty_like(x)
    rests = [(None, None)] * len(layers) if low is None else _layers(network, low)
    for k, (weights, _) in enumerate(layers):
        into, into_intercept = _layers(network, total)[k]
        rest, rest_intercept = rests[k]
        if rest is None:
            s = decay * weights
        else:
            s = rest if decay is None else fma(np.broadcast_to(decay, weights.shape), weights, rest)
        for b in range(batch.shape[1]):
            factor = np.broadcast_to(factors[k][:, b, :, None], s.shape)
            s = fma(factor, np.broadcast_to(inputs[k][:, b, None, :], s.shape), s)
        into[:] = s
        if into_intercept is not None:
            s = np.zeros_like(into_intercept) if rest_intercept is None else rest_intercept
            for b in range(batch.shape[1]):
                s = s + factors[k][:, b, :]
            into_intercept[:] = s
    return total
