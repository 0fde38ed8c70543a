"""Problems that are programs, in JAX and Numba, each as its own experts would write it, on all cores.

Student's t is drawn by Bailey's formula everywhere: jax.random.t is slower. What was tried and is slower: JAX with
steps unrolled, with its default generator, with trajectories first in memory, with slices joined or with gradients that
it derives; Numba one trajectory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import problems, runtime
from ._cases import NU, Case, Peer, linear_functions

_LANES = 64  # trajectories that Numba takes side by side


def _model(case: Case, steps: int) -> tuple[str, int, np.ndarray[Any, Any], Callable[[Any], np.ndarray[Any, Any]]]:
    """Which function, its dimension, learning rates, and values of final points."""
    problem = case.problem()
    assert isinstance(problem, problems.Custom)
    name = case.name.removesuffix("-float64")
    return (
        name,
        problem.dimension,
        case.learning_rates(steps),
        lambda points: np.asarray(problem.value(np.asarray(points, np.float64))),
    )


def make_jax(case: Case, steps: int) -> Peer:
    """One scan over steps, all trajectories of a step at once, split over one device per core; generator rbg."""
    import jax
    import jax.numpy as jnp

    name, dimension, lrs, values = _model(case, steps)
    functions = jnp.asarray(linear_functions(), jnp.float32)
    devices = next(k for k in range(min(runtime.cpu_count(), len(jax.devices())), 0, -1) if case.trajectories % k == 0)

    def gradient(x: Any) -> Any:
        if name == "rosenbrock-10":
            i, following, before = jnp.arange(dimension)[:, None], jnp.roll(x, -1, axis=0), jnp.roll(x, 1, axis=0)
            own = jnp.where(i < dimension - 1, -400 * (following - x * x) * x - 2 * (1 - x), 0)
            return own + jnp.where(i > 0, 200 * (x - before * before), 0)
        if name == "power-student-t-100":
            return 1.5 * jnp.sign(x) * jnp.sqrt(jnp.abs(x))
        return functions.T[:, jnp.argmax(functions @ x, axis=0)]

    def noise(key: Any, shape: Any) -> Any:
        if name != "power-student-t-100":
            return 0.1 * jax.random.normal(key, shape)
        u, v = jax.random.uniform(key, (2, *shape), minval=2.0**-24)
        return 0.1 * jnp.sqrt(NU * (u ** (-2 / NU) - 1)) * jnp.cos(2 * jnp.pi * v)

    def scan(keys: Any, lrs: Any) -> Any:
        def body(x: Any, now: Any) -> Any:
            lr, key = now
            return x - lr * (gradient(x) + noise(key, x.shape)), None

        start = jnp.full((dimension, case.trajectories // devices), 0.5)
        return jax.lax.scan(body, start, (lrs, jax.random.split(keys[0], lrs.size)))[0]

    mesh = jax.make_mesh((devices,), ("t",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:devices])
    split, whole, columns = (jax.sharding.PartitionSpec(*axes) for axes in (("t",), (), (None, "t")))
    mapped = jax.shard_map(scan, mesh=mesh, in_specs=(split, whole), out_specs=columns, check_vma=False)
    rates = jnp.asarray(lrs)

    def all_devices(key: Any, lrs: Any) -> Any:
        return mapped(jax.random.split(key, devices), lrs)

    compiled = jax.jit(all_devices).lower(jax.random.key(0, impl="rbg"), rates).compile()
    return Peer(
        lambda seed: jax.block_until_ready(compiled(jax.random.key(seed, impl="rbg"), rates)),
        lambda points: values(np.asarray(points).T),
    )


def make_numba(case: Case, steps: int) -> Peer:
    """Threads over blocks of trajectories that go side by side; SplitMix64, one word for a pair of variates."""
    import numba as nb

    name, d, lrs, values = _model(case, steps)
    f, u64 = np.float32, np.uint64
    functions = linear_functions().astype(f)
    lanes, blocks = _LANES, -(-case.trajectories // _LANES)
    gamma, a, b = u64(0x9E3779B97F4A7C15), u64(0xBF58476D1CE4E5B9), u64(0x94D049BB133111EB)
    far, unit, half = u64(0xD1342543DE82EF95), f(2.0**-24), f(2.0**-25)
    turn, minus_two, std, nu, power = f(2 * math.pi), f(-2), f(0.1), f(NU), f(-2 / NU)
    student, zero, one = name == "power-student-t-100", f(0), f(1)
    compiled = nb.njit(fastmath=True, inline="always")

    @compiled  # type: ignore[untyped-decorator]
    def rosenbrock(x: Any, g: Any, _best: Any, _most: Any) -> None:
        for k in range(lanes):
            g[0, k] = zero
        for i in range(d - 1):
            for k in range(lanes):
                rest = x[i + 1, k] - x[i, k] * x[i, k]
                g[i, k] += f(-400) * rest * x[i, k] - f(2) * (one - x[i, k])
                g[i + 1, k] = f(200) * rest

    @compiled  # type: ignore[untyped-decorator]
    def root(x: Any, g: Any, _best: Any, _most: Any) -> None:
        for i in range(d):
            for k in range(lanes):
                v = x[i, k]
                size = f(1.5) * math.sqrt(abs(v))
                g[i, k] = size if v > zero else -size

    @compiled  # type: ignore[untyped-decorator]
    def largest(x: Any, g: Any, best: Any, most: Any) -> None:
        for k in range(lanes):
            most[k] = f(-np.inf)
        for j in range(functions.shape[0]):
            sums = g[0]
            for k in range(lanes):
                sums[k] = zero
            for i in range(d):
                factor = functions[j, i]
                for k in range(lanes):
                    sums[k] += factor * x[i, k]
            for k in range(lanes):
                if sums[k] > most[k]:
                    most[k], best[k] = sums[k], j
        for i in range(d):
            for k in range(lanes):
                g[i, k] = functions[best[k], i]

    gradient = {"rosenbrock-10": rosenbrock, "power-student-t-100": root}.get(name, largest)

    @nb.njit(parallel=True, fastmath=True)  # type: ignore[untyped-decorator]
    def kernel(lrs: Any, seed: Any) -> Any:
        out = np.empty((blocks * lanes, d), f)
        for block in nb.prange(blocks):
            x, g, second = np.full((d, lanes), f(0.5)), np.empty((d, lanes), f), np.empty(lanes, f)
            state, best, most = np.empty(lanes, np.uint64), np.zeros(lanes, np.int64), np.empty(lanes, f)
            for k in range(lanes):
                state[k] = (seed + u64(block * lanes + k)) * far
            for t in range(lrs.size):
                gradient(x, g, best, most)
                lr = lrs[t]
                for i in range(d):
                    if student or i % 2 == 0:
                        for k in range(lanes):
                            state[k] += gamma
                            w = state[k]
                            w = (w ^ (w >> u64(30))) * a
                            w = (w ^ (w >> u64(27))) * b
                            w = w ^ (w >> u64(31))
                            u = f(w >> u64(40)) * unit + half
                            angle = f((w >> u64(8)) & u64(0xFFFFFF)) * unit * turn
                            if student:
                                radius = math.sqrt(nu * (u**power - one))
                                x[i, k] -= lr * (g[i, k] + std * radius * math.cos(angle))
                            else:
                                radius = math.sqrt(minus_two * math.log(u))
                                second[k] = radius * math.sin(angle)
                                x[i, k] -= lr * (g[i, k] + std * radius * math.cos(angle))
                    else:
                        for k in range(lanes):
                            x[i, k] -= lr * (g[i, k] + std * second[k])
            for i in range(d):
                out[block * lanes : (block + 1) * lanes, i] = x[i]
        return out

    kernel(lrs[:1], u64(0))
    return Peer(lambda seed: kernel(lrs, u64(seed << 32))[: case.trajectories], values)


PEERS: dict[str, Callable[[Case, int], Peer]] = {"JAX": make_jax, "Numba": make_numba}
