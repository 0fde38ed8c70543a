"""Campaigns on a real Dask cluster, of which a worker is killed."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

import numpy as np
import pytest

from anneal_sgd import cli, problems, schedules
from anneal_sgd.campaigns import EXAMPLE, Campaign, ProblemGrid, _run
from campaign_cases import arrays, noisy, small

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's own, of workers that are killed


def large():
    """About six seconds of one thread, in shards of a twentieth."""
    return Campaign(
        ProblemGrid(noisy, slope=[0.05, 0.2]),
        [schedules.Linear(), schedules.Cosine()],
        rho=[1.0, 8.0, 64.0],
        horizon=2000,
        replicates=1_000_000,
        record_frac=[0.1, 1.0],
    )


@pytest.fixture(scope="module")
def cluster():
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, dashboard_address=None, silence_logs=50, memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_a_cluster_of_which_a_worker_is_killed_gives_the_same_bytes(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(_run, "AWAY_SECONDS", 0.05)
    monkeypatch.setattr(_run, "COMMIT_SECONDS", 0.0)
    large().run(tmp_path / "here.db").export(tmp_path / "here.csv")
    killed = []

    def progress(now):
        if not killed and now.done > 0.2 * now.total:
            pids = cluster.run(os.getpid)
            killed.append(next(iter(pids.values())))
            os.kill(killed[0], signal.SIGKILL)

    result = large().run(tmp_path / "cluster.db", executor=cluster, progress=progress)
    assert killed
    result.export(tmp_path / "cluster.csv")
    assert (tmp_path / "cluster.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert result.runs[0]["executor"] == "distributed.Client"
    deadline = time.monotonic() + 20
    while len(cluster.scheduler_info()["workers"]) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)  # the cluster's nanny starts another worker
    assert killed[0] not in cluster.run(os.getpid).values()


def test_its_executor_does_as_well(cluster, tmp_path):
    result = small().run(tmp_path / "cluster.db", executor=cluster.get_executor())
    assert arrays(result) == arrays(small().run(tmp_path / "here.db"))


def test_large_data_go_to_the_workers_once(cluster, tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((2000, 20))
    y = np.where(X[:, 0] > 0, 1.0, -1.0)
    campaign = Campaign(
        problems.LogisticRegression(X, y, l2=0.1), schedules.Cosine(), base_lr=[0.1, 1.0], horizon=20, replicates=5000
    )
    monkeypatch.setattr(_run, "AWAY_SECONDS", 1e-6)
    scattered = []
    scatter = cluster.scatter

    def counted(*arguments, **options):
        scattered.append(1)
        return scatter(*arguments, **options)

    monkeypatch.setattr(cluster, "scatter", counted)
    result = campaign.run(tmp_path / "cluster.db", executor=cluster)
    assert len(scattered) == 1  # one problem, many shards
    assert arrays(result) == arrays(campaign.run(tmp_path / "here.db"))


def test_large_problems_in_changing_company(cluster, tmp_path, monkeypatch):
    """Shards of other problems of the same campaign get their own."""
    monkeypatch.setattr(_run, "AWAY_SECONDS", 0.01)

    def campaign(slopes=(0.1, 0.2, 0.4), names=("linear", "cosine")):
        make = partial(noisy, second_moment=None, noise_std=1.0, dimension=3000)
        chosen = [schedules.by_name(name) for name in names]
        return Campaign(ProblemGrid(make, slope=slopes), chosen, base_lr=[0.01, 0.1], horizon=20, replicates=64)

    campaign((0.2,), ("linear",)).run(tmp_path / "cluster.db")
    campaign((0.4,), ("cosine",)).run(tmp_path / "cluster.db")
    result = campaign().run(tmp_path / "cluster.db", executor=cluster)
    assert arrays(result) == arrays(campaign().run(tmp_path / "here.db"))


def test_an_interrupted_run_on_a_cluster_keeps_what_came_back(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(_run, "AWAY_SECONDS", 0.02)
    monkeypatch.setattr(_run, "COMMIT_SECONDS", 0.0)

    def progress(now):
        if now.committed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        large().run(tmp_path / "s.db", executor=cluster, progress=progress)
    assert 0 < Campaign.load(tmp_path / "s.db").count.sum() < 24_000_000


def test_sweep_on_a_scheduler_by_its_address(cluster, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("anneal_sgd.cli._campaigns._DASK_TIMEOUT", "2s")
    path = tmp_path / "mine.toml"
    path.write_text(EXAMPLE.replace("[1_000, 10_000]", "[10, 100]"))
    assert cli.main(["sweep", str(path), "--dask", cluster.scheduler.address]) == 0
    assert "1,638,400 trajectories" in capsys.readouterr().out
    assert cli.main(["sweep", str(path), "--store", str(tmp_path / "b.db"), "--dask", "tcp://127.0.0.1:9"]) == 2
    told = capsys.readouterr().err
    assert "--dask: no scheduler answers at 'tcp://127.0.0.1:9'" in told


def test_sweep_with_a_cluster_of_its_own(tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text(EXAMPLE.replace("[1_000, 10_000]", "[10, 100]"))
    assert cli.main(["sweep", str(path), "--dask", "local", "--workers", "2"]) == 0
    assert "1,638,400 trajectories" in capsys.readouterr().out
