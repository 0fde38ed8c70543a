"""Methods: step by step what papers, PyTorch and optax do; bits of the reference; limits; all around a call."""

import copy
import html
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest

from anneal_sgd import _core, methods, problems, schedules, simulate
from anneal_sgd.campaigns import Campaign, read_spec, write_report
from anneal_sgd.programs._combine import with_method
from anneal_sgd.reference import Schedule
from anneal_sgd.reference import programs as reference
from method_cases import BASE_LR, CASES, HARD, HORIZON, SCHEDULE, START, gradient, rates, walked
from method_cases import problem as smooth

ISAS = _core.supported_isas()
DTYPES = ("float32", "float64")
ITERATES = ("last", "average", "tail_average")


def core_program(given):
    """A program of the core, of two coordinates in eight registers."""
    none = np.zeros((0, 15), np.int64)
    fields = {
        "dimension": 2, "registers": 8, "constants": np.zeros(0), "parameter_count": 0, "numbers": np.zeros(0),
        "draws": np.zeros((0, 4), np.int64), "prologue": none, "gradient": none, "value": none,
        "gradient_result": [0, 0, 1], "value_result": [0, 0, 0],
    }  # fmt: skip
    rows = {name: np.array(value) if name == "state_results" else value for name, value in given.items()}
    return _core.Program(**fields | rows)


RNG = np.random.default_rng(0)
FOLLOWS = methods.SGD(momentum=schedules.Linear(floor=0.5, warmup_frac=0.1))
COORDINATES = {f"x{i}": f"x[{i}]" for i in range(3)}


def points(method):
    """x_0 .. x_T of the core, (steps + 1, 3)."""
    result = simulate(
        smooth(), SCHEDULE, method=method, base_lr=BASE_LR, horizon=HORIZON, record_at=range(HORIZON + 1),
        replicates=1, metric=COORDINATES, dtype="float64",
    )  # fmt: skip
    return result.mean


def assert_close(a, b, allowed=1e-12):
    """Where points are beyond 1, as on the way from a saddle, to that fraction of them."""
    assert np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b))) < allowed


# --- what steps are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_every_step_is_the_papers(name):
    method, step = CASES[name]
    assert_close(points(method), walked(step))


def torch_optimizers():
    return {
        "sgd": lambda o, p: o.SGD(p, lr=1.0),
        "momentum": lambda o, p: o.SGD(p, lr=1.0, momentum=0.9),
        "nesterov": lambda o, p: o.SGD(p, lr=1.0, momentum=0.8, nesterov=True),
        "weight decay": lambda o, p: o.SGD(p, lr=1.0, weight_decay=0.3),
        "all of sgd": lambda o, p: o.SGD(p, lr=1.0, momentum=0.7, nesterov=True, weight_decay=0.2),
        "adagrad": lambda o, p: o.Adagrad(p),
        "adagrad, all": lambda o, p: o.Adagrad(p, eps=1e-3, initial_accumulator_value=0.4, weight_decay=0.1),
        "rmsprop": lambda o, p: o.RMSprop(p),
        "rmsprop, momentum": lambda o, p: o.RMSprop(p, alpha=0.9, eps=1e-4, momentum=0.5),
        "rmsprop, centered": lambda o, p: o.RMSprop(p, alpha=0.8, eps=0.2, centered=True),
        "rmsprop, all": lambda o, p: o.RMSprop(p, alpha=0.8, eps=0.2, momentum=0.5, centered=True, weight_decay=0.1),
        "adam": lambda o, p: o.Adam(p),
        "adam, numbers": lambda o, p: o.Adam(p, betas=(0.5, 0.7), eps=1e-3),
        "adam, no beta1": lambda o, p: o.Adam(p, betas=(0.0, 0.9)),
        "adam, no beta2": lambda o, p: o.Adam(p, betas=(0.9, 0.0), eps=0.5),
        "amsgrad": lambda o, p: o.Adam(p, betas=(0.9, 0.6), amsgrad=True),
        "adam, l2": lambda o, p: o.Adam(p, betas=(0.9, 0.9), weight_decay=0.2),
        "adamw": lambda o, p: o.AdamW(p, betas=(0.9, 0.9), weight_decay=0.2, amsgrad=True),
        "clipped by norm": lambda o, p: o.SGD(p, lr=1.0),
        "clipped by value": lambda o, p: o.SGD(p, lr=1.0),
        "clipped adam": lambda o, p: o.Adam(p, betas=(0.9, 0.9)),
    }


@pytest.mark.parametrize("name", torch_optimizers())
def test_steps_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    x = torch.nn.Parameter(torch.tensor(START))
    optimizer = torch_optimizers()[name](torch.optim, [x])
    found = [START]
    for lr in rates():
        optimizer.param_groups[0]["lr"] = float(lr)
        x.grad = torch.tensor(gradient(x.detach().numpy()))
        if "clipped" in name:
            by = CASES[name][0].by
            clip = torch.nn.utils.clip_grad_norm_ if by == "norm" else torch.nn.utils.clip_grad_value_
            clip([x], CASES[name][0].threshold)
        optimizer.step()
        found.append(x.detach().numpy().copy())
    # PyTorch's clip_grad_norm_ adds 1e-6 to the norm, which moves these points by about 1e-5.
    allowed = 1e-12 if "clipped" not in name or name == "clipped by value" else 1e-4
    assert_close(points(CASES[name][0]), np.array(found), allowed)


@pytest.mark.parametrize("name", [name for name in torch_optimizers() if "clipped" not in name])
def test_methods_are_made_of_pytorchs_optimizers(name):
    torch = pytest.importorskip("torch")
    optimizer = torch_optimizers()[name](torch.optim, [torch.nn.Parameter(torch.tensor(START))])
    assert methods.from_torch(optimizer) == CASES[name][0]


def test_one_group_of_an_optimizer_is_one_method():
    torch = pytest.importorskip("torch")
    a, b = (torch.nn.Parameter(torch.tensor(START)) for _ in "ab")
    optimizer = torch.optim.SGD([{"params": [a]}, {"params": [b], "momentum": 0.5}], lr=1.0, momentum=0.9)
    assert methods.from_torch(optimizer) == methods.SGD(momentum=0.9)
    assert methods.from_torch(optimizer, group=1) == methods.SGD(momentum=0.5)
    with pytest.raises(ValueError, match=r"^group must be an integer in 0 .. 1, got 2"):
        methods.from_torch(optimizer, group=2)
    assert methods.from_torch(torch.optim.AdamW([a], weight_decay=0.0)) == methods.Adam()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda torch, p: torch.optim.SGD(p, lr=1.0, momentum=0.9, dampening=0.1), "must have no dampening, got 0.1"),
        (lambda torch, p: torch.optim.Adagrad(p, lr_decay=0.2), "must have no lr_decay, got 0.2"),
        (lambda torch, p: torch.optim.Adam(p, maximize=True), "must have no maximize, got True"),
        (lambda torch, p: torch.optim.NAdam(p), "must be one of torch.optim's SGD, .*, got torch.optim.nadam.NAdam"),
        (lambda torch, p: type("Adam", (torch.optim.Adam,), {})(p), "must be one of torch.optim's"),
        (lambda torch, p: "adam", "must be one of torch.optim's .*, got builtins.str"),
        (
            lambda torch, p: torch.optim.lr_scheduler.OneCycleLR(torch.optim.Adam(p), 0.1, total_steps=10).optimizer,
            "must have no scheduler that cycles its momentum",
        ),
    ],
)
def test_what_is_no_optimizer_of_a_method_is_refused(make, message):
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=f"^optimizer {message}"):
        methods.from_torch(make(torch, [torch.nn.Parameter(torch.tensor(START))]))


def optax_transforms(optax):
    return {
        "sgd": optax.sgd(1.0),
        "momentum": optax.sgd(1.0, momentum=0.9),
        "nesterov": optax.sgd(1.0, momentum=0.8, nesterov=True),
        "sign": optax.sign_sgd(1.0),
        "clipped by norm": optax.chain(optax.clip_by_global_norm(0.8), optax.sgd(1.0)),
        "clipped by value": optax.chain(optax.clip(0.5), optax.sgd(1.0)),
        "clipped adam": optax.chain(optax.clip_by_global_norm(0.8), optax.adam(1.0, b2=0.9)),
        "rmsprop, momentum": optax.rmsprop(1.0, decay=0.9, eps=1e-4, momentum=0.5, eps_in_sqrt=False),
        "adam": optax.adam(1.0),
        "adam, numbers": optax.adam(1.0, b1=0.5, b2=0.7, eps=1e-3),
    }


@pytest.mark.parametrize(
    "name",
    ["sgd", "momentum", "nesterov", "sign", "clipped by norm", "clipped by value", "clipped adam", "rmsprop, momentum",
     "adam", "adam, numbers"],
)  # fmt: skip
def test_steps_are_optaxs(name):
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    with jax.enable_x64(True):
        transform = optax_transforms(optax)[name]
        x = jax.numpy.array(START)
        state = transform.init(x)
        found = [START]
        for lr in rates():
            updates, state = transform.update(jax.numpy.array(gradient(np.array(x))), state, x)
            x = x + lr * updates
            found.append(np.array(x))
    assert_close(points(CASES[name][0]), np.array(found))


@pytest.mark.parametrize("name", ["schedule-free", "schedule-free, all", "schedule-free adamw"])
def test_steps_are_those_of_the_schedulefree_package(name):
    torch, package = pytest.importorskip("torch"), pytest.importorskip("schedulefree")
    x = torch.nn.Parameter(torch.tensor(START))
    optimizer = {
        "schedule-free": lambda: package.SGDScheduleFree([x], lr=1.0),
        "schedule-free, all": lambda: package.SGDScheduleFree(
            [x], lr=1.0, momentum=0.7, r=1.5, weight_lr_power=1.0, weight_decay=0.1
        ),
        "schedule-free adamw": lambda: package.AdamWScheduleFree(
            [x], lr=1.0, betas=(0.8, 0.95), r=1.0, weight_decay=0.1
        ),
    }[name]()
    found = [START]
    for lr in rates():
        optimizer.train()
        optimizer.param_groups[0]["lr"] = float(lr)
        x.grad = torch.tensor(gradient(x.detach().numpy()))
        optimizer.step()
        optimizer.eval()
        found.append(x.detach().numpy().copy())
    assert_close(points(CASES[name][0]), np.array(found))


# --- bits -----------------------------------------------------------------------------------------------------------


def kept(problem, method, *, isa, dtype, iterate="last", replicates=5, horizon=10, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # diverged ones are compared too
        return simulate(
            problem, schedules.Linear(), method=method, base_lr=0.1, horizon=horizon, replicates=replicates,
            record_at=[0, 1, 7, horizon], keep_samples=True, seed=5, isa=isa, dtype=dtype, iterate=iterate, threads=1,
            **options,
        ).samples  # fmt: skip


def of_reference(problem, method, *, dtype, iterate="last", replicates=5, horizon=10, **options):
    kind = problem._common[3]
    ends = problem.projection[1:] if kind == "box" else (-np.inf, np.inf)
    return reference.simulate(
        program=with_method(problem.program, method.program(problem.dimension)), x0=problem.x0,
        dimension=problem.dimension, parameters=problem.parameters, schedule=Schedule("linear"),
        replicates=np.arange(replicates), projection=kind, lower=ends[0], upper=ends[1],
        radius=problem.projection[1] if kind == "ball" else np.inf, base_lr=0.1, horizon=horizon, metric="value",
        record_at=[0, 1, 7, horizon], seed=5, dtype=dtype, iterate=iterate, **options,
    )  # fmt: skip


def noisy(d, projection=None):
    rng = np.random.default_rng(d)
    return problems.Custom(
        lambda x, a: np.sum(a * np.abs(x) ** 1.5) + np.sum(x) ** 2 / d,
        x0=rng.uniform(0.1, 0.3, d),
        parameters={"a": rng.uniform(0.5, 2.0, d)},
        noise=lambda x, draw: 0.3 * draw.gaussian() + 0.1 * draw.student_t(3.0, size=()),
        projection=projection,
        minimum=0.0,
    )


SETS = {"none": None, "box": ("box", -0.4, 0.6), "ball": ("ball", 2.0), "own": lambda x: np.minimum(x, 0.55)}


def assert_bits(problem, method, **call):
    slow = of_reference(problem, method, **call)
    for isa in ISAS:
        assert np.array_equal(kept(problem, method, isa=isa, **call), slow, equal_nan=True)


@pytest.mark.parametrize("name", CASES)
def test_bits_are_the_references(name):
    method = CASES[name][0]
    for k, (dtype, d) in enumerate((("float32", 1), ("float64", 3))):
        if d > max(getattr(method, "ascent", ()), default=0):
            projection = None if method._unconstrained else list(SETS.values())[(k + len(name)) % len(SETS)]
            assert_bits(noisy(d, projection), method, dtype=dtype, iterate=ITERATES[(k + len(name)) % 3])


def test_bits_of_many_coordinates_are_the_references():
    for dtype, method in (
        ("float32", methods.Adam(amsgrad=True)),
        ("float64", methods.Clipped(methods.SGD(momentum=0.9), 0.5)),
    ):
        assert_bits(noisy(300), method, dtype=dtype, replicates=3, horizon=8)


@pytest.mark.parametrize("make", HARD)
def test_states_that_depend_on_each_other_have_the_bits_of_the_reference(make):
    for d, dtype, projection in ((1, "float32", "box"), (4, "float64", "own"), (40, "float32", "ball")):
        assert_bits(noisy(d, SETS[projection]), make(d), dtype=dtype, iterate="average", replicates=3, horizon=8)


def test_methods_start_where_a_drawn_start_is_projected():
    problem = problems.Custom(
        "sum(x * x)", x0=lambda draw: 2.0 * draw.gaussian(), dimension=2, projection=("box", -1.0, 1.0), minimum=0.0
    )
    stay = methods.Custom(lambda x, first: (x - first, {"first": first}), state={"first": lambda x: x}, dimension=2)
    still = kept(problem, stay, isa=ISAS[-1], dtype="float64")
    assert np.array_equal(still, np.broadcast_to(still[0], still.shape))
    assert len(set(still[0])) > 1


def test_neither_threads_nor_other_configs_change_a_state():
    method, call = methods.Adam(beta2=0.9), {"base_lr": 0.1, "horizon": 300, "keep_samples": True, "seed": 3}
    shared = {"x0": [0.5, 1.0], "noise": "gaussian", "noise_std": 0.1, "minimum": 0.0}
    problem = [problems.Custom("sum(abs(x - a))", parameters={"a": a}, **shared) for a in (0.0, 0.3)]
    pair = [schedules.Linear(), schedules.Cosine()]
    for common in (True, False):
        together = simulate(problem, pair, method=method, replicates=2500, threads=2, common_random_numbers=common,
                            **call)  # fmt: skip
        for first, count in ((0, 700), (700, 1800)):
            part = simulate(problem, pair, method=method, replicates=count, first_replicate=first, threads=1,
                            common_random_numbers=common, **call)  # fmt: skip
            assert np.array_equal(part.samples, together.samples[..., first : first + count])
        if common:
            alone = simulate(problem[1], pair[1], method=method, replicates=2500, threads=1, **call)
            assert np.array_equal(alone.samples, together.samples[1, 1])


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "same"),
    [
        (methods.SGD(momentum=0.0, nesterov=False), methods.SGD()),
        (methods.Clipped(threshold=1e9), methods.SGD()),
        (methods.Clipped(threshold=1e9, by="value"), methods.SGD()),
        (methods.Clipped(methods.Adam(), threshold=1e9), methods.Adam()),
        (methods.SGD(momentum=1e-300), methods.SGD()),
    ],
)
def test_limits_have_the_bits_of_what_they_are(method, same):
    for problem in (noisy(3), problems.AbsoluteValue([0.3, 0.5], noise="gaussian", noise_std=0.4)):
        for dtype in DTYPES:
            call = {"isa": ISAS[-1], "dtype": dtype, "iterate": "average"}
            assert np.array_equal(kept(problem, method, **call), kept(problem, same, **call))


def test_methods_of_one_coordinate_coincide():
    """With one coordinate a normalised step is the sign's, and AdaGrad-norm is AdaGrad."""
    for pair in (
        (methods.SignSGD(0.5), methods.NormalizedSGD(0.5)),
        (methods.AdaGrad(1e-300, 0.25), methods.AdaGradNorm(0.5)),
    ):
        a, b = (kept(noisy(1), method, isa=ISAS[0], dtype="float64") for method in pair)
        assert np.abs(a - b).max() < 1e-12


def test_second_moments_with_momentum_are_exact():
    """x' = x - h v', v' = mu v + c x + s z on c x^2 / 2: a linear recursion of E x^2, E x v and E v^2."""
    c, s, mu, h, steps, n = 0.8, 0.5, 0.7, 0.3, 30, 200_000
    problem = problems.Quadratic(curvature=c, noise="gaussian", noise_std=s)
    records = [1, 5, 30]
    result = simulate(
        problem, schedules.Constant(), method=methods.SGD(momentum=mu), base_lr=h, horizon=steps, record_at=records,
        replicates=n, dtype="float64",
    )  # fmt: skip
    step = np.array([[1.0 - h * c, -h * mu], [c, mu]])  # of (x, v)
    noise = s * s * np.outer([-h, 1.0], [-h, 1.0])
    moment, expected = np.array([[1.0, 0.0], [0.0, 0.0]]), {}
    for t in range(1, steps + 1):
        moment = step @ moment @ step.T + noise
        expected[t] = c * moment[0, 0] / 2.0
    for found, error, t in zip(result.mean, result.stderr, records, strict=True):
        assert abs(found - expected[t]) < 5.0 * error


@pytest.mark.parametrize(
    "method",
    [methods.ScheduleFree(), methods.ScheduleFree(degree=2.0, lr_power=0.0), methods.ScheduleFree(methods.Adam(0.0))],
    ids=lambda method: method.name,
)
def test_late_steps_of_a_schedule_free_average_are_not_lost(method):
    """They are a millionth of z - x, where x = 10 has a spacing of 1e-6 in float32. Both dtypes see the same noise."""
    problem = problems.Custom(
        lambda x: np.sum((x - 10.0) ** 2) / 2.0, x0=[11.0, 8.0], noise="rademacher", noise_std=0.3, minimum=0.0
    )
    call = {"method": method, "base_lr": 0.01, "horizon": 1_000_000, "replicates": 16, "keep_samples": True}
    single, double = (simulate(problem, schedules.Constant(), dtype=dtype, **call).samples for dtype in DTYPES)
    assert np.sqrt(np.mean((single - double) ** 2)) < 0.01 * double.mean()


def test_langevins_stationary_variance_is_exact():
    c, h, temperature, n = 1.5, 0.4, 0.3, 100_000
    result = simulate(
        problems.Quadratic(curvature=c), schedules.Constant(), method=methods.Langevin(temperature), base_lr=h,
        horizon=60, replicates=n, dtype="float64",
    )  # fmt: skip
    a = (1.0 - h * c) ** 2
    variance = a**60 + 2.0 * h * temperature * (1.0 - a**60) / (1.0 - a)
    assert abs(variance - temperature / (c * (1.0 - h * c / 2.0))) < 1e-9
    assert abs(float(result.mean) - c * variance / 2.0) < 5.0 * float(result.stderr)


def test_a_methods_draws_are_no_problems():
    """Langevin's and the noise of the problem, the first draws of both: variances add up."""
    h, s, temperature, n = 0.5, 0.8, 0.36, 100_000
    for noise in ("gaussian", lambda x, draw: s * draw.gaussian()):
        level = {"noise_std": s} if noise == "gaussian" else {}
        result = simulate(
            problems.Custom("0.0 * x[0]", x0=0.0, noise=noise, **level), schedules.Constant(),
            method=methods.Langevin(temperature), base_lr=h, horizon=1, replicates=n, metric={"square": "x[0] ** 2"},
        )  # fmt: skip
        assert abs(float(result.mean[0]) - (h * h * s * s + 2.0 * h * temperature)) < 5.0 * float(result.stderr[0])


def test_extragradient_has_noise_of_its_own_at_both_points():
    """x' = (1 - h c (1 - h c)) x + h^2 c s z_1 - h s z_2 on c x^2 / 2, z_1 and z_2 independent."""
    c, h, s, n = 1.0, 0.5, 0.8, 200_000
    for noise in ("gaussian", lambda x, draw: s * draw.gaussian()):
        level = {"noise_std": s} if noise == "gaussian" else {}
        problem = problems.Custom("0.5 * x[0] ** 2", x0=1.0, noise=noise, **level)
        result = simulate(
            problem, schedules.Constant(), method=methods.ExtraGradient(), base_lr=h, horizon=1, replicates=n,
            metric={"x": "x[0]", "square": "x[0] ** 2"}, dtype="float64",
        )  # fmt: skip
        mean = 1.0 - h * c * (1.0 - h * c)
        second = mean**2 + (h * h * c * s) ** 2 + (h * s) ** 2
        assert np.all(np.abs(result.mean - [mean, second]) < 5.0 * result.stderr)


def test_saddles_are_left_or_reached_at_exact_rates():
    """On x y a step multiplies x^2 + y^2 by 1 + h^2, or with extragradient by 1 - h^2 + h^4 (in place of 1)."""
    h, steps = 0.3, 20
    game = problems.Custom("x[0] * x[1]", x0=[1.0, 0.5])
    for method, factor in (
        (methods.DescentAscent(1), 1.0 + h * h),
        (methods.ExtraGradient(1), (1.0 - h * h) ** 2 + h * h),
    ):
        result = simulate(
            game, schedules.Constant(), method=method, base_lr=h, horizon=steps, replicates=1, dtype="float64",
            metric={"square": "sum(x * x)"},
        )  # fmt: skip
        assert abs(float(result.mean[0]) / (1.25 * factor**steps) - 1.0) < 1e-12


# --- built-in problems, and what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize("projection", [None, ("box", -0.8, 1.2), ("ball", 1.5)])
@pytest.mark.parametrize("noise", ["none", "rademacher", "gaussian", "uniform"])
def test_built_in_problems_run_as_their_program(noise, projection):
    level = {} if noise == "none" else {"noise": noise, "noise_std": [0.4, 0.1]}
    shared = {"projection": projection, "x0": [0.5, -0.3], **level}
    for problem in (
        problems.AbsoluteValue([0.5, 1.0], **shared),
        problems.Quadratic([0.5, 1.0], **shared),
        problems.Huber([0.5, 1.0], width=0.15, **shared),
    ):
        for dtype in DTYPES:
            options = {"isa": ISAS[-1], "dtype": dtype, "metric": "suboptimality"}
            plain = [kept(p, methods.SGD(), **options) for p in (problem, problem._as_custom)]
            assert np.array_equal(*plain)
            method = methods.RMSProp(momentum=0.5)
            assert np.array_equal(kept(problem, method, **options), kept(problem._as_custom, method, **options))


ANYWHERE = [name for name in CASES if not getattr(CASES[name][0], "ascent", ())]  # in one coordinate too


@pytest.mark.parametrize("name", ANYWHERE)
def test_one_coordinate_without_noise_is_one_with_noise_of_size_zero(name):
    for make in (problems.AbsoluteValue, problems.Quadratic, lambda a, **more: problems.Huber(a, width=0.15, **more)):
        shared = {"x0": 0.5, "projection": ("box", -0.8, 1.2) if not CASES[name][0]._unconstrained else None}
        quiet, zero = make(0.7, **shared), make(0.7, noise="gaussian", noise_std=0.0, **shared)
        method = CASES[name][0]
        assert np.array_equal(*(kept(p, method, isa=ISAS[-1], dtype="float32") for p in (quiet, zero)))


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("name", ANYWHERE)
def test_a_gradient_that_is_one_number_is_of_every_coordinate(name, d):
    method = CASES[name][0]
    one, all_of_them = (
        problems.Custom(lambda x: 0.75 * np.sum(x), gradient=slope, x0=np.linspace(0.5, 1.0, d))
        for slope in (lambda x: 0.75, lambda x: 0.75 * np.ones(d))
    )
    options = {"isa": ISAS[-1], "dtype": "float64", "metric": "value"}
    assert np.array_equal(kept(one, method, **options), kept(all_of_them, method, **options))


def test_grids_of_built_in_problems_keep_their_numbers():
    grid = [
        problems.Huber(a, width=w, noise="gaussian", noise_std=s, x0=x)
        for a, w, s, x in ((1, 0.2, 0.3, 1), (2, 1, 0.1, -1))
    ]
    call = {"method": methods.Adam(), "base_lr": 0.1, "horizon": 30, "replicates": 9, "keep_samples": True}
    together = simulate(grid, schedules.Linear(), **call)
    for one, samples in zip(grid, together.samples, strict=True):
        assert np.array_equal(simulate(one, schedules.Linear(), **call).samples, samples)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: methods.SGD(momentum=1.0), r"momentum must be one number, in \[0, 1\), got 1.0"),
        (lambda: methods.SGD(nesterov=True), r"nesterov must go with momentum > 0"),
        (lambda: methods.Adam(beta2=-0.1), r"beta2 must be"),
        (lambda: methods.Adam(decoupled=True), r"decoupled must go with weight_decay > 0"),
        (lambda: methods.AdaGrad(epsilon=0.0), r"epsilon must be above 0 where initial is 0"),
        (
            lambda: methods.Clipped("adam"),
            r"method must be of anneal_sgd.methods, such as methods.Adam\(\), got 'adam'",
        ),
        (lambda: methods.Clipped(threshold=0.0), r"threshold must be"),
        (lambda: methods.Clipped(by="size"), r"by must be one of"),
        (lambda: methods.ScheduleFree(methods.SGD(0.5)), r"method must be SGD without momentum or Adam with beta1=0"),
        (lambda: methods.DescentAscent(-1), r"ascent must be"),
        (lambda: methods.ExtraGradient((1, 1)), r"ascent must be coordinates, each once"),
        (lambda: methods.ExtraGradient(3).program(3), r"ascent must be coordinates in 0 .. 2, got \(3,\)"),
        (lambda: methods.Custom("x"), r"update must be a function, got 'x'"),
        (lambda: methods.Custom(lambda x, y: x), r"update must take arguments among x, g, .* got 'y'"),
        (lambda: methods.Custom(lambda *x: x), r"update must take its arguments by name, got \*x"),
        (lambda: methods.Custom(lambda g: g, state={"t": 0}), r"state must not have 't'"),
        (lambda: methods.Custom(lambda g: g, state=3), r"state must be a dictionary"),
        (lambda: methods.Custom(lambda g: g, state={"m": 0}), r"state must have \['m'\] after a step, got \[\]"),
        (
            lambda: methods.Custom(lambda g, m: (g, {"m": g}), state={"m": np.zeros(2)}),
            r"state 'm' must be of shape \(2,\), got",
        ),
        (lambda: methods.Custom(lambda g: g[:2], dimension=3), r"direction must be of shape \(3,\), got \(2,\)"),
        (lambda: methods.Custom(lambda g: g * RNG.random()), r"update must do the same at every call"),
        (
            lambda: methods.Custom(lambda g: g, dimension=2).program(3),
            r"dimension must be 2, that of the method, got 3",
        ),
        (lambda: methods.Clipped(methods.Custom(lambda g: g)), r"method must be one that is not traced already"),
        (
            lambda: core_program({"state": 2, "state_results": [[0, 2, 1, 0, 1]]}),
            r"state_results: part 0 is of the state itself",
        ),
        (lambda: core_program({"state": 2, "state_results": [[0, 0, 1, 1, 2]]}), r"state_results: part 0 does not lie"),
        (
            lambda: core_program({"state": 2, "state_results": [[0, 0, 1, 0, 1]] * 2}),
            r"state_results: part 1 does not lie",
        ),
        (lambda: core_program({"state": 2, "gradient_result": [0, 2, 0]}), r"gradient_result: .*, or of the state"),
        (lambda: core_program({"state": 9}), r"registers: 8 have no room for the point, the state"),
        (lambda: methods.by_name("adm"), r"name must be one of"),
        (lambda: methods.by_name("adam:beta=0.5"), r"beta must be a parameter of adam, which are beta1, beta2"),
        (
            lambda: methods.by_name("adam:x"),
            r"beta1 must be a number, a schedule or following\(.*, got 'x': name must be",
        ),
        (lambda: methods.by_name("adam:0.5:beta1=0.5"), r"beta1 must be given once"),
        (lambda: methods.by_name("adam:0.5", beta1=0.5), r"beta1 must be given once, got 0.5 and 0.5"),
        (lambda: methods.by_name("sgd:nesterov=1"), r"nesterov must be true or false, got '1'"),
        (lambda: methods.by_name("ngn:0:1"), r"name must give ngn at most 1 parameters"),
        (lambda: methods.by_name("adam(0.5"), r"name must end with its closing parenthesis"),
        (lambda: methods.by_name("descent_ascent:ascent=a"), r"ascent must be whole numbers with / between"),
        (lambda: methods.by_name("clipped(adm)"), r"method 'adm': name must be one of"),
        (lambda: methods.by_name(3), r"name must be a text like"),
        (lambda: methods.by_name("adam", beta=0.5), r"beta must be a parameter of adam, which are beta1, beta2"),
        (lambda: methods.Custom(lambda u: u), r"update must take arguments among x, g, .* got 'u'"),
        (lambda: methods.Custom(lambda u: u, of="adam"), r"of must be of anneal_sgd.methods, .*by_name makes one"),
        (lambda: methods.Custom(lambda u: u, of=methods.ExtraGradient()), r"of must be a method that is not traced"),
        (
            lambda: methods.Custom(lambda u: u, of=methods.Custom(lambda g: g)),
            r"of must be a method that is not traced",
        ),
        (lambda: methods.Custom(lambda u: u, of=FOLLOWS), r"of must be a method that .*, follows no schedules"),
        (lambda: methods.Custom(lambda u: u, of=methods.Adam(), state={"m": 0}), r"state must not have 'm'"),
        (
            lambda: methods.Custom(lambda u, m, b: (u, {"b": b, "m": m}), of=methods.Adam(), state={"b": 0}),
            r"update must return its own parts of the state alone, got 'm'",
        ),
        (lambda: methods.by_name("clipped", method=3), r"method must be a name, one of sgd, "),
    ],
)
def test_what_is_no_method_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("problem", "options", "message"),
    [
        (problems.AbsoluteValue(1.0), {"method": "adam"}, r"method must be of anneal_sgd.methods"),
        (
            problems.Quadratic(1.0, projection=("box", -1.0, 1.0)),
            {"method": methods.ExtraGradient()},
            r"method must be another where there is a projection, got ExtraGradient",
        ),
        (
            problems.Quadratic([1.0, 1.0]),
            {"method": methods.Custom(lambda g: g)},
            r"method must be of dimension 2 like the problem, got 1",
        ),
        (problems.AbsoluteValue(1.0), {"momentum": 0.5}, r"momentum must be 0 for AbsoluteValue: .* here method="),
        (
            problems.AbsoluteValue(1.0),
            {"method": methods.Clipped(threshold=1e39)},
            r"method must have numbers of size up to 3.403e\+38 in float32, got 1e\+39",
        ),
    ],
)
def test_calls_that_cannot_be_are_refused(problem, options, message):
    with pytest.raises(ValueError, match=message):
        simulate(problem, schedules.Linear(), base_lr=0.1, horizon=3, replicates=1, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": methods.SGD(0.5), "momentum": 0.5}, r"momentum must be left out where there is a method, got 0.5"),
        ({"method": methods.SGD(1.0 - 1e-12)}, r"momentum must be below 1 in float32, got 0.99"),
    ],
)
def test_options_of_sgd_on_data_are_given_once(options, message):
    with pytest.raises(ValueError, match=message):
        simulate(
            problems.LeastSquares(np.eye(3), np.ones(3)), schedules.Linear(), base_lr=0.1, horizon=3, replicates=1,
            **options,
        )  # fmt: skip


def test_sgd_on_data_is_that_of_the_arguments():
    X = np.random.default_rng(0).standard_normal((40, 5))
    call = {"base_lr": 0.1, "horizon": 30, "replicates": 9, "metric": "loss", "keep_samples": True}
    options = {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
    for problem in (problems.MLP(X, np.arange(40) % 3, hidden=4), problems.LeastSquares(X, X[:, 0])):
        of_method, of_call, plain = (
            simulate(problem, schedules.Linear(), **call, **given).samples
            for given in ({"method": methods.SGD(**options)}, options, {})
        )
        assert np.array_equal(of_method, of_call)
        assert not np.array_equal(of_method, plain)


# --- all around a method --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_methods_are_values(name):
    method = CASES[name][0]
    for same in (pickle.loads(pickle.dumps(method)), copy.deepcopy(method), replace(method)):
        assert same == method
        assert hash(same) == hash(method)
        assert repr(same) == repr(method)
    assert eval(repr(method), {name: getattr(methods, name) for name in methods.__all__}) == method
    assert sum(method == other for other, _ in CASES.values()) == 1


def test_methods_of_ones_own_are_values():
    def update(x, g, m):
        return m + g, {"m": 0.5 * m + g}

    a = methods.Custom(update, state={"m": np.zeros(2)}, dimension=2)
    assert pickle.loads(pickle.dumps(a)) == copy.deepcopy(a) == a
    assert repr(a).startswith("Custom(<program ")
    assert hash(a) == hash(pickle.loads(pickle.dumps(a)))
    assert a != methods.Custom(update, state={"m": np.ones(2)}, dimension=2)
    campaign = Campaign(
        problems.AbsoluteValue([1.0, 2.0]), schedules.Linear(), method=a, base_lr=0.1, horizon=3, replicates=2
    )
    assert campaign.description().programs == (str(a.step),)
    assert a._identity == ["custom", a.step.digest]


CONFIGURED = {
    "sgd(momentum=0.9, nesterov=true)": methods.SGD(momentum=0.9, nesterov=True),
    "adam(beta1=0, epsilon=1e-10, amsgrad=true)": methods.Adam(beta1=0.0, epsilon=1e-10, amsgrad=True),
    "adam(beta2=0.30000000000000004)": methods.Adam(beta2=0.1 + 0.2),
    "clipped(method=schedule_free(method=adam(beta1=0), momentum=0.5), threshold=2, by=value)": methods.Clipped(
        methods.ScheduleFree(methods.Adam(beta1=0.0), momentum=0.5), threshold=2.0, by="value"
    ),
    "descent_ascent(ascent=1/3, alternating=true)": methods.DescentAscent(ascent=(1, 3), alternating=True),
    "extra_gradient(ascent=0)": methods.ExtraGradient(ascent=(0,)),
    "langevin(temperature=cosine(floor=0.1))": methods.Langevin(schedules.Cosine(floor=0.1)),
    "sgd(momentum=following(linear, zero=0.5, one=0.9), weight_decay=1e-06)": methods.SGD(
        momentum=methods.Following(schedules.Linear(), zero=0.5, one=0.9), weight_decay=1e-6
    ),
    "polyak_max(minimum=-1.5)": methods.PolyakMax(minimum=-1.5),
}


def test_names_tell_methods_of_ones_own_apart():
    plain, half = (methods.Custom(update) for update in (lambda g: g, lambda g: 0.5 * g))
    following = [
        methods.Custom(lambda g, m: m * g, numbers={"m": schedule})
        for schedule in (schedules.Linear(), schedules.Cosine())
    ]
    assert len({one.name for one in (plain, half, *following)}) == 4
    assert plain.name == f"custom({plain.step.digest[:8]})"
    assert following[0].name == f"custom({following[0].step.digest[:8]}, m=linear)"


def test_stores_know_methods_by_what_they_are():
    """As before names told parameters."""
    assert methods.SGD(momentum=0.9)._identity == ["sgd", {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}]
    assert methods.Clipped(methods.SGD(), 2.0)._identity == [
        "clipped", {"method": methods.SGD()._identity, "threshold": 2.0, "by": "norm"}
    ]  # fmt: skip


def test_every_method_has_a_name():
    for name in methods.names():
        assert methods.by_name(name).name == name
    for name, method in CONFIGURED.items():
        assert method.name == name
        assert methods.by_name(name) == method
    assert methods.by_name("adam", beta1=0.5) == methods.Adam(beta1=0.5)
    assert methods.by_name("sgd:0.9:true") == methods.SGD(momentum=0.9, nesterov=True)
    assert methods.by_name("descent_ascent(ascent=1/3)") == methods.DescentAscent(ascent=(1, 3))
    assert methods.by_name("clipped(schedule_free(adam:beta1=0:amsgrad=false), 2, value)") == methods.Clipped(
        methods.ScheduleFree(methods.Adam(beta1=0.0)), threshold=2.0, by="value"
    )


def test_results_know_their_method():
    call = {"base_lr": 0.1, "horizon": 3, "replicates": 1024}
    problem = problems.AbsoluteValue(1.0)
    adam, sgd = (simulate(problem, schedules.Linear(), method=m, **call) for m in (methods.Adam(), methods.SGD()))
    assert adam.spec.method == methods.Adam()
    assert sgd.spec == simulate(problem, schedules.Linear(), **call).spec
    assert pickle.loads(pickle.dumps(adam)).spec == adam.spec
    for result in (adam, sgd):
        told = f"<td>{html.escape(repr(result.spec.method))}</td>"
        assert told in result._repr_html_()
        assert result._attributes()["method"] == repr(result.spec.method)
    more = simulate(problem, schedules.Linear(), first_replicate=1024, **call)
    with pytest.raises(ValueError, match="method"):
        _ = adam + more


def test_campaigns_keep_methods_apart(tmp_path):
    problem = problems.AbsoluteValue(1.0, noise="gaussian", noise_std=0.1)
    call = {"base_lr": [0.1, 0.2], "horizon": 20, "replicates": 3000}
    campaigns = {
        m: Campaign(problem, schedules.Linear(), method=m, **call)
        for m in (methods.SGD(), methods.Adam(), methods.Adam(0.5))
    }
    identities = [c.identities() for c in campaigns.values()]
    assert len({identity for some in identities for identity, _ in some}) == 6
    assert "method" not in identities[0][0][1]  # of before there were any
    assert Campaign(problem, schedules.Linear(), **call).identities() == identities[0]
    store = tmp_path / "store.db"
    for method, campaign in campaigns.items():
        part = Campaign(problem, schedules.Linear(), method=method, **{**call, "replicates": 1024}).run(store)
        assert part.count.tolist() == [1024, 1024]
        whole = campaign.run(store)
        alone = simulate(problem, schedules.Linear(), method=method, **call)
        assert np.array_equal(whole.mean, alone.mean)
        assert whole.description.options.get("method") == (None if method == methods.SGD() else repr(method))
    whole.export(tmp_path / "out.csv")
    assert "Adam(beta1=0.5" in (tmp_path / "out.csv").read_text()
    pytest.importorskip("plotly")
    assert "Adam(beta1=0.5" in write_report(whole, tmp_path / "report").read_text()


def test_files_name_methods():
    text = """
    schedule = "linear"
    horizon = 10
    base_lr = 0.1
    replicates = 4
    method = {}
    problem = {{ kind = "absolute_value", slope = 1.0 }}
    """
    for given, method in (
        ('"adam"', methods.Adam()),
        ('{ name = "adam", beta1 = 0.5 }', methods.Adam(beta1=0.5)),
        ('{ name = "clipped", threshold = 2.0, method = "rmsprop" }', methods.Clipped(methods.RMSProp(), 2.0)),
    ):
        assert read_spec(text.format(given)).campaign.options["method"] == method
    for given, message in (
        ("3", "line 6: method must be a name, one of sgd, .* got 3"),
        ('"adm"', "line 6: method 'adm': name must be one of"),
        ('{ name = "adam", beta1 = 2.0 }', "line 6: method 'adam': beta1 must be"),
    ):
        with pytest.raises(ValueError, match=message):
            read_spec(text.format(given))
