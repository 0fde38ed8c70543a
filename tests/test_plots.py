"""Plots show the numbers of the result, with the bars that they name."""

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate
from anneal_sgd.campaigns import Campaign, robustness
from environments import need

need("matplotlib")
pyplot = pytest.importorskip("matplotlib.pyplot")
FAMILIES = [schedules.Constant(), schedules.Linear()]
RATES = [0.01, 0.1, 1.0]


@pytest.fixture(autouse=True)
def without_a_screen():
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def absolute(slope=0.5):
    return problems.AbsoluteValue(slope, noise="gaussian", noise_std=1.0, projection=("box", -1.0, 1.0), x0=1.0)


def run(problem=None, schedule=FAMILIES, **changes):
    arguments = {"base_lr": RATES, "horizon": 50, "replicates": 1024, **changes}
    return simulate(problem or absolute(), schedule, **arguments)


def drawn(axes):
    """By the name in the legend: x, y and half-widths of the bars, of every line."""
    found = {}
    for container in axes.containers:
        line, _, bars = container.lines
        segments = bars[0].get_segments() if bars else []
        found[container.get_label()] = (
            *line.get_data(),
            np.array([np.ptp(ends[:, 1]) / 2 for ends in segments if len(ends)]),
        )
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(found)
    return found


@pytest.mark.parametrize(("errors", "factor"), [("interval", 1.96), ("stderr", 1.0)])
def test_means_against_the_learning_rate(errors, factor):
    result = run()
    axes = result.plot(errors=errors)
    for (name, (x, y, bars)), s in zip(drawn(axes).items(), range(2), strict=True):
        assert name == FAMILIES[s].name
        assert list(x) == RATES
        assert list(y) == result.mean[s].tolist()
        assert bars == pytest.approx(factor * result.stderr[s])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlabel() == "learning rate, base_lr"
    assert axes.get_ylabel() == "mean suboptimality f(x) − f*"
    expected = {"interval": "bars: 95 % intervals", "stderr": "bars: standard errors"}[errors]
    assert axes.get_legend().get_title().get_text() == expected


@pytest.mark.parametrize(("points", "bands"), [(32, False), (33, True)])
def test_many_points_have_bands_in_place_of_bars(points, bands):
    result = run(base_lr=0.1, record_at=range(points))
    axes = result.plot()
    assert axes.get_legend().get_title().get_text() == f"{'bands' if bands else 'bars'}: 95 % intervals"
    assert len(axes.collections) == 2
    for s, (_, y, bars) in enumerate(drawn(axes).values()):
        assert y.tolist() == result.mean[s].tolist()
        half = 1.96 * result.stderr[s]
        if not bands:
            assert bars == pytest.approx(half)
            continue
        assert len(bars) == 0
        corners = {tuple(corner) for corner in axes.collections[s].get_paths()[0].vertices.tolist()}
        for t in range(points):
            assert {(t, y[t] - half[t]), (t, y[t] + half[t])} <= corners


def test_scales_of_few_decades_have_plain_numbers():
    axes = run(base_lr=[0.1, 0.2, 0.5, 2.0]).plot()
    axes.figure.canvas.draw()
    labels = {text.get_text() for text in axes.get_xticklabels(which="both")}
    assert {"0.1", "0.2", "0.5", "1", "2"} <= labels
    assert not any("times" in label for label in labels)


def test_anytime_bars_and_none():
    result = run()
    _, _, bars = drawn(result.plot(errors="anytime"))["linear"]
    assert bars == pytest.approx(result.anytime_error()[1])
    assert drawn(result.plot(errors="none"))["linear"][2].size == 0


def test_records_are_shown_at_the_rate_of_the_best_last_mean():
    steps = [0, 1, 10, 50]
    result = run(record_at=steps)
    lines = drawn(result.plot())
    for s, (name, (x, y, _)) in enumerate(lines.items()):
        best = int(result.mean[s, :, -1].argmin())
        assert name == f"{FAMILIES[s].name}, base_lr {RATES[best]:.4g}"
        assert (list(x), list(y)) == (steps, result.mean[s, best].tolist())
    against_rate = drawn(result.plot("base_lr"))
    assert list(against_rate["linear"][1]) == result.mean[1, :, -1].tolist()


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
def test_points_of_which_a_trajectory_diverged_are_left_out():
    result = run(problems.Quadratic(1.0, noise="gaussian", noise_std=1.0), base_lr=[0.1, 1.0, 3.45])
    assert 0 < result.diverged[0, 2] < 1024
    assert np.isfinite(result.mean[0]).all()
    _, y, _ = drawn(result.plot())["constant"]
    assert np.isnan(y).tolist() == [False, False, True]


def test_a_metric_is_chosen():
    problem = problems.Custom(lambda x: x[0] ** 2, x0=1.0, minimum=0.0, noise="gaussian", noise_std=1.0)
    result = run(problem, metric={"suboptimality": "suboptimality", "distance": lambda x: np.abs(x[0])})
    axes = result.plot(metric="distance")
    assert axes.get_ylabel() == "mean distance"
    assert list(drawn(axes)["linear"][1]) == result.mean[1, :, 1].tolist()
    assert list(drawn(result.plot())["linear"][1]) == result.mean[1, :, 0].tolist()


def test_problems_are_named_by_what_differs_and_axes_are_the_callers():
    figure, own = pyplot.subplots()
    result = run([absolute(0.25), absolute(0.5)], schedules.Linear())
    assert result.plot(ax=own) is own
    assert list(drawn(own)) == ["slope = 0.25", "slope = 0.5"]
    assert figure.axes == [own]


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ValueError, match="x must be a dimension of numbers"):
        run(base_lr=0.1).plot()
    with pytest.raises(ValueError, match="x must be one of 'base_lr', got 'schedule'"):
        run().plot("schedule")
    with pytest.raises(ValueError, match="errors must be one of 'interval'"):
        run().plot(errors="two")
    with pytest.raises(ValueError, match="x leaves 25 lines, of which 24"):
        run([absolute(a) for a in np.linspace(0.1, 0.9, 25)], schedules.Linear()).plot()


def test_a_campaign_and_what_it_tells_of_robustness(tmp_path):
    rho = [1.0, 4.0, 16.0, 64.0]
    campaign = Campaign(absolute(0.1), FAMILIES, rho=rho, horizon=[50, 200], replicates=1024)
    result = campaign.run(tmp_path / "store.db")
    axes = result.plot()
    assert axes.get_xlabel() == "misspecification ρ = base_lr / η*"
    assert list(drawn(axes)["linear, horizon 200"][1]) == result.mean[1, 1].tolist()
    _, tuned, _ = next(iter(drawn(result.plot("horizon")).values()))
    assert list(tuned) == result.mean[0].min(axis=1).tolist()
    rows = robustness(result)
    lines = drawn(rows.plot())
    assert set(lines) == {"constant", "linear"}
    for row in rows[2:]:
        x, y, bars = lines[row.schedule]
        assert (list(x), row.horizon) == (rho, 200)
        assert y == pytest.approx(np.array(row.worst) / row.best)
        assert bars == pytest.approx(1.96 * np.array(row.stderr) / row.best)
    with pytest.raises(ValueError, match=r"horizon must be one of \[50, 200\], got 7"):
        rows.plot(7)


def test_schedules():
    axes = schedules.plot([schedules.Linear(), schedules.Polynomial(2)])
    assert [line.get_label() for line in axes.lines] == ["linear", "polynomial(2)"]
    u, h = axes.lines[1].get_data()
    assert h == pytest.approx((1 - u) ** 2, abs=1e-15)
    logged = schedules.from_steps([0.5, 0.2, 0.1])
    steps, h = schedules.plot(logged, horizon=3, log=True).lines[0].get_data()
    assert (list(steps), list(h)) == ([0, 1, 2], [1.0, 0.4, 0.2])
    with pytest.raises(ValueError, match="schedules must be a schedule"):
        schedules.plot([])


def test_legends_take_names_as_they_are(tmp_path):
    axes = schedules.plot(schedules.Tabulated([1.0, 0.5], name="$\\frac$"))
    axes.figure.savefig(tmp_path / "figure.png")
