"""Separable problems in NumPy, Numba, JAX, PyTorch and C++, each as its own experts would write it, on all cores.

What was tried and is slower: NumPy without threads or with arrays that leave the cache; Numba one trajectory at a time;
JAX without unrolling, or with draws of all steps at first.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .. import problems, runtime
from ._cases import Case, Peer

_BLOCK = 16_384  # numbers that a NumPy thread works on, so that they stay in its cache
_LANES = 64  # trajectories that Numba takes side by side


class Model:
    """The numbers of a case: x' = clip(x - lr (a sign(x) or a x + std noise)), one learning rate per trajectory."""

    def __init__(self, case: Case, steps: int) -> None:
        problem = case.problem()
        assert isinstance(problem, problems.AbsoluteValue | problems.Quadratic)
        self.absolute = isinstance(problem, problems.AbsoluteValue)
        self.trajectories, self.dimension, self.dtype = case.trajectories, problem.dimension, np.dtype(case.dtype)
        weight = problem.slope if isinstance(problem, problems.AbsoluteValue) else problem.curvature
        self.weight, self.std = float(weight[0]), float(problem.noise_std[0])
        self.gaussian = problem.noise == "gaussian"
        self.bound = 1.0 if problem.projection else math.inf
        self.lrs = case.learning_rates(steps)
        scale = case.base_lrs if isinstance(case.base_lr, tuple) else np.ones(1)
        self.scale = np.repeat(scale, case.trajectories // len(scale)).astype(self.dtype)

    def values(self, points: Any) -> np.ndarray[Any, Any]:
        """The suboptimality of final points (trajectories, dimension)."""
        x = np.asarray(points)
        f = self.weight * np.abs(x) if self.absolute else 0.5 * self.weight * x.astype(np.float64) ** 2
        return np.asarray(f.reshape(self.trajectories, -1).sum(axis=1, dtype=np.float64))


def make_numpy(case: Case, steps: int) -> Peer:
    """In place, in blocks that stay in a cache, on threads; SFC64 is the fastest generator."""
    m = Model(case, steps)
    rows = max(1, min(m.trajectories, _BLOCK // m.dimension))
    starts = range(0, m.trajectories, rows)
    pool = ThreadPoolExecutor(runtime.cpu_count())
    weight, std, bound = (m.dtype.type(v) for v in (m.weight, m.std, m.bound))

    def block(seed: int, start: int) -> np.ndarray[Any, Any]:
        rng = np.random.Generator(np.random.SFC64((seed, start)))
        n = min(rows, m.trajectories - start)
        x = np.ones((n, m.dimension), m.dtype)
        g, noise = np.empty_like(x), np.empty_like(x)
        scale = m.scale[start : start + n, None]
        for lr in m.lrs:
            if m.gaussian:
                rng.standard_normal(out=noise, dtype=m.dtype.type)
            else:
                bits = np.unpackbits(rng.integers(0, 256, -(-x.size // 8), np.uint8), count=x.size)
                np.subtract(np.multiply(bits.reshape(x.shape), m.dtype.type(2), out=noise), m.dtype.type(1), out=noise)
            np.multiply(noise, std, out=noise)
            np.multiply(np.sign(x, out=g) if m.absolute else x, weight, out=g)
            np.add(g, noise, out=g)
            np.multiply(g, lr if m.scale.max() == 1 else lr * scale, out=g)
            np.subtract(x, g, out=x)
            if m.bound < math.inf:
                np.clip(x, -bound, bound, out=x)
        return x

    def run(seed: int) -> Any:
        return np.concatenate(list(pool.map(lambda start: block(seed, start), starts)))

    return Peer(run, m.values)


def make_numba(case: Case, steps: int) -> Peer:
    """Threads over blocks of trajectories that go side by side; SplitMix64, Box-Muller; Rademacher by the bit."""
    import numba as nb

    m = Model(case, steps)
    real = nb.float32 if m.dtype == np.float32 else nb.float64
    u64, f = np.uint64, m.dtype.type
    weight, std, bound, absolute, gaussian = f(m.weight), f(m.std), f(m.bound), m.absolute, m.gaussian
    gamma, a, b = u64(0x9E3779B97F4A7C15), u64(0xBF58476D1CE4E5B9), u64(0x94D049BB133111EB)
    unit, half, turn, minus_two, zero, one, two = f(2.0**-24), f(2.0**-25), f(2 * math.pi), f(-2), f(0), f(1), f(2)
    lanes, d = _LANES, m.dimension
    blocks = -(-m.trajectories * d // lanes)
    far = u64(0xD1342543DE82EF95)

    @nb.njit(parallel=True, fastmath=True)  # type: ignore[untyped-decorator]
    def kernel(lrs: Any, scale: Any, seed: Any) -> Any:
        out = np.empty(blocks * lanes, f)
        for block in nb.prange(blocks):
            x, z, state = np.ones(lanes, f), np.empty(lanes, f), np.empty(lanes, np.uint64)
            second, word, rate = np.empty(lanes, f), np.empty(lanes, np.uint64), np.empty(lanes, f)
            for k in range(lanes):
                state[k] = (seed + u64(block * lanes + k)) * far
                rate[k] = scale[min((block * lanes + k) // d, scale.size - 1)]
            for t in range(lrs.size):
                if gaussian:
                    if t % 2 == 0:
                        for k in range(lanes):
                            state[k] += gamma
                            w = state[k]
                            w = (w ^ (w >> u64(30))) * a
                            w = (w ^ (w >> u64(27))) * b
                            w = w ^ (w >> u64(31))
                            radius = math.sqrt(minus_two * math.log(real(w >> u64(40)) * unit + half))
                            angle = real((w >> u64(8)) & u64(0xFFFFFF)) * unit * turn
                            z[k], second[k] = radius * math.cos(angle), radius * math.sin(angle)
                    else:
                        for k in range(lanes):
                            z[k] = second[k]
                else:
                    if t % 64 == 0:
                        for k in range(lanes):
                            state[k] += gamma
                            w = state[k]
                            w = (w ^ (w >> u64(30))) * a
                            w = (w ^ (w >> u64(27))) * b
                            word[k] = w ^ (w >> u64(31))
                    for k in range(lanes):
                        z[k] = two * real((word[k] >> u64(t % 64)) & u64(1)) - one
                lr = lrs[t]
                for k in range(lanes):
                    v = x[k]
                    g = weight * ((one if v > zero else zero) - (one if v < zero else zero)) if absolute else weight * v
                    x[k] = min(bound, max(-bound, v - lr * rate[k] * (g + std * z[k])))
            out[block * lanes : (block + 1) * lanes] = x
        return out

    def run(seed: int) -> Any:
        return kernel(m.lrs, m.scale, u64(seed << 32))[: m.trajectories * d].reshape(-1, d)

    kernel(m.lrs[:1], m.scale, u64(0))
    return Peer(run, m.values)


def _jax_parts(m: Model) -> tuple[Any, Any, Any]:
    """jax, and a step for points of any shape."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", m.dtype == np.float64)
    draw = jax.random.normal if m.gaussian else jax.random.rademacher

    def step(x: Any, lr: Any, key: Any) -> Any:
        g = m.weight * (jnp.sign(x) if m.absolute else x) + m.std * draw(key, x.shape, x.dtype)
        x = x - lr * g
        return jnp.clip(x, -m.bound, m.bound) if m.bound < math.inf else x

    return jax, jnp, step


def _jax_peer(jax: Any, function: Callable[..., Any], m: Model, generator: str) -> Peer:
    lrs = jax.numpy.asarray(m.lrs)
    compiled = jax.jit(function).lower(jax.random.key(0, impl=generator), lrs).compile()

    def run(seed: int) -> Any:
        return jax.block_until_ready(compiled(jax.random.key(seed, impl=generator), lrs))

    return Peer(run, m.values)


def make_jax_scan(case: Case, steps: int, generator: str = "threefry2x32") -> Peer:
    """One scan over steps, all trajectories of a step at once, split over one device per core."""
    m = Model(case, steps)
    jax, jnp, step = _jax_parts(m)
    devices = next(k for k in range(min(runtime.cpu_count(), len(jax.devices())), 0, -1) if m.trajectories % k == 0)
    mesh = jax.make_mesh((devices,), ("t",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:devices])
    split = jax.sharding.PartitionSpec("t")
    varying = len(set(m.scale[[0, -1]].tolist())) > 1

    def scan(scale: Any, keys: Any, lrs: Any) -> Any:
        def body(x: Any, now: Any) -> Any:
            lr, key = now
            return step(x, lr * scale[:, None] if varying else lr, key), None

        start = jnp.ones((m.trajectories // devices, m.dimension), m.dtype)
        return jax.lax.scan(body, start, (lrs, jax.random.split(keys[0], lrs.size)), unroll=4)[0]

    whole = jax.sharding.PartitionSpec()
    mapped = jax.shard_map(scan, mesh=mesh, in_specs=(split, split, whole), out_specs=split, check_vma=False)
    scale = jnp.asarray(m.scale)
    return _jax_peer(jax, lambda key, lrs: mapped(scale, jax.random.split(key, devices), lrs), m, generator)


def make_jax_scan_rbg(case: Case, steps: int) -> Peer:
    """The same with JAX's fastest generator."""
    return make_jax_scan(case, steps, "rbg")


def make_jax_vmap(case: Case, steps: int) -> Peer:
    """A scan per trajectory, mapped over trajectories."""
    m = Model(case, steps)
    jax, jnp, step = _jax_parts(m)

    def one(key: Any, scale: Any, lrs: Any) -> Any:
        def body(x: Any, now: Any) -> Any:
            lr, k = now
            return step(x, lr * scale, jax.random.fold_in(key, k)), None

        return jax.lax.scan(body, jnp.ones(m.dimension, m.dtype), (lrs, jnp.arange(lrs.size)))[0]

    mapped, scale = jax.vmap(one, (0, 0, None)), jnp.asarray(m.scale)
    return _jax_peer(jax, lambda key, lrs: mapped(jax.random.split(key, m.trajectories), scale, lrs), m, "threefry2x32")


class _TorchParts:
    """A step for points, their start, and learning rates in parts of `together`, on a device."""

    def __init__(self, m: Model, together: int, device: str) -> None:
        import torch

        padded = np.zeros(-(-len(m.lrs) // together) * together, m.dtype)
        padded[: len(m.lrs)] = m.lrs  # the last, void steps have rate 0
        self.parts = torch.from_numpy(padded).to(device).split(together)
        scale = torch.from_numpy(m.scale).to(device)[:, None]
        self.start = torch.ones((m.trajectories, m.dimension), dtype=scale.dtype, device=device)

        def step(x: Any, lr: Any) -> Any:
            g = m.weight * (torch.sign(x) if m.absolute else x)
            noise = torch.randn_like(x) if m.gaussian else torch.where(torch.rand_like(x) < 0.5, -1.0, 1.0)
            x = x - lr * scale * (g + m.std * noise)
            return torch.clamp(x, -m.bound, m.bound) if m.bound < math.inf else x

        self.step = step


def make_torch(case: Case, steps: int, device: str = "cpu") -> Peer:
    """Eight steps at a time, fused by torch.compile."""
    import torch

    m, together = Model(case, steps), 8
    torch.set_num_threads(runtime.cpu_count())
    torch_parts = _TorchParts(m, together, device)

    @torch.compile  # type: ignore[untyped-decorator]
    def fused(x: Any, rates: Any) -> Any:
        for j in range(together):
            x = torch_parts.step(x, rates[j])
        return x

    def run(seed: int) -> Any:
        torch.manual_seed(seed)
        with torch.no_grad():
            x = torch_parts.start
            for rates in torch_parts.parts:
                x = fused(x, rates)
        if device == "cuda":
            torch.cuda.synchronize()
        return x

    run(0)
    return Peer(run, lambda points: m.values(points.cpu()))


def make_torch_graph(case: Case, steps: int) -> Peer:
    """Fifty steps recorded as a CUDA graph and replayed, so that Python costs nothing."""
    import torch

    m, together = Model(case, steps), 50
    torch_parts = _TorchParts(m, together, "cuda")
    x, rates = torch_parts.start.clone(), torch.zeros_like(torch_parts.parts[0])
    graph, warm = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    with torch.no_grad(), torch.cuda.stream(warm):
        for j in range(3):
            x.copy_(torch_parts.step(x, rates[j]))
    torch.cuda.current_stream().wait_stream(warm)
    with torch.no_grad(), torch.cuda.graph(graph):
        for j in range(together):
            x.copy_(torch_parts.step(x, rates[j]))

    def run(seed: int) -> Any:
        torch.manual_seed(seed)
        x.copy_(torch_parts.start)
        for part in torch_parts.parts:
            rates.copy_(part)
            graph.replay()
        torch.cuda.synchronize()
        return x

    run(0)
    return Peer(run, lambda points: m.values(points.cpu()))


def make_cpp(case: Case, steps: int) -> Peer:
    """A loop over trajectories and steps with <random>, compiled with -O3 -march=native, on threads."""
    m = Model(case, steps)
    library = _compiled()
    function = library.run_float if m.dtype == np.float32 else library.run_double
    function.restype = None
    lrs, scale = np.ascontiguousarray(m.lrs), np.ascontiguousarray(m.scale)
    real = ctypes.c_float if m.dtype == np.float32 else ctypes.c_double

    def run(seed: int) -> Any:
        out = np.empty((m.trajectories, m.dimension), m.dtype)
        function(
            out.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(m.trajectories),
            ctypes.c_int64(m.dimension),
            lrs.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(steps),
            scale.ctypes.data_as(ctypes.c_void_p),
            real(m.weight),
            real(m.std),
            real(m.bound),
            ctypes.c_int(m.absolute),
            ctypes.c_int(m.gaussian),
            ctypes.c_uint64(seed),
            ctypes.c_int(runtime.cpu_count()),
        )
        return out

    return Peer(run, m.values)


@lru_cache
def _compiled() -> ctypes.CDLL:
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise ImportError("no C++ compiler is installed")
    source = resources.files(__package__).joinpath("peer.cpp").read_text(encoding="utf-8")
    name = hashlib.sha256((source + compiler).encode()).hexdigest()[:16]
    folder = Path(tempfile.mkdtemp(prefix="anneal_sgd_bench_"))
    (folder / "peer.cpp").write_text(source, encoding="utf-8")
    target = folder / f"{name}.so"
    options = ["-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-pthread"]
    subprocess.run([compiler, *options, str(folder / "peer.cpp"), "-o", str(target)], check=True)
    library = ctypes.CDLL(str(target))
    shutil.rmtree(folder)  # it is loaded
    return library


PEERS: dict[str, Callable[[Case, int], Peer]] = {
    "NumPy": make_numpy,
    "Numba": make_numba,
    "JAX scan": make_jax_scan,
    "JAX scan, rbg": make_jax_scan_rbg,
    "JAX vmap": make_jax_vmap,
    "PyTorch": make_torch,
    "C++": make_cpp,
}
GPU_PEERS: dict[str, Callable[[Case, int], Peer]] = {
    "PyTorch on a GPU": partial(make_torch, device="cuda"),
    "PyTorch, CUDA graph": make_torch_graph,
}
