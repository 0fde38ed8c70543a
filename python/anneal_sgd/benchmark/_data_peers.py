"""The problems on data in Numba, JAX and NumPy, each as its own experts would write it, on all cores.

What was tried and is slower: in Numba one trajectory at a time
where batches are of one row; in JAX lax.map over blocks that fit in a cache, unrolled scans, draws step by step or all
at first, one device; in NumPy threads where arrays are small (Python's lock costs more). Tried with
Numba 0.68 and JAX 0.10.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .. import problems, runtime
from ..problems import DataProblem
from ._cases import Case, Peer


def flat(w1: Any, b1: Any, w2: Any, b2: Any) -> np.ndarray:
    """Points from weights (trajectories, inputs, units) and intercepts."""
    parts = (np.swapaxes(w1, 1, 2), b1, np.swapaxes(w2, 1, 2), b2)
    return np.concatenate([np.reshape(part, (len(w1), -1)) for part in parts], axis=1)


def make_numba(case: Case, steps: int) -> Peer:
    """Threads over trajectories; sizes are constants to the compiler, rows are drawn by SplitMix64."""
    import numba as nb

    X, y = _data(case)
    (n, d), batch, together = X.shape, case.batch, case.numba_lanes
    u64, f32 = np.uint64, np.float32
    gamma, a, b = u64(0x9E3779B97F4A7C15), u64(0xBF58476D1CE4E5B9), u64(0x94D049BB133111EB)
    count, one, size, far = u64(n), f32(1), f32(batch), u64(0xD1342543DE82EF95)

    @nb.njit(parallel=True, fastmath=True)  # type: ignore[untyped-decorator]
    def kernel(X: Any, y: Any, lrs: Any, blocks: int, seed: Any) -> Any:
        out = np.empty((blocks * together, d), f32)
        for block in nb.prange(blocks):
            w, c = np.zeros((together, d), f32), np.empty((together, batch), f32)
            rows, states = np.empty((together, batch), u64), np.empty(together, u64)
            for k in range(together):
                states[k] = (seed + u64(block * together + k)) * far
            for t in range(lrs.size):
                lr = lrs[t] / size
                for k in range(together):
                    for j in range(batch):
                        states[k] += gamma
                        z = states[k]
                        z = (z ^ (z >> u64(30))) * a
                        z = (z ^ (z >> u64(27))) * b
                        i = (((z ^ (z >> u64(31))) >> u64(32)) * count) >> u64(32)
                        rows[k, j] = i
                        margin = f32(0)
                        for m in range(d):
                            margin += X[i, m] * w[k, m]
                        c[k, j] = lr * y[i] / (one + math.exp(y[i] * margin))
                for k in range(together):
                    for j in range(batch):
                        i, factor = rows[k, j], c[k, j]
                        for m in range(d):
                            w[k, m] += factor * X[i, m]
            out[block * together : (block + 1) * together] = w
        return out

    lrs = case.learning_rates(steps)

    def run(seed: int) -> Any:
        return kernel(X, y, lrs, case.trajectories // together, u64(seed << 32))

    kernel(X, y, lrs[:1], 1, u64(0))
    return Peer(run, _losses(case))


def make_jax(case: Case, steps: int) -> Peer:
    """Scans over steps, trajectories split over one device per core: vmap, or one product."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import AxisType, PartitionSpec

    jax.config.update("jax_enable_x64", False)  # which another case may have set
    X, y = _data(case)
    devices = next(k for k in range(min(runtime.cpu_count(), len(jax.devices())), 0, -1) if case.trajectories % k == 0)
    mesh = jax.make_mesh((devices,), ("t",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    rows, labels, batch = jnp.asarray(X), jnp.asarray(y.astype(np.int32) if case.layers else y), case.batch

    def scan(step: Any, start: Any, key: Any, lrs: Any) -> Any:
        """Rows of 100 steps are drawn at once: faster than one by one, and they stay in a cache."""
        together = math.gcd(lrs.size, 100)

        def steps(now: Any, block: Any) -> Any:
            drawn = jax.random.randint(block[0], (together, batch), 0, len(rows))
            return jax.lax.scan(step, now, (block[1], drawn))

        blocks = lrs.size // together
        return jax.lax.scan(steps, start, (jax.random.split(key, blocks), lrs.reshape(blocks, together)))[0]

    def logistic(key: Any, lrs: Any) -> Any:
        def step(w: Any, now: Any) -> Any:
            lr, i = now
            x, sign = rows[i], labels[i]
            return w + lr / batch * ((sign * jax.nn.sigmoid(-sign * (x @ w))) @ x), None

        return scan(step, jnp.zeros(X.shape[1]), key, lrs)

    def shared(base_lr: Any, lrs: Any, key: Any) -> Any:
        def step(w: Any, now: Any) -> Any:  # w: (columns, trajectories)
            lr, i = now
            x, sign = rows[i], labels[i][:, None]
            return w + x.T @ (sign * jax.nn.sigmoid(-sign * (x @ w)) * (base_lr * (lr / batch))), None

        return scan(step, jnp.zeros((X.shape[1], base_lr.size)), key, lrs).T

    def network(key: Any, lrs: Any) -> Any:
        def loss(p: Any, x: Any, label: Any) -> Any:
            z = jax.nn.relu(x @ p[0] + p[1]) @ p[2] + p[3]
            return -jnp.take_along_axis(jax.nn.log_softmax(z), label[:, None], 1).mean()

        def step(p: Any, now: Any) -> Any:
            lr, i = now
            return jax.tree.map(lambda v, g: v - lr * g, p, jax.grad(loss)(p, rows[i], labels[i])), None

        inputs, hidden, classes = case.layers or (0, 0, 0)
        first, second, third = jax.random.split(key, 3)
        w1 = jax.random.normal(first, (inputs, hidden)) * math.sqrt(2 / inputs)
        w2 = jax.random.normal(second, (hidden, classes)) * math.sqrt(1 / hidden)
        return scan(step, (w1, jnp.zeros(hidden), w2, jnp.zeros(classes)), third, lrs)

    whole, split = PartitionSpec(), PartitionSpec("t")
    model = shared if case.shared else jax.vmap(network if case.layers else logistic, (0, None))
    specs = (split, whole, whole) if case.shared else (split, whole)
    mapped = jax.jit(jax.shard_map(model, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False))

    def arguments(seed: int) -> tuple[Any, ...]:
        key, lrs = jax.random.key(seed), jnp.asarray(case.learning_rates(steps))
        if case.shared:
            return jnp.asarray(case.base_lrs, jnp.float32), lrs, key
        return jax.random.split(key, case.trajectories), lrs

    compiled = mapped.lower(*arguments(0)).compile()

    def run(seed: int) -> Any:
        place = jax.sharding.NamedSharding
        placed = [jax.device_put(v, place(mesh, spec)) for v, spec in zip(arguments(seed), specs, strict=True)]
        points = jax.block_until_ready(compiled(*placed))
        return flat(*map(np.asarray, points)) if case.layers else np.asarray(points)

    return Peer(run, _losses(case))


def make_numpy(case: Case, steps: int) -> Peer:
    """All trajectories of a block at once; blocks on threads."""
    X, y = _data(case)
    (n, d), batch, f32 = X.shape, case.batch, np.float32
    labels, one_hot = y.astype(np.int64), np.eye(int(y.max()) + 1, dtype=f32)
    pool = ThreadPoolExecutor(runtime.cpu_count())
    block = min(case.numpy_block, case.trajectories)

    def logistic(rng: np.random.Generator, lrs: np.ndarray) -> np.ndarray:
        w = np.zeros((block, d), f32)
        for lr in lrs:
            i = rng.integers(0, n, (block, batch))
            x, sign = X[i], y[i]
            c = lr / f32(batch) * sign / (1 + np.exp(sign * np.einsum("tbd,td->tb", x, w)))
            w += np.einsum("tbd,tb->td", x, c)
        return w

    def shared(rng: np.random.Generator, lrs: np.ndarray) -> np.ndarray:
        w, scale = np.zeros((case.trajectories, d), f32), (case.base_lrs / batch).astype(f32)[:, None]
        for lr in lrs:
            i = rng.integers(0, n, batch)
            x, sign = X[i], y[i]
            w += (lr * scale * sign / (1 + np.exp(sign * (w @ x.T)))) @ x
        return w

    def network(rng: np.random.Generator, lrs: np.ndarray) -> np.ndarray:
        inputs, hidden, classes = case.layers or (0, 0, 0)
        w1 = rng.standard_normal((block, inputs, hidden), f32) * f32(math.sqrt(2 / inputs))
        w2 = rng.standard_normal((block, hidden, classes), f32) * f32(math.sqrt(1 / hidden))
        b1, b2 = np.zeros((block, 1, hidden), f32), np.zeros((block, 1, classes), f32)
        for lr in lrs:
            i = rng.integers(0, n, (block, batch))
            x = X[i]
            h = np.maximum(x @ w1 + b1, 0)
            z = h @ w2 + b2
            z = np.exp(z - z.max(axis=-1, keepdims=True))
            z = (z / z.sum(axis=-1, keepdims=True) - one_hot[labels[i]]) * (lr / f32(batch))
            back = (z @ w2.swapaxes(1, 2)) * (h > 0)
            w2 -= h.swapaxes(1, 2) @ z
            b2 -= z.sum(axis=1, keepdims=True)
            w1 -= x.swapaxes(1, 2) @ back
            b1 -= back.sum(axis=1, keepdims=True)
        return flat(w1, b1, w2, b2)

    def run(seed: int) -> Any:
        lrs, model = case.learning_rates(steps), network if case.layers else logistic
        if case.shared:
            return shared(np.random.default_rng(seed), lrs)
        streams = [np.random.default_rng((seed, k)) for k in range(case.trajectories // block)]
        return np.concatenate(list(pool.map(lambda rng: model(rng, lrs), streams)))

    return Peer(run, _losses(case))


def _data(case: Case) -> tuple[Any, Any]:
    problem = case.problem()
    assert isinstance(problem, DataProblem)
    return np.array(problem.X), problem.y.astype(np.float32)


def _losses(case: Case) -> Callable[[Any], Any]:
    problem = case.problem()
    assert isinstance(problem, DataProblem)

    def values(points: Any) -> Any:
        if isinstance(problem, problems.MLP):
            return problem.value(points)
        margins = (problem.X @ points.T) * problem.y.astype(np.float32)[:, None]  # all at once, which `value` is not
        return np.log1p(np.exp(-margins)).mean(axis=0, dtype=np.float64)

    return values


PEERS: dict[str, Callable[[Case, int], Peer]] = {"Numba": make_numba, "JAX": make_jax, "NumPy": make_numpy}
