"""Adam on a|x| with Gaussian noise, in JAX and Numba, each as its own experts would write it, on all cores.

What other peers have tried holds here: JAX with its generator rbg, one device per core; Numba with trajectories side by
side, SplitMix64 and one word for a pair of Gaussians.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import methods, problems, runtime
from ._cases import Case, Peer

_LANES = 256  # trajectories that Numba takes side by side


class Model:
    """What peers need to know of a case."""

    def __init__(self, case: Case, steps: int) -> None:
        """Take it apart."""
        problem, adam = case.problem(), case.method
        assert isinstance(problem, problems.AbsoluteValue)
        assert isinstance(adam, methods.Adam)
        assert isinstance(adam.beta1, float)
        assert isinstance(adam.beta2, float)
        self.lrs, self.trajectories = case.learning_rates(steps), case.trajectories
        self.slope, self.std = float(problem.slope.item()), float(problem.noise_std.item())
        self.beta1, self.beta2, self.epsilon = adam.beta1, adam.beta2, adam.epsilon
        self.values = lambda points: np.asarray(problem.value(np.asarray(points, np.float64).reshape(-1, 1)))


def make_jax(case: Case, steps: int) -> Peer:
    """One scan over steps, all trajectories of a step at once, split over one device per core; generator rbg."""
    import jax
    import jax.numpy as jnp

    m = Model(case, steps)
    devices = next(k for k in range(min(runtime.cpu_count(), len(jax.devices())), 0, -1) if m.trajectories % k == 0)
    shape = (m.trajectories // devices,)

    def scan(keys: Any, lrs: Any) -> Any:
        def body(state: Any, now: Any) -> Any:
            x, mean, square, decay1, decay2 = state
            lr, key = now
            g = m.slope * jnp.sign(x) + m.std * jax.random.normal(key, shape)
            mean = m.beta1 * mean + (1 - m.beta1) * g
            square = m.beta2 * square + (1 - m.beta2) * g * g
            decay1, decay2 = decay1 * m.beta1, decay2 * m.beta2
            move = mean / (1 - decay1) / (jnp.sqrt(square / (1 - decay2)) + m.epsilon)
            return (jnp.clip(x - lr * move, -1, 1), mean, square, decay1, decay2), None

        start = (jnp.ones(shape), jnp.zeros(shape), jnp.zeros(shape), jnp.float32(1), jnp.float32(1))
        return jax.lax.scan(body, start, (lrs, jax.random.split(keys[0], lrs.size)))[0][0]

    mesh = jax.make_mesh((devices,), ("t",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:devices])
    split, whole = (jax.sharding.PartitionSpec(*axes) for axes in (("t",), ()))
    mapped = jax.shard_map(scan, mesh=mesh, in_specs=(split, whole), out_specs=split, check_vma=False)
    rates = jnp.asarray(m.lrs)

    def all_devices(key: Any, lrs: Any) -> Any:
        return mapped(jax.random.split(key, devices), lrs)

    compiled = jax.jit(all_devices).lower(jax.random.key(0, impl="rbg"), rates).compile()
    return Peer(lambda seed: jax.block_until_ready(compiled(jax.random.key(seed, impl="rbg"), rates)), m.values)


def make_numba(case: Case, steps: int) -> Peer:
    """Threads over blocks of trajectories that go side by side."""
    import numba as nb

    m = Model(case, steps)
    f, u64 = np.float32, np.uint64
    lanes, blocks = _LANES, -(-m.trajectories // _LANES)
    slope, std, beta1, beta2, epsilon = f(m.slope), f(m.std), f(m.beta1), f(m.beta2), f(m.epsilon)
    gamma, a, b = u64(0x9E3779B97F4A7C15), u64(0xBF58476D1CE4E5B9), u64(0x94D049BB133111EB)
    far, unit, half = u64(0xD1342543DE82EF95), f(2.0**-24), f(2.0**-25)
    turn, minus_two, zero, one = f(2 * math.pi), f(-2), f(0), f(1)

    @nb.njit(parallel=True, fastmath=True)  # type: ignore[untyped-decorator]
    def kernel(lrs: Any, seed: Any) -> Any:
        out = np.empty(blocks * lanes, f)
        for block in nb.prange(blocks):
            x, mean, square = np.ones(lanes, f), np.zeros(lanes, f), np.zeros(lanes, f)
            z, second, state = np.empty(lanes, f), np.empty(lanes, f), np.empty(lanes, np.uint64)
            for k in range(lanes):
                state[k] = (seed + u64(block * lanes + k)) * far
            decay1, decay2 = one, one
            for t in range(lrs.size):
                if t % 2 == 0:
                    for k in range(lanes):
                        state[k] += gamma
                        w = state[k]
                        w = (w ^ (w >> u64(30))) * a
                        w = (w ^ (w >> u64(27))) * b
                        w = w ^ (w >> u64(31))
                        radius = math.sqrt(minus_two * math.log(f(w >> u64(40)) * unit + half))
                        angle = f((w >> u64(8)) & u64(0xFFFFFF)) * unit * turn
                        z[k], second[k] = radius * math.cos(angle), radius * math.sin(angle)
                else:
                    for k in range(lanes):
                        z[k] = second[k]
                decay1, decay2 = decay1 * beta1, decay2 * beta2
                by1, by2, lr = one / (one - decay1), one / (one - decay2), lrs[t]
                for k in range(lanes):
                    g = std * z[k] + (slope if x[k] > zero else -slope if x[k] < zero else zero)
                    mean[k] = beta1 * mean[k] + (one - beta1) * g
                    square[k] = beta2 * square[k] + (one - beta2) * g * g
                    y = x[k] - lr * (mean[k] * by1) / (math.sqrt(square[k] * by2) + epsilon)
                    x[k] = min(one, max(-one, y))
            out[block * lanes : (block + 1) * lanes] = x
        return out

    kernel(m.lrs[:1], u64(0))
    return Peer(lambda seed: kernel(m.lrs, u64(seed << 32))[: m.trajectories], m.values)


PEERS: dict[str, Callable[[Case, int], Peer]] = {"JAX": make_jax, "Numba": make_numba}
