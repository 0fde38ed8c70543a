"""Problems of the literature against what NumPy says of them independently: moments, samples, known minima."""

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate


def z_score(result, exact):
    return np.abs(result.mean - exact) / result.stderr


def second_moments(problem, rates, batch):
    """E f of the last iterate and of the average of all after every step: Isserlis' theorem for Gaussian samples."""
    lam, w, std = (problem.parameters[name] for name in ("eigenvalues", "minimiser", "label_std"))
    m, crossed, summed, exact = w**2, np.zeros_like(w), np.zeros_like(w), []  # E e_t^2, E A_t e_t, E A_t^2
    for t, lr in enumerate(rates, start=1):
        shrink = 1 - lr * lam
        crossed = shrink * crossed  # of the sum A up to t - 1 with the error e after this step
        fourth = lam * (lam * m) + lam * (np.dot(lam, m) + std**2)
        m = shrink**2 * m + lr**2 / batch * fourth
        summed = summed + 2 * crossed + m
        crossed = crossed + m
        exact.append((0.5 * np.dot(lam, m), 0.5 * np.dot(lam, summed) / t**2))
    return exact


@pytest.mark.parametrize("batch", [1, 3])
def test_streaming_least_squares_has_the_moments_of_the_recursion(batch):
    family = [
        problems.streaming_least_squares(12, capacity=c, source=s, noise_std=std, batch_size=batch)
        for c, s, std in ((1.0, 2.0, 0.5), (2.0, 1.2, 0.0), (0.0, 1.0, 1.0))
    ]
    T, lr, schedule = 60, 0.08, schedules.Polynomial(0.5)
    result = simulate(
        family, schedule, base_lr=lr, horizon=T, replicates=2**14, record_at=[1, 20, T], iterate=["last", "average"]
    )
    for k, problem in enumerate(family):
        exact = np.array(second_moments(problem, lr * schedule.values(T), batch))
        assert (np.abs(result.mean[:, k] - exact[[0, 19, T - 1]].T) < 4.5 * result.stderr[:, k]).all()


def test_the_power_laws_of_the_stream():
    problem = problems.streaming_least_squares(50, capacity=1.7, source=2.5)
    lam, w, i = problem.parameters["eigenvalues"], problem.parameters["minimiser"], np.arange(1, 51)
    np.testing.assert_allclose(np.log(lam[1:]) / np.log(i[1:]), -1.7)
    np.testing.assert_allclose(np.log(lam * w**2)[1:] / np.log(i[1:]), -2.5)
    assert problem.suboptimality(problem.x0) == pytest.approx(0.5 * np.sum(i**-2.5))


TEACHER = np.array([[1.0, 0.5, 0.0, -0.5], [0.0, -1.0, 0.3, 0.2]])
STREAMS = {
    "least squares": (
        problems.streaming_least_squares(6, capacity=1.0, source=1.5, noise_std=0.0, x0=np.linspace(-1, 1, 6)),
        lambda x, a: 0.5 * (a @ ((x - np.arange(1.0, 7.0) ** -0.25) * np.arange(1.0, 7.0) ** -0.5)) ** 2,
        6,
    ),
    "phases": (
        problems.phase_retrieval(6, x0=np.linspace(-0.7, 0.4, 6), batch_size=2),
        lambda x, a: 0.25 * ((a @ x) ** 2 - a[:, 0] ** 2) ** 2,
        6,
    ),
    "teacher": (
        problems.teacher_student(4, hidden=3, teacher=TEACHER, batch_size=2, x0=np.linspace(-0.6, 0.5, 12)),
        lambda x, a: 0.25 * (((a @ x.reshape(3, 4).T) ** 2).sum(1) - ((a @ TEACHER.T) ** 2).sum(1)) ** 2,
        4,
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_that_of_the_loss_of_its_samples(name):
    """f is the mean loss of Gaussian samples, and one step is by the gradient of f on average."""
    problem, loss, features = STREAMS[name]
    losses = loss(problem.x0, np.random.default_rng(5).standard_normal((400_000, features)))
    assert abs(losses.mean() - problem.value(problem.x0)) < 4 * losses.std() / np.sqrt(losses.size)
    step = simulate(
        problem, schedules.Constant(), base_lr=0.01, horizon=1, replicates=2**16, dtype="float64", keep_iterates=True
    ).iterates
    off = step.mean(axis=0) - (problem.x0 - 0.01 * problem.gradient(problem.x0))
    assert (np.abs(off) < 4.5 * step.std(axis=0) / np.sqrt(len(step))).all()


def test_the_largest_batches():
    for make in (
        lambda: problems.streaming_least_squares(3, capacity=1.0, source=1.0, batch_size=120),
        lambda: problems.phase_retrieval(3, batch_size=120, x0=lambda draw: draw.gaussian()),
        lambda: problems.teacher_student(
            2, hidden=1, teacher=np.eye(2), batch_size=120, x0=lambda draw: draw.uniform()
        ),
    ):
        metric = "value"
        assert simulate(make(), schedules.Constant(), base_lr=0.01, horizon=1, replicates=4, metric=metric).count == 4


def test_minima_of_streams():
    student = STREAMS["teacher"][0]
    assert student.value(np.append(TEACHER[::-1].ravel(), np.zeros(4))) == pytest.approx(0.0, abs=1e-15)
    one = problems.teacher_student(6, hidden=1, teacher=np.eye(1, 6), x0=np.ones(6))
    points = np.random.default_rng(1).standard_normal((5, 6))
    np.testing.assert_allclose(one.value(points), STREAMS["phases"][0].value(points), rtol=1e-12)
    small = problems.teacher_student(4, hidden=1, teacher=TEACHER, x0=np.ones(4))
    call = {"base_lr": 0.01, "horizon": 1, "replicates": 1}
    assert simulate(small, schedules.Constant(), **call).spec.metric == "value"
    with pytest.raises(ValueError, match="minimum must be given"):
        simulate(small, schedules.Constant(), metric="suboptimality", **call)


def test_a_quadratic_with_a_full_matrix():
    """Mean and covariance by their recursions, in a frame that is not that of the noise."""
    rng = np.random.default_rng(2)
    frame, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    A, m, std = frame * [1.0, 0.6, 0.3, 0.0] @ frame.T, rng.standard_normal(4), np.array([0.5, 0.1, 0.2, 0.4])
    problem = problems.quadratic_form(A, minimiser=m, x0=np.ones(4), noise="rademacher", noise_std=std)
    mean, covariance, one = np.ones(4) - m, np.zeros((4, 4)), np.eye(4) - 0.1 * A
    for _ in range(50):
        mean, covariance = one @ mean, one @ covariance @ one.T + 0.01 * np.diag(std**2)
    result = simulate(problem, schedules.Constant(), base_lr=0.1, horizon=50, replicates=2**15, seed=3)
    assert z_score(result, 0.5 * (mean @ A @ mean + np.trace(A @ covariance))) < 4.5


def test_rosenbrock_is_scipys():
    optimize = pytest.importorskip("scipy.optimize")
    x = np.random.default_rng(3).standard_normal((5, 7))
    problem = problems.rosenbrock(7)
    np.testing.assert_allclose(problem.value(x), [optimize.rosen(p) for p in x], rtol=1e-12)
    np.testing.assert_allclose(problem.gradient(x), [optimize.rosen_der(p) for p in x], rtol=1e-10)
    assert problem.suboptimality(np.ones(7)) == 0.0


@pytest.mark.parametrize(
    ("make", "at", "elsewhere", "value"),
    [
        (problems.rastrigin, 0.0, 0.5, 2 * 20.25),
        (problems.ackley, 1e-12, 0.5, 20 - 20 * np.exp(-0.1) + np.e - np.exp(-1.0)),
        (problems.styblinski_tang, -2.903534, 1.0, 2 * -5.0),
    ],
)
def test_minima_of_test_functions(make, at, elsewhere, value):
    problem = make(2)
    assert problem.suboptimality([at, at]) == pytest.approx(0.0, abs=1e-10)
    assert problem.value([elsewhere, elsewhere]) == pytest.approx(value, rel=1e-12)
    points = np.random.default_rng(4).uniform(-5, 5, (2000, 2))
    assert (problem.suboptimality(points) > 0).all()


@pytest.mark.parametrize("horizon", [1, 16, 100, 256])
def test_the_hard_instance_has_the_error_of_its_construction(horizon):
    T = horizon
    a = 1 / (8 * (T - np.arange(1, T + 1) + 1.0))
    fixed = simulate(
        problems.hard_max_of_linear(T), schedules.Constant(), base_lr=0.3, horizon=T, replicates=1, dtype="float64"
    )
    assert fixed.mean == pytest.approx(0.3 * np.sum(a * (0.5 - a * np.arange(T - 1, -1, -1))), rel=1e-12)
    hard = problems.hard_max_of_linear(T, schedule="inverse_sqrt")
    decaying = simulate(hard, schedules.InverseSqrt(), base_lr=1.0, horizon=T, replicates=1)
    assert decaying.mean >= np.log(T) / (32 * np.sqrt(T))


@pytest.mark.parametrize("schedule", ["constant", "inverse_sqrt"])
def test_the_hard_instance_is_lipschitz_and_minimal_at_its_start(schedule):
    optimize = pytest.importorskip("scipy.optimize")
    T = 20
    problem = problems.hard_max_of_linear(T, schedule=schedule)
    points = [-np.eye(T)[i] for i in range(T)] + [np.ones(T)] + list(np.random.default_rng(6).standard_normal((500, T)))
    rows = np.unique(problem.gradient(np.array(points)), axis=0)
    assert np.linalg.norm(rows, axis=1).max() <= 1.0
    assert len(rows) > T / 2
    b = np.full(T, 0.5) if schedule == "constant" else np.sqrt(np.arange(1, T + 1) / T) / 2
    all_rows = np.tril(np.tile(1 / (8 * (T - np.arange(T))), (T + 1, 1)), -1) - np.eye(T + 1, T) * b
    _, off = optimize.nnls(np.vstack([all_rows.T, np.ones(T + 1)]), np.append(np.zeros(T), 1.0))
    assert off < 1e-12, "0 is no mean of the gradients"
    assert problem.suboptimality(np.zeros(T)) == 0.0


def test_linf_regression_finds_chebyshevs_polynomial():
    """The parabola nearest to x^3 on [-1, 1] is off by 1/4."""
    pytest.importorskip("scipy")
    x = np.cos(np.pi * np.arange(31) / 30)
    problem = problems.linf_regression(np.vander(x, 3), x**3, noise="rademacher", noise_std=0.1)
    assert problem.minimum == pytest.approx(0.25, abs=1e-9)
    assert problem.value([0.0, 0.75, 0.0]) == pytest.approx(0.25)
    result = simulate(problem, schedules.Linear(), base_lr=0.1, horizon=3000, replicates=64)
    assert 0 < result.mean < 0.02


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: problems.streaming_least_squares(0, capacity=1, source=1), "dimension must be an integer in 1"),
        (lambda: problems.streaming_least_squares(3, capacity=-1, source=1), "capacity must be one number, finite and"),
        (lambda: problems.streaming_least_squares(3, capacity=1, source=np.nan), "source must be one number, finite"),
        (lambda: problems.streaming_least_squares(3, capacity=1, source=1, noise_std=-1), "noise_std must be one num"),
        (lambda: problems.streaming_least_squares(3, capacity=1, source=1, batch_size=0), "batch_size must be an int"),
        (
            lambda: problems.streaming_least_squares(3, capacity=1, source=1, batch_size=121),
            "batch_size .* in 1 .. 120",
        ),
        (lambda: problems.streaming_least_squares(3, capacity=1, source=1, x0=[1.0]), "x0 must be one number or have"),
        (lambda: problems.phase_retrieval(2.5, x0=1.0), "dimension must be an integer"),
        (lambda: problems.teacher_student(3, hidden=17, teacher=np.eye(3), x0=1.0), "hidden must be an integer in 1"),
        (lambda: problems.teacher_student(3, hidden=2, teacher=np.eye(2), x0=1.0), "teacher must have shape .units, 3"),
        (lambda: problems.quadratic_form([1.0]), "matrix must have shape .d, d., got shape .1,"),
        (lambda: problems.quadratic_form([[1, 2], [0, 1]]), "matrix must be symmetric, got 2 at .0, 1., 0 at"),
        (lambda: problems.quadratic_form([[1, 2], [2, 1]]), "matrix must be positive semidefinite, got .* -1"),
        (lambda: problems.quadratic_form(np.eye(2), minimiser=[1, 2, 3]), "minimiser must be one number or have 2 ele"),
        (lambda: problems.quadratic_form(np.eye(2), x0=[1, 2, 3]), "x0 must be one number or have 2 elements"),
        (lambda: problems.rosenbrock(1), "dimension must be an integer in 2"),
        (lambda: problems.ackley(2, noise="gaussian"), "noise_std must be given"),
        (lambda: problems.hard_max_of_linear(5000), "horizon must be an integer in 1 .. 4096, got 5000"),
        (lambda: problems.hard_max_of_linear(5, schedule="linear"), "schedule must be one of 'constant', 'inverse_"),
        (lambda: problems.linf_regression([1.0], [1.0]), "X must have shape .n, d., got shape .1,"),
        (lambda: problems.linf_regression([[1.0]], [1.0, 2.0]), "y must have shape .1,., one number for each row"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
