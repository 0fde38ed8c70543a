"""Averages that weigh iterates: their weights in closed form, PyTorch's, in campaigns, and what is refused."""

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate
from anneal_sgd.campaigns import read_spec

STEPS = 40
CURVATURE = np.array([0.3, 1.1])
PROBLEM = problems.Quadratic(CURVATURE, x0=[1.0, -2.0])
X = np.random.default_rng(0).standard_normal((9, 3))
ON_DATA = problems.LeastSquares(X, np.arange(9.0), batch_size=2, projection=("ball", 1.0))
OWN = problems.Custom(lambda x: np.sum(CURVATURE * x * x) / 2, x0=[1.0, -2.0], minimum=0.0)


def points(problem, iterate, k, **options):
    """Of one replicate after k of STEPS steps, (d,)."""
    call = {"base_lr": 0.4, "horizon": STEPS, "replicates": 1, "record_at": k, "dtype": "float64"}
    call |= {"metric": "loss"} if problem is ON_DATA else {}
    return simulate(problem, schedules.Linear(), iterate=iterate, keep_iterates=True, **call, **options).iterates[0]


def weights(iterate, number, k):
    """Of iterates 1 .. k."""
    s = np.arange(1, k + 1)
    if iterate == "ema":
        shares = (1 - number) * number ** (k - s)
        shares[0] = number ** (k - 1)
        return shares
    shares = np.prod([s + j for j in range(number)], axis=0) if number else np.ones(k)  # rises like s^number
    return shares / shares.sum()


@pytest.mark.parametrize("problem", [PROBLEM, OWN, ON_DATA], ids=["separable", "own", "data"])
@pytest.mark.parametrize(
    ("iterate", "option", "number"),
    [("ema", "ema_decay", n) for n in (0.0, 0.5, 0.9)]
    + [("polynomial_average", "average_degree", n) for n in (0, 1, 3)],
)
def test_they_are_the_means_with_these_weights(problem, iterate, option, number):
    last = np.array([points(problem, "last", k) for k in range(STEPS + 1)])
    for k in (1, 2, 3, STEPS):
        expected = weights(iterate, number, k) @ last[1 : k + 1]
        np.testing.assert_allclose(points(problem, iterate, k, **{option: number}), expected, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(points(problem, iterate, 0, **{option: number}), last[0])


def test_degree_zero_is_the_average_and_decay_zero_the_last():
    np.testing.assert_allclose(
        points(PROBLEM, "polynomial_average", STEPS, average_degree=0), points(PROBLEM, "average", STEPS), rtol=1e-13
    )
    np.testing.assert_allclose(points(PROBLEM, "ema", STEPS, ema_decay=0), points(PROBLEM, "last", STEPS), rtol=1e-13)


def test_ema_is_that_of_torch():
    torch = pytest.importorskip("torch")
    swa = pytest.importorskip("torch.optim.swa_utils")
    model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
    averaged = swa.AveragedModel(model, multi_avg_fn=swa.get_ema_multi_avg_fn(0.8))
    for k in range(1, STEPS + 1):
        with torch.no_grad():
            model.weight[:] = torch.tensor(points(PROBLEM, "last", k).tolist(), dtype=torch.float64)
        averaged.update_parameters(model)
        ours = points(PROBLEM, "ema", k, ema_decay=0.8)
        np.testing.assert_allclose(averaged.module.weight.detach().numpy()[0], ours, rtol=1e-13)


def test_both_are_recorded_along():
    call = {"base_lr": 0.4, "horizon": 300, "replicates": 70, "record_at": [0, 1, 127, 128, 300], "keep_samples": True}
    noisy = problems.Quadratic(CURVATURE, noise="gaussian", noise_std=1.0)
    together = simulate(noisy, schedules.Linear(), iterate=["ema", "last", "polynomial_average"], **call)
    for i, iterate in enumerate(["ema", "last", "polynomial_average"]):
        alone = simulate(noisy, schedules.Linear(), iterate=iterate, **call)
        np.testing.assert_array_equal(together.samples[i], alone.samples)
    assert (together.mean[0, 2:] != together.mean[1, 2:]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ema_decay": 0.9}, r"^ema_decay must go with iterate 'ema', got 0.9 with 'last'"),
        (
            {"average_degree": 1, "iterate": "ema"},
            r"^average_degree must go with iterate 'polynomial_average', got 1.0",
        ),
        ({"ema_decay": 1.0, "iterate": "ema"}, r"^ema_decay must be one number, in \[0, 1\), got 1.0"),
        (
            {"average_degree": -1, "iterate": "polynomial_average"},
            r"^average_degree must be one number, finite and >= 0",
        ),
        ({"iterate": "mean"}, r"^iterate must be one of 'last', .*'ema', 'polynomial_average', got 'mean'"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        simulate(PROBLEM, schedules.Linear(), base_lr=0.4, horizon=2, replicates=1, **options)


CAMPAIGN = """
schedule = "linear"
horizon = 30
base_lr = [0.1, 0.2]
replicates = 8
{options}
[problem]
kind = "quadratic"
curvature = 1.0
noise = "gaussian"
noise_std = 1.0
"""


def test_campaigns_have_them_and_tell_them_apart(tmp_path):
    found = []
    for options in ('iterate = "ema"', 'iterate = "ema"\nema_decay = 0.9', ""):
        campaign = read_spec(CAMPAIGN.format(options=options)).campaign
        found.append(campaign.run(tmp_path / "store", threads=1).mean.tolist())
    direct = simulate(
        problems.Quadratic(1.0, noise="gaussian", noise_std=1.0), schedules.Linear(), base_lr=[0.1, 0.2], horizon=30,
        replicates=8, iterate="ema", ema_decay=0.9,
    )  # fmt: skip
    assert found[1] == direct.mean.tolist()
    assert found[0] != found[1] != found[2]
