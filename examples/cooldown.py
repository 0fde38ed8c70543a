"""A cooldown removes the logarithm of a fixed stepsize; longer ones are better, and their shape matters little.

Claim. Schaipp et al., arXiv 2501.18965: their bound for a constant schedule with a linear cooldown (WSD), at its best
learning rate, has no logarithmic term, which is the practical benefit of the cooldown; it agrees with what training
shows.

Set-up. That bound for convex Lipschitz functions (`theory.last_iterate_bound`, start=1) and its exact worst case
(`theory.worst_case`), each at the best of many learning rates, for cooldowns of a fraction c of T, T from 256 to
262,144. And the shapes linear, cosine and 1 - sqrt, measured on a power-law stream (`streaming_least_squares`, d =
200, capacity 1.5, source 2.5) with T = 2,048 and the best of nine learning rates, 256 trajectories, seed 0. The
experiments with language models are not in it. 3 s, 4 s of processors, on two cores of a machine in use by others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gallery
from anneal_sgd import problems, schedules, simulate, theory

SHAPES = ("linear", "cosine", "one_minus_sqrt")


def wsd(fraction: float, shape: Any = "linear") -> Any:
    """Constant, then a cooldown over the last fraction of the steps."""
    return schedules.Constant() if fraction == 0 else schedules.WarmupStableDecay(fraction, shape)


def best(bound: Any, schedule: Any, horizon: int) -> float:
    """The least value over learning rates, times sqrt T."""
    low, high = 0.1, 4.0
    for _ in range(2):
        rates = np.geomspace(low, high, 41)
        values = bound(schedule, horizon, base_lr=rates / horizon**0.5, start=1).value
        k = int(values.argmin())
        low, high = rates[max(k - 1, 0)], rates[min(k + 1, 40)]
    return float(values[k] * horizon**0.5)


def measure(small: bool = False) -> dict[str, Any]:
    """Bound and worst case, (fractions, T), and measured errors, (shapes, fractions)."""
    horizons = 4 ** np.arange(4, 7 if small else 10)
    fractions = np.array([0.0, 0.05, 0.2, 0.5, 1.0])
    tables = {
        name: np.array([[best(bound, wsd(c), T) for T in horizons.tolist()] for c in fractions])
        for name, bound in (("bound", theory.last_iterate_bound), ("worst", theory.worst_case))
    }
    steps, replicates, d = (512, 64, 50) if small else (2_048, 256, 200)
    problem = problems.streaming_least_squares(d, capacity=1.5, source=2.5)
    family = [schedules.Constant()] + [wsd(c, shape) for shape in SHAPES for c in fractions[1:]]
    result = simulate(problem, family, base_lr=0.4 * 2.0 ** (-0.5 * np.arange(9)), horizon=steps, replicates=replicates)
    lowest, at = result.mean.min(axis=1), result.mean.argmin(axis=1)
    stderr = np.take_along_axis(result.stderr, at[:, None], axis=1)[:, 0]
    return {
        "horizon": horizons,
        "fraction": fractions,
        **tables,
        "measured": np.column_stack([np.full(3, lowest[0]), lowest[1:].reshape(3, -1)]),
        "stderr": np.column_stack([np.full(3, stderr[0]), stderr[1:].reshape(3, -1)]),
    }


def check(found: dict[str, Any]) -> str:
    """No growth with T from a cooldown of 20 % on, growth without; longer is better in bound and worst case."""
    told = []
    for name in ("bound", "worst"):
        table = found[name]
        growth = table[:, -1] / table[:, -2] - 1
        assert growth[0] > 0.03
        assert np.abs(growth[2:]).max() < 0.005
        assert (np.diff(table[:, -1]) < 0).all()
        told.append(f"{name} without {table[0, -1]:.2f}, with 20 % {table[2, -1]:.2f}, with 100 % {table[-1, -1]:.2f}")
    measured = found["measured"]
    assert (measured[:, 1:] < measured[:, :1]).all()
    spread = (measured.max(axis=0) / measured.min(axis=0)).max()
    bound = found["bound"][:, -1] / found["bound"][:, -2] - 1
    shares = []
    for shape, row in zip(SHAPES, measured[:, 1:] / measured[:, :1], strict=True):
        of = [f"{v:.2f} ({100 * c:.0f} %)" for c, v in zip(found["fraction"][1:], row, strict=True)]
        shares.append(f"{shape} {', '.join(of)}")
    return (
        f"Times sqrt T at T = {found['horizon'][-1]:,}: {'; '.join(told)}. From T = {found['horizon'][-2]:,} the "
        f"bound grows by {100 * bound[0]:.1f} % without cooldown and {100 * bound[2]:.2f} % with 20 %. Measured on the "
        f"stream, over the error without: {'; '.join(shares)}; shapes differ by a factor of {spread:.2f} at most"
    )


def draw(found: dict[str, Any], axes: Any) -> None:
    """Bound over T on the left, measured errors over the fraction on the right."""
    for k, c in enumerate(found["fraction"].tolist()):
        label = "no cooldown" if c == 0 else f"cooldown of {100 * c:.0f} %"
        axes[0].semilogx(found["horizon"], found["bound"][k], f"C{k}o-", label=label)
        axes[0].semilogx(found["horizon"], found["worst"][k], f"C{k}--", lw=1)
    axes[0].set(xlabel="steps T", ylabel="error · √T / (D G), best learning rate")
    axes[0].set_title("Points: the bound; dashes: the worst case", fontsize=9)
    axes[0].set_ylim(0.8, 4.9)
    axes[0].legend(fontsize=7, ncols=2, loc="upper left")
    for k, shape in enumerate(SHAPES):
        mean, error = found["measured"][k], 2 * found["stderr"][k]
        axes[1].errorbar(100 * found["fraction"], mean, error, fmt=f"C{k}o-", lw=1, label=shape.replace("_", " "))
    axes[1].set(xlabel="cooldown, % of the steps", ylabel="f(x) − f*, best learning rate", ylim=(0, None))
    axes[1].set_title("Measured on a stream, ± 2 standard errors", fontsize=9)
    axes[1].legend()


if __name__ == "__main__":
    gallery.main(measure, check, draw, panels=2)
