"""What a learning rate that is 10 or 100 times too large costs nine methods with six schedules, on data too.

Question. Does Adam, clipping, or schedule-free forgive what SGD does not? Attia and Koren, arXiv 2503.09411, ask it of
schedules; here it is asked of methods x schedules, as `campaigns.robustness` does. The set-up is ours.

Set-up. T = 1,000; 4 learning rates per factor of 10 from 1e-4 to 1e3; the best is that of the method with the schedule
(the parabola through the best three; on data of those up to 10, where or above which 2 of 1,296 curves are lowest), and
the cost is the mean 10 or 100 times there over the best mean.
Four measures: f - f* at the worst of 12 slopes a of a|x| on [-1, 1] with Gaussian noise, 512 trajectories; the test
loss of least squares, 200 rows of 20 features, labels with noise of standard deviation 0.5, of which 0.125 is in every
test loss on average, batches of 4; test loss and 1 - test accuracy of a network of 16 hidden units on 200 rows of 10
features, of which 10 % of the labels are flipped, batches of 8; 2,000 test rows, with noise alike. Least squares and
the network are on 8 data sets each, seeds 0 to 7: features, model, labels and test rows drawn anew, with 16 and 12
trajectories on each; each learning rate has its own. A cost on data is the median over the data sets; least and largest
of 8 hold the median of all such data sets with probability 1 - 2^-7, 99.2 %. Methods at their defaults, momentum 0.9,
clipping at a norm of 0.5, AdamW with a weight decay of 0.01. On a|x| schedule-free is left out, which knows no
projection, and AdamW, which decays to the minimiser. Infinite: a trajectory was not finite. Seed 0. 117 s of
processors, in 233 s on two cores whose load rose to 9, most of it others' work.
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
from anneal_sgd.campaigns import Campaign, CampaignResult, ProblemGrid, RobustnessRow, robustness

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
DATA_SETS = 8
REDRAWS = 20
LARGEST_BEST = 10.0
FAMILY, REGRESSION, LOSS, ERROR = "worst a|x|", "regression, test loss", "network, test loss", "network, test error"
ON_DATA = {"regression": (REGRESSION,), "network": (LOSS, ERROR)}
UNFIT = ("AdamW", "s.-free SGD", "s.-free Adam")  # for the family

Table = dict[tuple[str, str], Any]  # by method and schedule


def noisy(slope: float) -> problems.Problem:
    """a|x| on [-1, 1] from 1, E g^2 = 1: the problems of `anneal-sgd atlas` with Gaussian noise."""
    return problems.AbsoluteValue(
        slope=slope, noise="gaussian", second_moment=1.0, projection=("box", -1.0, 1.0), x0=1.0
    )


def data_set(kind: str, seed: int, small: bool) -> problems.Problem:
    """Rows, labels and test rows drawn anew for every seed."""
    size = {"rows": 200, "test_rows": 200 if small else 2_000, "seed": seed}
    if kind == "regression":
        return problems.random_regression(**size, columns=20, label_noise=0.5, batch_size=4)
    return problems.random_classification(
        **size, columns=10, label_noise=0.1, model=problems.MLP, hidden=16, batch_size=8
    )


def cost(rates: Any, means: Any, ratio: float) -> float:
    """The mean at `ratio` times the best rate up to 10, over the best mean; else as that of `robustness`."""
    x, y = np.log(rates), np.log(means)
    last = int(np.searchsorted(rates, LARGEST_BEST * (1.0 - 1e-9)))
    k = int(y[: last + 1].argmin())
    place, least = x[k], y[k]
    if 0 < k < last and np.isfinite(y[k - 1 : k + 2]).all() and (curvature := y[k - 1] - 2.0 * y[k] + y[k + 1]) > 0.0:
        slope = (y[k + 1] - y[k - 1]) / 2.0
        place, least = x[k] - slope / curvature * (x[1] - x[0]), y[k] - slope**2 / (2.0 * curvature)
    return float(np.exp(np.interp(place + np.log(ratio), x, y) - least))


def of_metric(result: CampaignResult, m: int, count: int) -> tuple[Any, Any]:
    """Means and standard errors, (schedules, rates); of accuracy, metric 1, its complement; infinite: one diverged."""
    mean, error, diverged = (
        np.asarray(a).reshape(len(SCHEDULES), -1, count)[..., m] for a in (result.mean, result.stderr, result.diverged)
    )
    return np.where(diverged > 0, np.inf, 1.0 - mean if m else mean), np.where(diverged > 0, 0.0, error)


def measure(small: bool = False) -> dict[str, Any]:
    """By setting and ratio: rows of `robustness`, or costs (data sets,) and the standard deviations of their noise."""
    horizon, per_decade = (50, 2) if small else (1_000, 4)
    rates = np.geomspace(1e-4, 1e3, 7 * per_decade + 1)
    rng = np.random.default_rng(0)

    def run(problem: Any, metric: Any, replicates: int, unfit: Sequence[str] = ()) -> dict[str, CampaignResult]:
        common: dict[str, Any] = {"base_lr": rates, "horizon": horizon, "common_random_numbers": False}
        with tempfile.TemporaryDirectory() as folder:
            return {
                name: Campaign(
                    problem, list(SCHEDULES.values()), method=method, replicates=replicates, metric=metric, **common
                ).run(Path(folder) / f"{name}.db")
                for name, method in METHODS.items()
                if name not in unfit
            }

    edges: list[tuple[str, str, str]] = []
    rows: dict[float, dict[tuple[str, str], RobustnessRow]] = {}
    costs: dict[tuple[str, float], Table] = {}
    noise: dict[tuple[str, float], Table] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of trajectories that diverge
        slopes = 2.0 ** -np.arange(1.0, 7.0, 2.0 if small else 0.5)
        results = run(ProblemGrid(noisy, slope=slopes), "suboptimality", 16 if small else 512, UNFIT)
        for ratio in RATIOS:
            by_name = {row.schedule: row for row in robustness(results, ratio=ratio)}
            rows[ratio] = {
                (name, label): by_name[f"{name}, {schedule.name}"]
                for name in results
                for label, schedule in SCHEDULES.items()
            }
        for kind, titles in ON_DATA.items():
            metric = ("test_loss", "test_accuracy")[: len(titles)]
            for seed in range(2 if small else DATA_SETS):
                results = run(data_set(kind, seed, small), metric, 2 if small else 16 if kind == "regression" else 12)
                for name, result in results.items():
                    for m, title in enumerate(titles):
                        for label, mean, error in zip(SCHEDULES, *of_metric(result, m, len(titles)), strict=True):
                            best = rates[mean.argmin()]
                            if not rates[0] < best < LARGEST_BEST:
                                edges.append((title, name, label))
                            redrawn = np.abs(mean + error * rng.standard_normal((2 if small else REDRAWS, mean.size)))
                            for ratio in RATIOS:
                                place = (title, ratio), (name, label)
                                costs.setdefault(place[0], {}).setdefault(place[1], []).append(cost(rates, mean, ratio))
                                drawn = np.log([cost(rates, one, ratio) for one in redrawn])
                                noise.setdefault(place[0], {}).setdefault(place[1], []).append(drawn.std())
    costs = {key: {place: np.array(of) for place, of in table.items()} for key, table in costs.items()}
    return {"horizon": horizon, "family": rows, "costs": costs, "noise": noise, "edges": edges}


def fewer(table: Table, name: str, label: str) -> int:
    """On how many data sets a method costs less than SGD does with the same schedule."""
    return int((table[name, label] < table["SGD", label]).sum())


def median(table: Table, names: Sequence[str], labels: Sequence[str]) -> Any:
    """Over the data sets, of these methods with these schedules."""
    return np.array([np.median(table[name, label]) for name in names for label in labels])


def every_one(table: Table, names: Sequence[str], labels: Sequence[str]) -> Any:
    """The costs themselves, on all data sets."""
    return np.concatenate([table[name, label] for name in names for label in labels])


def spread(table: Table, noise: Table) -> tuple[float, float, int]:
    """Standard deviations of log cost over data sets, and of its noise on one: medians over finite costs and noises."""
    near = [place for place in table if np.isfinite([*table[place], *noise[place]]).all()]
    if not near:
        return np.nan, np.nan, 0
    over = np.median([np.log(table[place]).std(ddof=1) for place in near])
    return float(over), float(np.median([noise[place] for place in near])), len(near)


def check(found: dict[str, Any]) -> str:
    """Adam forgives what makes SGD diverge, and no more; on the family and the regression the schedule forgives."""
    family, costs, noise = found["family"], found["costs"], found["noise"]
    assert all(np.isnan(row.cost.value) or row.cost.value > 0 for of in family.values() for row in of.values())
    if found["horizon"] == 1_000:
        check_family(family)
        check_data(costs)
        assert sorted(found["edges"]) == [(REGRESSION, "AdaGrad", "cubic"), (REGRESSION, "s.-free Adam", "cosine")]
        for title, expected in ((REGRESSION, (0.011, 0.010)), (LOSS, (0.094, 0.044)), (ERROR, (0.067, 0.021))):
            found_here = spread(costs[title, 10.0], noise[title, 10.0])[:2]
            assert np.allclose(found_here, expected, rtol=0.0, atol=0.0005), title
    told = ["Costs with a constant, a linear and a cubic schedule; on data medians over data sets, least and largest."]
    shown = ("constant", "linear", "cubic")
    for ratio, of in family.items():
        texts = (
            f"{name} " + " ".join(in_figures(of[name, label].cost.value) for label in shown)
            for name in METHODS
            if (name, "linear") in of
        )
        told.append(f"{FAMILY}, {ratio:g} times: {'; '.join(texts)}")
    for (title, ratio), table in costs.items():
        texts = (
            " ".join([name, *(f"{in_figures(np.median(c))} ({ends(c)})" for c in (table[name, k] for k in shown))])
            for name in METHODS
        )
        over, of_one, count = spread(table, noise[title, ratio])
        told += [
            f"{title}, {ratio:g} times: {'; '.join(texts)}",
            f"    standard deviation of log cost: over data sets {over:.3f}, of its noise on one {of_one:.3f}:"
            f" medians over the {count} of {len(table)} where both are finite",
        ]
    return "\n".join(told)


def check_family(family: dict[float, dict[tuple[str, str], RobustnessRow]]) -> None:
    """What the gallery says of a|x|."""
    fitting = [name for name in METHODS if name not in UNFIT]
    cost = {(place, ratio): row.cost.value for ratio, of in family.items() for place, row in of.items()}
    assert all(row.ratio == ratio and not row.at_edge for ratio, of in family.items() for row in of.values())
    for label in SCHEDULES:  # what Adam is asked to forgive: a learning rate that is ten times too large
        assert family[10.0]["Adam", label].cost.high > family[10.0]["SGD", label].cost.low, label
    limits = {
        (10.0, "constant"): (6.75, 8.1),
        (10.0, "cubic"): (1.35, 1.5),
        (100.0, "constant"): (23.5, 37.5),
        (100.0, "cubic"): (1.65, 2.25),
    }
    for (ratio, label), (low, high) in limits.items():
        assert all(low < cost[(name, label), ratio] < high for name in fitting), (ratio, label)


def check_data(costs: dict[tuple[str, float], Table]) -> None:
    """What the gallery says of data."""
    every, annealed, names = list(SCHEDULES), ["linear", "cosine", "cubic"], list(METHODS)
    others = [name for name in names if name != "signSGD"]
    bounded = ["clipped SGD", "signSGD", "Adam", "AdamW"]
    ten = {title: costs[title, 10.0] for title in (REGRESSION, LOSS, ERROR)}
    less = {n: {(t, label): fewer(table, n, label) for t, table in ten.items() for label in every} for n in names}
    assert max(less["Adam"].values()) == 4
    assert sum(count == 0 for count in less["Adam"].values()) == 4
    assert less["Adam"][REGRESSION, "constant"] == 0
    assert [place for place, count in less["clipped SGD"].items() if count == 8] == [(LOSS, "1/√t")]
    assert less["s.-free SGD"][REGRESSION, "constant"] == less["s.-free Adam"][REGRESSION, "constant"] == 8
    assert all(less["s.-free SGD"][t, label] < 8 for t in (LOSS, ERROR) for label in every)
    assert sum(less["s.-free Adam"][ERROR, label] == 0 for label in every) == 5
    assert all(5 <= less["signSGD"][ERROR, label] <= 6 for label in every)
    regular = [(n, label) for n in names for label in every if (n, label) != ("AdaGrad", "1/√t")]
    assert max(np.median(ten[REGRESSION][place]) for place in regular) < 1.275
    assert 1.75 < np.median(ten[REGRESSION]["AdaGrad", "1/√t"]) < 1.85
    diverged = {place: int(np.isinf(ten[REGRESSION][place]).sum()) for place in ten[REGRESSION]}
    assert {place: k for place, k in diverged.items() if k} == {("SGD", "cubic"): 1, ("momentum", "cubic"): 1}
    assert max(max(ten[REGRESSION][place]) for place in regular if not diverged[place]) < 1.315
    adam, sgd, free = (median(ten[REGRESSION], [name], ["constant"])[0] for name in ("Adam", "SGD", "s.-free SGD"))
    assert 1.2 < adam < 1.22
    assert 1.13 < sgd < 1.15
    assert free < 1.025
    for title, low, high, least, most in ((LOSS, 1.565, 2.295, 1.375, 2.665), (ERROR, 1.195, 1.385, 1.125, 1.605)):
        table = ten[title]
        assert low < median(table, others, every).min() < median(table, others, every).max() < high
        assert least < every_one(table, others, every).min() < every_one(table, others, every).max() < most
    assert 2.86 < median(ten[LOSS], ["signSGD"], every).min() < median(ten[LOSS], ["signSGD"], every).max() < 3.19
    hundred = {title: costs[title, 100.0] for title in (REGRESSION, LOSS, ERROR)}
    least_squares, loss, error = hundred.values()
    assert np.isinf(every_one(least_squares, ["SGD"], every)).all()
    assert every_one(least_squares, ["momentum"], every).min() > 1e6
    fixed = median(least_squares, bounded, ["constant"])
    assert 5.15 < fixed.min() < fixed.max() < 10.15
    assert every_one(least_squares, bounded, annealed).max() < 1.235
    assert median(least_squares, ["s.-free Adam"], every).max() < 1.065
    assert 9.6 < every_one(least_squares, ["s.-free Adam"], every).max() < 9.8
    assert [int(np.isinf(loss["SGD", label]).sum()) for label in every] == [0, 6, 0, 1, 1, 6]
    assert [int(np.isinf(error["SGD", label]).sum()) for label in every] == [0, 7, 0, 6, 8, 8]
    assert 2.38 < median(loss, bounded, every).min() < median(loss, bounded, every).max() < 12.2
    for name in bounded:
        assert median(loss, [name], every).max() < 1.5 * median(loss, [name], every).min(), name
    assert all(fewer(error, name, label) == 8 for name in (*bounded, "AdaGrad") for label in every)
    assert [fewer(loss, "Adam", label) for label in every] == [1, 8, 2, 8, 7, 8]
    assert all(fewer(loss, "AdamW", label) == 8 for label in every)


def in_figures(cost: float) -> str:
    """Of three digits."""
    if np.isinf(cost):
        return "∞"
    return "> 999" if cost > 999.5 else f"{cost:.{2 if cost < 9.995 else 1 if cost < 99.95 else 0}f}"


def ends(costs: Any) -> str:
    """The least and the largest."""
    return f"{in_figures(min(costs))}–{in_figures(max(costs))}"


def draw(found: dict[str, Any], axes: Any) -> None:
    """Costs as numbers and colours, with those of the data sets: columns of panels for settings, rows for ratios."""
    tables = {(FAMILY, r): {place: [row.cost.value] for place, row in of.items()} for r, of in found["family"].items()}
    tables |= found["costs"]
    for ax, ((title, ratio), table) in zip(axes.T.flat, tables.items(), strict=True):
        middle = np.full((len(METHODS), len(SCHEDULES)), np.nan)
        for i, name in enumerate(METHODS):
            for j, label in enumerate(SCHEDULES):
                costs = table.get((name, label))
                text = {"ha": "center", "va": "center", "color": "black"}
                if costs is None:
                    ax.text(j, i, "–", **text, fontsize=7.5)
                    continue
                middle[i, j] = np.median(costs)
                text["color"] = "white" if middle[i, j] > 12 else "black"
                ax.text(j, i - 0.17 * (len(costs) > 1), in_figures(middle[i, j]), **text, fontsize=7.5)
                if len(costs) > 1:
                    ax.text(j, i + 0.27, ends(costs), **text, fontsize=4.6)
        ax.imshow(np.log10(np.minimum(middle, 100.0)), cmap="Oranges", vmin=-0.1, vmax=2, aspect="auto")
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0, labelsize=7.5)
        first = ax.get_subplotspec().is_first_col()
        ax.set_yticks(range(len(METHODS)), list(METHODS) if first else [])
        ax.set_xticks(range(len(SCHEDULES)), list(SCHEDULES), rotation=30, ha="right", rotation_mode="anchor")
        ax.set_title(f"{title}, {ratio:g} times the best rate", fontsize=8.5)


if __name__ == "__main__":
    gallery.main(measure, check, draw, panels=4, rows=2)
