"""What notebooks show of results: their numbers, their provenance, and no markup but its own."""

from html.parser import HTMLParser

import numpy as np
import pytest

from anneal_sgd import STREAM_VERSION, problems, schedules, simulate
from anneal_sgd.campaigns import Campaign


class Reader(HTMLParser):
    """The cells of all rows, and whether every tag is closed in order."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def absolute(slope=0.5):
    return problems.AbsoluteValue(slope, noise="gaussian", noise_std=1.0)


def run(problem, schedule=None, **changes):
    arguments = {"base_lr": 0.1, "horizon": 20, "replicates": 100, "seed": 7, **changes}
    return simulate(problem, schedule or schedules.Linear(), **arguments)


def test_a_result_shows_its_means_and_where_they_come_from():
    result = run([absolute(0.2), absolute(0.5)], [schedules.Linear(), schedules.Cosine()])
    rows = Reader(result._repr_html_()).rows
    assert rows[0] == ["problem", "schedule", "mean", "stderr"]
    assert [row[:2] for row in rows[1:5]] == [
        [slope, name] for slope in ("slope = 0.2", "slope = 0.5") for name in ("linear", "cosine")
    ]
    assert [float(row[2]) for row in rows[1:5]] == pytest.approx(result.mean.ravel().tolist(), rel=1e-4)
    assert [float(row[3]) for row in rows[1:5]] == pytest.approx(result.stderr.ravel().tolist(), rel=1e-4)
    told = dict(rows[5:])
    assert (told["seed"], told["dtype"], told["backend"]) == ("7", "float32", "cpu")
    assert (told["stream_version"], told["replicates"], told["horizon"]) == (str(STREAM_VERSION), "100", "20")


def test_a_single_mean_is_a_table_of_one_row():
    result = run(absolute())
    assert Reader(result._repr_html_()).rows[:2] == [["mean", "stderr"], [f"{result.mean:.5g}", f"{result.stderr:.5g}"]]


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
def test_divergence_is_shown_where_there_is_any():
    result = run(problems.Quadratic(1.0, noise="gaussian", noise_std=1.0), base_lr=[0.1, 1e6])
    rows = Reader(result._repr_html_()).rows
    assert rows[0] == ["base_lr", "mean", "stderr", "diverged"]
    assert [row[3] for row in rows[1:3]] == ["0", "100"]


def test_long_tables_show_both_ends():
    rates = np.geomspace(0.001, 1.0, 40)
    page = run(absolute(), base_lr=rates)._repr_html_()
    shown = [row[0] for row in Reader(page).rows[1:18]]
    assert "base_lr: 40" in page
    assert shown == [*(f"{rate:.5g}" for rate in rates[:8]), "... 24 more", *(f"{rate:.5g}" for rate in rates[-8:])]


def test_text_of_the_caller_is_escaped(tmp_path):
    campaign = Campaign(
        absolute(), schedules.Linear(), base_lr=[0.1, 0.2], horizon=9, replicates=64, name="<b>&</b>", seed=3
    )
    result = campaign.run(tmp_path / "store.db")
    page = result._repr_html_()
    rows = Reader(page).rows
    assert "<b>" not in page
    assert [float(row[1]) for row in rows[1:3]] == pytest.approx(result.mean.tolist(), rel=1e-4)
    told = dict(rows[3:])
    assert (told["campaign"], told["seed"], told["replicates"]) == ("<b>&</b>", "3", "64 to 64")
