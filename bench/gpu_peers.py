"""|x| on a box in JAX and PyTorch, each as its own experts would write it, all trajectories of a step at once.

A peer is a function that runs the case and returns mean and standard error of the final suboptimality.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_cases import Case

Peer = Callable[[Any], tuple[float, float]]


def peers(case: Case, shrink: int, on_gpu: bool) -> dict[str, Peer]:
    """By name, for what is installed; compiled at the first run, which is not timed."""
    found: dict[str, Peer] = {}
    for name, make in (
        ("JAX scan, threefry", lambda *a: jax_scan(*a, generator="threefry2x32")),
        ("JAX scan, rbg", lambda *a: jax_scan(*a, generator="rbg")),
        ("PyTorch, compiled", torch_compiled),
        ("PyTorch, CUDA graph", torch_graph),
    ):
        try:
            found[name] = make(case, max(1, case.replicates // shrink), max(1, case.horizon // shrink), on_gpu)
        except ImportError:
            continue
    return found


def learning_rates(case: Case, horizon: int) -> np.ndarray:
    return (0.01 * case.schedule.values(horizon)).astype(np.float32)


def parameters(case: Case) -> tuple[float, float]:
    return float(case.problem.slope[0]), float(case.problem.noise_std[0])


def jax_scan(case: Case, n: int, horizon: int, on_gpu: bool, *, generator: str) -> Peer:
    import jax
    import jax.numpy as jnp

    del on_gpu  # JAX chooses its device
    slope, noise_std = parameters(case)
    draw = jax.random.normal if case.problem.noise == "gaussian" else jax.random.rademacher
    lrs = jnp.asarray(learning_rates(case, horizon))

    @jax.jit
    def run(key: Any) -> Any:
        def step(x: Any, inputs: Any) -> Any:
            lr, k = inputs
            g = slope * jnp.sign(x) + noise_std * draw(k, (n,)).astype(jnp.float32)
            return jnp.clip(x - lr * g, -1.0, 1.0), None

        keys = jax.random.split(key, horizon)
        x, _ = jax.lax.scan(step, jnp.ones(n, jnp.float32), (lrs, keys), unroll=8)
        f = slope * jnp.abs(x)
        return f.mean(), f.std()

    seed = iter(range(10**6))

    def peer(_stream: Any) -> tuple[float, float]:
        mean, std = run(jax.random.key(next(seed), impl=generator))
        return float(mean), float(std) / math.sqrt(n)

    return peer


def torch_step(case: Case) -> Callable[[Any, Any], Any]:
    import torch

    slope, noise_std = parameters(case)

    def gaussian(x: Any, lr: Any) -> Any:
        return torch.clamp(x - lr * (slope * torch.sign(x) + noise_std * torch.randn_like(x)), -1.0, 1.0)

    def rademacher(x: Any, lr: Any) -> Any:
        signs = torch.where(torch.rand_like(x) < 0.5, -noise_std, noise_std)
        return torch.clamp(x - lr * (slope * torch.sign(x) + signs), -1.0, 1.0)

    return gaussian if case.problem.noise == "gaussian" else rademacher


def finish(case: Case, x: Any) -> tuple[float, float]:
    f = parameters(case)[0] * x.abs()
    return float(f.mean()), float(f.std()) / math.sqrt(x.numel())


def torch_compiled(case: Case, n: int, horizon: int, on_gpu: bool) -> Peer:
    """Several steps fused into one kernel by the compiler."""
    import torch

    device = "cuda" if on_gpu else "cpu"
    step, together = torch_step(case), 8

    @torch.compile
    def steps(x: Any, lrs: Any) -> Any:
        for j in range(together):
            x = step(x, lrs[j])
        return x

    lrs = torch.zeros(-(-horizon // together) * together, device=device)
    lrs[:horizon] = torch.from_numpy(learning_rates(case, horizon)).to(device)  # the last, void steps have rate 0

    def peer(_stream: Any) -> tuple[float, float]:
        x = torch.ones(n, device=device)
        with torch.no_grad():
            for first in range(0, len(lrs), together):
                x = steps(x, lrs[first : first + together])
        return finish(case, x)

    return peer


def torch_graph(case: Case, n: int, horizon: int, on_gpu: bool) -> Peer:
    """Steps recorded once as a CUDA graph and replayed, so that Python costs nothing."""
    import torch

    if not on_gpu:
        raise ImportError("CUDA graphs need a GPU")
    step, together = torch_step(case), 50
    padded = np.zeros(-(-horizon // together) * together, np.float32)
    padded[:horizon] = learning_rates(case, horizon)
    lrs = torch.from_numpy(padded).cuda()
    x, window = torch.ones(n, device="cuda"), torch.zeros(together, device="cuda")
    graph = torch.cuda.CUDAGraph()
    warm = torch.cuda.Stream()
    with torch.no_grad(), torch.cuda.stream(warm):
        for j in range(3):
            x.copy_(step(x, window[j]))
    torch.cuda.current_stream().wait_stream(warm)
    with torch.no_grad(), torch.cuda.graph(graph):
        for j in range(together):
            x.copy_(step(x, window[j]))

    def peer(_stream: Any) -> tuple[float, float]:
        x.fill_(1.0)
        for first in range(0, len(lrs), together):
            window.copy_(lrs[first : first + together])
            graph.replay()
        return finish(case, x)

    return peer
