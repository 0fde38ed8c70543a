"""What a learning rate that is 10 or 100 times too large costs nine methods with six schedules, on data too.

Question. Does Adam, clipping, or schedule-free forgive what SGD does not? Attia and Koren, arXiv 2503.09411, ask it of
schedules; here it is asked of methods x schedules by `campaigns.robustness`. The set-up is ours.

Set-up. T = 1,000; 4 learning rates per factor of 10 from 1e-4 to 1e3; the best is that of the method with the schedule
(the parabola through the best three), and the cost is the mean there over the best mean. Four measures: f - f* at the
worst of 12 slopes a of a|x| on [-1, 1] with Gaussian noise; the test loss of least squares, 200 rows of 20 features,
labels with noise of standard deviation 0.5, of which 0.125 is in every test loss, batches of 4; test loss and
1 - test accuracy of a network of 16 hidden units on 200 rows of 10 features, of which 10 % of the labels are flipped,
batches of 8; 2,000 test rows, with noise alike. 512, 128, 48 and 48 trajectories, each learning rate with its own.
Methods at their defaults, momentum 0.9, clipping at a norm of 0.5, AdamW with a weight decay of 0.01. On a|x|
schedule-free is left out, which knows no projection, and AdamW, which decays to the minimiser. Infinite: a trajectory
was not finite. Seed 0. 80 s, 102 s of processors, on two cores of a machine in use by others.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gallery
from anneal_sgd import methods, problems, schedules
from anneal_sgd.campaigns import Campaign, ProblemGrid, RobustnessRow, robustness

METHODS: dict[str, methods.Method] = {
    "SGD": methods.SGD(),
    "momentum": methods.SGD(momentum=0.9),
    "clipped SGD": methods.Clipped(methods.SGD(), threshold=0.5),
    "signSGD": methods.SignSGD(),
    "Adam": methods.Adam(),
    "AdamW": methods.Adam(weight_decay=0.01, decoupled=True),
    "AdaGrad": methods.AdaGrad(),
    "s.-free SGD": methods.ScheduleFree(methods.SGD()),
    "s.-free Adam": methods.ScheduleFree(methods.Adam(beta1=0.0)),
}
SCHEDULES = {
    "constant": schedules.Constant(),
    "1/√t": schedules.InverseSqrt(),
    "WSD 20 %": schedules.WarmupStableDecay(0.2),
    "linear": schedules.Linear(),
    "cosine": schedules.Cosine(),
    "cubic": schedules.Polynomial(3),
}
RATIOS = (10.0, 100.0)
TITLES = ("worst a|x|", "regression, test loss", "network, test loss", "network, test error")
FAMILY = TITLES[0]
UNFIT = ("AdamW", "s.-free SGD", "s.-free Adam")  # for the family


def noisy(slope: float) -> problems.Problem:
    """a|x| on [-1, 1] from 1, E g^2 = 1: the problems of `anneal-sgd atlas` with Gaussian noise."""
    return problems.AbsoluteValue(
        slope=slope, noise="gaussian", second_moment=1.0, projection=("box", -1.0, 1.0), x0=1.0
    )


def settings(small: bool) -> dict[str, tuple[Any, str, int]]:
    """By title: the problem or the family of problems, the metric, and how many trajectories."""
    size = {"rows": 200, "test_rows": 200 if small else 2_000}
    regression = problems.random_regression(**size, columns=20, label_noise=0.5, batch_size=4)
    network = problems.random_classification(
        **size, columns=10, label_noise=0.1, model=problems.MLP, hidden=16, batch_size=8
    )
    slopes = 2.0 ** -np.arange(1.0, 7.0, 2.0 if small else 0.5)
    measured = (
        (ProblemGrid(noisy, slope=slopes), "suboptimality", 16 if small else 512),
        (regression, "test_loss", 4 if small else 128),
        (network, "test_loss", 2 if small else 48),
        (network, "test_accuracy", 2 if small else 48),
    )
    return dict(zip(TITLES, measured, strict=True))


def measure(small: bool = False) -> dict[str, Any]:
    """Rows of `robustness` by setting and ratio, then by method and schedule."""
    horizon, per_decade = (50, 2) if small else (1_000, 4)
    rates = np.geomspace(1e-4, 1e3, 7 * per_decade + 1)
    rows: dict[tuple[str, float], dict[tuple[str, str], RobustnessRow]] = {}
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", RuntimeWarning)  # of trajectories that diverge
        for k, (title, (problem, metric, replicates)) in enumerate(settings(small).items()):
            results = {
                name: Campaign(
                    problem,
                    list(SCHEDULES.values()),
                    method=method,
                    base_lr=rates,
                    horizon=horizon,
                    replicates=replicates,
                    metric=metric,
                    common_random_numbers=False,
                ).run(Path(folder) / f"{k} {name}.db")
                for name, method in METHODS.items()
                if title != FAMILY or name not in UNFIT
            }
            for ratio in RATIOS:
                by_name = {row.schedule: row for row in robustness(results, ratio=ratio)}
                rows[title, ratio] = {
                    (name, label): by_name[f"{name}, {schedule.name}"]
                    for name in results
                    for label, schedule in SCHEDULES.items()
                }
    return {"horizon": horizon, "rows": rows}


def largest(rows: dict[tuple[str, str], RobustnessRow], names: Sequence[str], labels: Sequence[str]) -> float:
    """Of the costs of these methods with these schedules."""
    return max(rows[name, label].cost.value for name in names for label in labels)


def check(found: dict[str, Any]) -> str:
    """Adam forgives what makes SGD diverge, and no more; on the family and the regression the schedule forgives."""
    rows = found["rows"]
    family, regression, loss, error = (tuple(rows[title, ratio] for ratio in RATIOS) for title in TITLES)
    fitting = [name for name in METHODS if name not in UNFIT]
    bounded = ["clipped SGD", "signSGD", "Adam", "AdamW"]
    every, annealed = list(SCHEDULES), ["linear", "cosine", "cubic"]
    assert all(np.isnan(row.cost.value) or row.cost.value > 0 for of in rows.values() for row in of.values())
    if found["horizon"] == 1_000:
        assert all(row.ratio == ratio and not row.at_edge for (_, ratio), of in rows.items() for row in of.values())
        for label in every:  # what Adam is asked to forgive: a learning rate that is ten times too large
            assert family[0]["Adam", label].cost.high > family[0]["SGD", label].cost.low, label
            for of in (regression, loss, error):
                assert of[0]["Adam", label].cost.high > of[0]["SGD", label].cost.low, label
        assert min(family[0][name, "constant"].cost.value for name in fitting) > 6.5
        assert largest(family[0], fitting, ["constant"]) < 8.1
        assert largest(family[0], fitting, ["cubic"]) < 1.6
        assert largest(family[1], fitting, ["cubic"]) < 2.4
        for name in ("SGD", "momentum"):
            assert all(np.isinf(regression[1][name, label].cost.value) for label in every), name
        assert (
            largest(regression[1], bounded, annealed)
            < 1.2
            < 4
            < min(regression[1][name, "constant"].cost.value for name in bounded)
        )
        assert largest(regression[1], ["s.-free Adam"], every) < 1.06
        others = [name for name in METHODS if name != "signSGD"]
        assert min(loss[0][name, label].cost.value for name in others for label in every) > 1.5
        assert largest(loss[0], others, every) < 2.2 < 3 < min(loss[0]["signSGD", label].cost.value for label in every)
        assert min(error[0][name, label].cost.value for name in others for label in every) > 1.2
        assert largest(error[0], others, every) < 1.4
        assert largest(error[0], ["signSGD"], every) < 1.15
    told = []
    for (title, ratio), of in rows.items():
        costs = "; ".join(
            f"{name} " + " ".join(f"{of[name, label].cost.value:.3g}" for label in ("constant", "linear", "cubic"))
            for name in METHODS
            if (name, "linear") in of
        )
        told.append(f"{title}, {ratio:g} times: {costs}")
    return "Costs with a constant, a linear and a cubic schedule.\n" + "\n".join(told)


def in_figures(cost: float) -> str:
    """Of three digits."""
    if np.isinf(cost):
        return "∞"
    return "> 999" if cost > 999.5 else f"{cost:.{2 if cost < 9.995 else 1 if cost < 99.95 else 0}f}"


def draw(found: dict[str, Any], axes: Any) -> None:
    """Costs as numbers and colours: a column of panels for each setting, a row for each ratio."""
    for ax, ((title, ratio), rows) in zip(axes.T.flat, found["rows"].items(), strict=True):
        cost = np.full((len(METHODS), len(SCHEDULES)), np.nan)
        for i, name in enumerate(METHODS):
            for j, label in enumerate(SCHEDULES):
                row = rows.get((name, label))
                if row is not None:
                    cost[i, j] = row.cost.value
                shown = "–" if row is None else in_figures(cost[i, j])
                dark = cost[i, j] > 12
                ax.text(j, i, shown, ha="center", va="center", fontsize=7.5, color="white" if dark else "black")
        ax.imshow(np.log10(np.minimum(cost, 100.0)), cmap="Oranges", vmin=-0.1, vmax=2, aspect="auto")
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0, labelsize=7.5)
        first = ax.get_subplotspec().is_first_col()
        ax.set_yticks(range(len(METHODS)), list(METHODS) if first else [])
        ax.set_xticks(range(len(SCHEDULES)), list(SCHEDULES), rotation=30, ha="right", rotation_mode="anchor")
        ax.set_title(f"{title}, {ratio:g} times the best rate", fontsize=8.5)


if __name__ == "__main__":
    gallery.main(measure, check, draw, panels=4, rows=2)
