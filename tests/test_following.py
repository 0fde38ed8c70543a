"""Numbers of methods that follow schedules: steps of PyTorch and NumPy, bits of the reference, all around a call."""

import copy
import html
import json
import pickle

import numpy as np
import pytest

import method_cases
from anneal_sgd import _core, methods, problems, reference, runtime, schedules, simulate
from anneal_sgd.campaigns import Campaign, read_spec, write_report
from anneal_sgd.methods import Following
from bit_cases import on
from core_cases import DTYPES, ITERATES
from method_cases import BASE_LR, HORIZON, START, gradient, rates, walked
from test_machine_code import ISAS as COMPILED
from test_machine_code import assert_same as assert_compiled
from test_methods import assert_close, kept, noisy, of_reference, points
from test_methods_on_data import CALL, KINDS, pair

ISAS = _core.supported_isas()
CYCLE = schedules.one_cycle(0.3, start=0.0, final=0.0)
CYCLED = Following(CYCLE, zero=0.95, one=0.85)
FALLING = Following(schedules.Linear(), zero=0.2, one=0.9)
RISING = Following(schedules.Cosine(), zero=0.99, one=0.7)
STEPPED = Following(schedules.StepDecay(0.5, (0.3, 0.6)), one=0.8)
PIECES = Following(schedules.Joined([schedules.Linear(), schedules.Repeated(CYCLE, 2)], at=[0.4]), zero=0.1, one=0.6)


@pytest.fixture(autouse=True)
def _automatic_afterwards():
    yield
    runtime.set_machine_code(None)


def all_of_sgd(momentum, weight_decay):
    return method_cases.sgd(momentum, True, weight_decay)


def clipped_adam(beta1, threshold):
    return method_cases.clipped(adam(beta1), threshold)


def adam(beta1=0.9, beta2=0.999, weight_decay=0.0):
    """Means of weights that add up to 1, whatever the betas are: those of the zeros at first are their products."""

    def step(x, g, lr, t, state):
        m = state["m"] = beta1 * state.get("m", 0.0) + (1.0 - beta1) * g
        v = state["v"] = beta2 * state.get("v", 0.0) + (1.0 - beta2) * g**2
        first, second = state["p"] = np.multiply(state.get("p", (1.0, 1.0)), (beta1, beta2))
        u = m / (1.0 - first) / (np.sqrt(v / (1.0 - second)) + 1e-8)
        return x - lr * (u + weight_decay * x)

    return step


def varying(make, **numbers):
    """A method in NumPy whose numbers are others in every step."""
    values = {name: one.values(HORIZON) if isinstance(one, Following) else one for name, one in numbers.items()}

    def step(x, g, lr, t, state):
        now = {name: value[t - 1] if isinstance(value, np.ndarray) else value for name, value in values.items()}
        return make(**now)(x, g, lr, t, state)

    return step


MANY = {"alpha": RISING, "epsilon": 0.2, "momentum": FALLING, "centered": True, "weight_decay": STEPPED}
CASES = {
    "sgd": (methods.SGD(CYCLED), varying(method_cases.sgd, momentum=CYCLED)),
    "all of sgd": (methods.SGD(CYCLED, True, STEPPED), varying(all_of_sgd, momentum=CYCLED, weight_decay=STEPPED)),
    "signum": (methods.SignSGD(FALLING), varying(method_cases.sign_sgd, momentum=FALLING)),
    "normalized": (methods.NormalizedSGD(RISING), varying(method_cases.normalized_sgd, momentum=RISING)),
    "adagrad": (
        methods.AdaGrad(1e-3, 0.4, FALLING),
        varying(method_cases.ada_grad, epsilon=1e-3, initial=0.4, weight_decay=FALLING),
    ),
    "rmsprop": (methods.RMSProp(**MANY), varying(method_cases.rmsprop, **MANY)),
    "adam": (methods.Adam(CYCLED, RISING), varying(adam, beta1=CYCLED, beta2=RISING)),
    "adamw": (
        methods.Adam(FALLING, 0.9, weight_decay=PIECES, decoupled=True),
        varying(adam, beta1=FALLING, beta2=0.9, weight_decay=PIECES),
    ),
    "clipped adam": (
        methods.Clipped(methods.Adam(CYCLED), Following(schedules.Linear(), zero=0.3, one=2.5)),
        varying(clipped_adam, beta1=CYCLED, threshold=Following(schedules.Linear(), zero=0.3, one=2.5)),
    ),
    "clipped by value": (
        methods.Clipped(threshold=Following(CYCLE, zero=0.3, one=1.5), by="value"),
        varying(
            lambda threshold: method_cases.clipped(method_cases.sgd(), threshold, "value"),
            threshold=Following(CYCLE, zero=0.3, one=1.5),
        ),
    ),
}
"""By name: a method, and what it is to be."""
OTHERS = {
    "schedule-free": methods.ScheduleFree(methods.Adam(0.0, RISING), momentum=FALLING),
    "langevin": methods.Langevin(Following(schedules.Exponential(0.1), one=0.3)),
    "plain schedule": methods.SGD(schedules.Tabulated([0.9, 0.3, 0.6])),
}
ALL = {name: method for name, (method, _) in CASES.items()} | OTHERS


# --- what steps are -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_every_step_is_numpys(name):
    method, step = CASES[name]
    assert_close(points(method), walked(step))


def test_momentum_is_cycled_as_pytorchs_one_cycle_does():
    """Learning rate and momentum, of the optimizer's own scheduler."""
    torch = pytest.importorskip("torch")
    x = torch.nn.Parameter(torch.tensor(START))
    optimizer = torch.optim.SGD([x], lr=1.0, momentum=0.5)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=BASE_LR, total_steps=HORIZON + 1, pct_start=16 / 51, base_momentum=0.85,
        max_momentum=0.95, div_factor=25.0, final_div_factor=1e4,
    )  # fmt: skip
    found, momenta = [START], []
    for _ in range(HORIZON):
        momenta.append(optimizer.param_groups[0]["momentum"])
        x.grad = torch.tensor(gradient(x.detach().numpy()))
        optimizer.step()
        scheduler.step()
        found.append(x.detach().numpy().copy())
    assert np.abs(CYCLED.values(HORIZON) - momenta).max() < 1e-12
    result = simulate(
        method_cases.problem(), schedules.one_cycle(0.3), method=methods.SGD(CYCLED), base_lr=BASE_LR, horizon=HORIZON,
        record_at=range(HORIZON + 1), replicates=1, metric={f"x{i}": f"x[{i}]" for i in range(3)}, dtype="float64",
    )  # fmt: skip
    assert_close(result.mean, np.array(found))


@pytest.mark.parametrize("name", ["all of sgd", "adagrad", "rmsprop"])
def test_steps_are_pytorchs(name):
    """Numbers of its parameter groups, set before every step."""
    torch = pytest.importorskip("torch")
    x = torch.nn.Parameter(torch.tensor(START))
    optimizer, numbers = {
        "all of sgd": (
            torch.optim.SGD([x], nesterov=True, momentum=0.5),
            {"momentum": CYCLED, "weight_decay": STEPPED},
        ),
        "adagrad": (torch.optim.Adagrad([x], eps=1e-3, initial_accumulator_value=0.4), {"weight_decay": FALLING}),
        "rmsprop": (
            torch.optim.RMSprop([x], eps=0.2, momentum=0.5, centered=True),
            {"alpha": RISING, "momentum": FALLING, "weight_decay": STEPPED},
        ),
    }[name]
    found = [START]
    for t, lr in enumerate(rates()):
        optimizer.param_groups[0]["lr"] = float(lr)
        for key, one in numbers.items():
            optimizer.param_groups[0][key] = float(one.values(HORIZON)[t])
        x.grad = torch.tensor(gradient(x.detach().numpy()))
        optimizer.step()
        found.append(x.detach().numpy().copy())
    assert_close(points(CASES[name][0]), np.array(found))


def test_the_temperature_that_falls_leaves_its_variance():
    """x' = (1 - h c) x + sqrt(2 h T_t) z: an exact recursion of the variance, at z = 5."""
    c, h, steps, n = 1.5, 0.3, 40, 100_000
    cooling = Following(schedules.Linear(), zero=0.1, one=2.0)
    result = simulate(
        problems.Quadratic(curvature=c), schedules.Constant(), method=methods.Langevin(cooling), base_lr=h,
        horizon=steps, replicates=n, dtype="float64",
    )  # fmt: skip
    second = 1.0
    for temperature in cooling.values(steps):
        second = (1.0 - h * c) ** 2 * second + 2.0 * h * temperature
    assert abs(float(result.mean) - c * second / 2.0) < 5.0 * float(result.stderr)


# --- bits -----------------------------------------------------------------------------------------------------------


def followed_in_reference(method, horizon=10):
    """What the reference knows of the schedules that are used here."""
    turn = 0.3 * horizon
    cosine = reference.Schedule("cosine")
    rise = reference.Piece(cosine, begin=0, start=0, length=turn, reversed=True)
    cycle = [rise, reference.Piece(reference.Schedule("cosine", warmup_frac=0.3), begin=turn, start=0, length=horizon)]
    known = {
        CYCLE: reference.Schedule("", pieces=cycle),
        schedules.Linear(): reference.Schedule("linear"),
        schedules.Cosine(): cosine,
        schedules.StepDecay(0.5, (0.3, 0.6)): reference.Schedule("step_decay", 0.5, table=(0.3, 0.6)),
        schedules.Exponential(0.1): reference.Schedule("exponential", 0.1),
        schedules.Tabulated([0.9, 0.3, 0.6]): reference.Schedule("tabulated", table=[0.9, 0.3, 0.6]),
    }
    return [(known[one.schedule], one.zero, one.one) for one in method._followed]


IN_REFERENCE = [name for name in ALL if name != "adamw"]


@pytest.mark.parametrize("name", IN_REFERENCE)
def test_bits_are_the_references(name):
    method = ALL[name]
    for k, (dtype, d) in enumerate((("float32", 1), ("float64", 3))):
        problem = noisy(d, None if method._unconstrained else ("box", -0.4, 0.6))
        call = {"dtype": dtype, "iterate": ("last", "average")[k]}
        slow = of_reference(problem, method, step_numbers=followed_in_reference(method), **call)
        for isa in ISAS:
            np.testing.assert_array_equal(kept(problem, method, isa=isa, **call), slow)


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
@pytest.mark.parametrize("name", ["all of sgd", "rmsprop", "adam", "clipped adam", "schedule-free"])
def test_bits_on_data_are_the_references(name):
    method, kinds, call = ALL[name], list(KINDS), CALL | {"horizon": 5, "record_at": [1, 5]}
    for k, dtype in enumerate(DTYPES):
        problem, network = pair(kinds[(len(name) + k) % len(kinds)], dtype, 3)
        if method._unconstrained and problem.projection:
            continue
        expected = reference.networks.simulate(
            network=network, schedule=reference.Schedule("linear"), replicates=np.arange(2),
            method=problem._method_program(method), step_numbers=followed_in_reference(method, 5), dtype=dtype,
            **call,
        )["loss"]  # fmt: skip
        for isa in ISAS:
            found = simulate(
                problem, schedules.Linear(), method=method, replicates=2, metric="loss", dtype=dtype, isa=isa,
                keep_samples=True, threads=1, **call,
            ).samples  # fmt: skip
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("isa", COMPILED)
@pytest.mark.parametrize("form", ["unrolled", "looped"])
@pytest.mark.parametrize("name", ["all of sgd", "rmsprop", "clipped adam", "schedule-free"])
def test_machine_code_has_the_bits_of_the_interpreter(name, form, isa):
    problem = problems.Custom(
        lambda x: np.sum(np.abs(x) ** 1.5) + x[0] * x[1], x0=[0.5, -0.3, 0.1], noise="gaussian", noise_std=0.3
    )
    for k, dtype in enumerate(DTYPES):
        assert_compiled(problem, form=form, isa=isa, dtype=dtype, iterate=ITERATES[k], method=ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_the_emulated_kernel_has_the_bits_of_the_cpu(name):
    """Several configs and launches; tiles of steps that are shorter where there are more numbers."""
    problem = problems.Custom(lambda x: np.sum(np.abs(x) ** 1.5), x0=[0.5, -0.3], noise="gaussian", noise_std=0.3)
    call = {
        "base_lr": np.geomspace(0.01, 0.1, 17), "horizon": 150, "record_at": [1, 70, 150], "replicates": 5,
        "method": ALL[name], "keep_samples": True, "metric": "value", "backend": "cpu",
    }  # fmt: skip
    for dtype, launch in zip(DTYPES, ({}, {"steps_per_launch": 40}), strict=True):
        what = problem, [schedules.Linear(), schedules.Cosine()]
        on_cpu = simulate(*what, dtype=dtype, **call)
        with on(_core.testing.emulated_device(), **launch):
            np.testing.assert_array_equal(simulate(*what, dtype=dtype, **call).samples, on_cpu.samples)


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
@pytest.mark.parametrize("name", ["all of sgd", "adamw", "rmsprop", "clipped adam", "schedule-free"])
def test_the_emulated_kernel_has_the_bits_of_the_cpu_on_data(name):
    """Code that takes coordinates in blocks and all in order; launches that end within a tile, and within a batch."""
    call = {
        "base_lr": np.geomspace(0.01, 0.1, 5), "horizon": 150, "record_at": [1, 70, 150], "replicates": 3,
        "method": ALL[name], "keep_samples": True, "metric": "loss", "backend": "cpu",
    }  # fmt: skip
    for kind, dtype, launch in (
        ("linear", "float64", {}),
        ("network", "float32", {"steps_per_launch": 40}),
        ("network", "float64", {"rows_per_launch": 2}),
    ):
        what = pair(kind, dtype, 3)[0], [schedules.Linear(), schedules.Cosine()]
        on_cpu = simulate(*what, dtype=dtype, **call)
        with on(_core.testing.emulated_device(), **launch):
            np.testing.assert_array_equal(simulate(*what, dtype=dtype, **call).samples, on_cpu.samples)


def given_twice(make, number):
    """A method with a number, and with what is that number in every step."""
    return make(number), make(Following(schedules.Constant(), zero=0.123, one=number))


CONSTANTS = {
    "sgd": lambda f: methods.SGD(f, True, f),
    "normalized": methods.NormalizedSGD,
    "adagrad": lambda f: methods.AdaGrad(weight_decay=f),
    "rmsprop": lambda f: methods.RMSProp(f, momentum=f, centered=True, weight_decay=f),
    "adam": lambda f: methods.Adam(f, f),
    "adamw": lambda f: methods.Adam(f, f, weight_decay=f, decoupled=True, amsgrad=True),
    "schedule-free": lambda f: methods.ScheduleFree(methods.SGD(weight_decay=f), f),
    "langevin": methods.Langevin,
    "clipped": lambda f: methods.Clipped(methods.Adam(f, weight_decay=f), f),
    "clipped by value": lambda f: methods.Clipped(threshold=f, by="value"),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_schedule_has_the_bits_of_the_number(name):
    plain, following = given_twice(CONSTANTS[name], 0.7)
    assert following._followed
    problem = problems.AbsoluteValue([0.3, 0.5], noise="gaussian", noise_std=0.4)
    for dtype in DTYPES:
        call = {"isa": ISAS[-1], "dtype": dtype, "iterate": "average", "horizon": 150}
        assert np.array_equal(kept(problem, plain, **call), kept(problem, following, **call))


@pytest.mark.parametrize("name", [name for name in CONSTANTS if name != "sgd"])
def test_a_constant_schedule_has_the_bits_of_the_number_on_data(name):
    for kind, dtype in (("linear", "float32"), ("network", "float64")):
        call = {"base_lr": 0.05, "horizon": 30, "replicates": 3, "keep_samples": True, "metric": "loss"}
        plain, following = (
            simulate(pair(kind, dtype, 3)[0], schedules.Linear(), method=method, dtype=dtype, **call).samples
            for method in given_twice(CONSTANTS[name], 0.7)
        )
        assert np.array_equal(plain, following)


def test_sgd_on_data_has_the_bits_of_its_momentum():
    problem, _ = pair("network", "float32", 3)
    call = {"base_lr": 0.05, "horizon": 150, "replicates": 3, "keep_samples": True, "metric": "loss"}
    plain, following, rising = (
        simulate(problem, schedules.Linear(), method=method, **call).samples
        for method in (*given_twice(lambda f: methods.SGD(f, nesterov=True), 0.7), methods.SGD(RISING, nesterov=True))
    )
    assert np.array_equal(plain, following)
    assert not np.array_equal(plain, rising)


def test_adam_that_follows_is_still_taken_in_one_pass():
    from anneal_sgd.programs._lower_method import numbers_of_adam

    assert numbers_of_adam(methods.Adam(CYCLED, RISING).program(40))


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Following(0.9), r"schedule must be of anneal_sgd.schedules, got 0.9"),
        (lambda: Following(CYCLE, zero=np.nan), r"zero must be one number, finite, got nan"),
        (lambda: Following(CYCLE, one="a"), r"one must be one number, finite, got 'a'"),
        (lambda: methods.SGD(momentum="linear"), r"momentum must be one number, in \[0, 1\), got 'linear'"),
        (lambda: methods.Adam(epsilon=CYCLED), r"epsilon must be one number, finite and > 0, got Following"),
        (lambda: methods.Adam(epsilon=CYCLE), r"epsilon must be one number"),
        (lambda: methods.ScheduleFree(methods.SGD(CYCLED)), r"method must be SGD without momentum"),
        (lambda: methods.ScheduleFree(methods.Adam(CYCLED)), r"method must be SGD without .* or Adam with beta1=0"),
        (
            lambda: methods.by_name("sgd", momentum="liner"),
            r"momentum must be a number, a schedule or following\(schedule, zero, one\), got 'liner': name must",
        ),
        (
            lambda: methods.by_name("sgd", momentum={"schedule": "linear", "two": 2.0}),
            r"momentum must be a number, a schedule or \{ schedule = .*\{'schedule': 'linear'.*: two must be a param",
        ),
        (lambda: methods.by_name("adam", beta1={"zero": 0.1}), r"beta1 must be .*: schedule must be given"),
        (lambda: methods.by_name("adam", beta1={"schedule": 3}), r"beta1 must be .*: name must be a text .* got 3"),
        (lambda: methods.by_name("adam(epsilon=linear)"), r"epsilon must be a number, got 'linear'"),
        (
            lambda: methods.by_name("clipped(adam(0.9, following(liner)), 2)"),
            r"method 'adam\(0.9, following\(liner\)\)': beta2 must be .* 'following\(liner\)': name must",
        ),
        (lambda: methods.by_name("sgd(following(zero=0.1))"), r"momentum must be .*: schedule must be given"),
        (lambda: methods.by_name("sgd(following(linear, a))"), r"momentum must be .*: zero must be a number, got 'a'"),
        (lambda: methods.by_name("sgd(following(linear, one=inf))"), r"momentum must be .*: one must be one number"),
        (lambda: methods.by_name("sgd(following(linear, 1, zero=1))"), r"momentum must be .*: zero must be given once"),
        (lambda: methods.by_name("sgd(following(linear, 0, 1, 2))"), r"momentum must be .*: name must give following"),
        (lambda: methods.by_name("sgd(following(linear, two=2))"), r"two must be a parameter of following, which"),
        (lambda: methods.by_name("sgd:momentum=following(linear"), r"name must end with its closing parenthesis, got"),
        (lambda: methods.by_name("sgd(polynomial)"), r"momentum must be .* got 'polynomial': degree must be given"),
        (lambda: methods.Custom(lambda g, b: g, numbers={"b": 0.9}), r"numbers must be schedules or .* got 'b': 0.9"),
        (lambda: methods.Custom(lambda g: g, numbers={"g": CYCLE}), r"numbers must not have 'g'"),
        (lambda: methods.Custom(lambda g: g, numbers=3), r"numbers must be a dictionary"),
        (
            lambda: methods.Custom(lambda g: g, numbers={f"n{k}": Following(CYCLE, one=k) for k in range(65)}),
            r"numbers must be at most 64, got 65",
        ),
    ],
)  # fmt: skip
def test_what_no_number_follows_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            methods.SGD(schedules.Linear()),
            r"momentum must be in \[0, 1\) in every step, got 1.0 at t = 0 of 10 by linear: give methods.Following",
        ),
        (
            methods.Adam(beta2=Following(schedules.Linear(), zero=1.1, one=0.9)),
            r"beta2 must be in \[0, 1\) in every step, got 1.0\d* at t = 5 of 10 by linear",
        ),
        (
            methods.Clipped(methods.RMSProp(Following(schedules.Cosine(), zero=-0.5, one=0.9)), 0.2),
            r"alpha must be in \[0, 1\) in every step, got -0.\d+ at t = \d of 10 by cosine",
        ),
        (methods.Clipped(threshold=Following(CYCLE, one=2.0)), r"threshold must be finite and > 0 .* got 0.0 at t = 0"),
        (methods.Langevin(Following(CYCLE, zero=1.0, one=-1.0)), r"temperature must be finite and >= 0 in every step"),
        (
            methods.SGD(weight_decay=Following(CYCLE, zero=1e39, one=0.0)),
            r"method must have numbers of size up to 3.403e\+38 in float32, got 1e\+39",
        ),
    ],
)
def test_calls_in_which_a_number_leaves_its_interval_are_refused(method, message):
    for problem in (problems.Quadratic([1.0, 1.0]), problems.LeastSquares(np.eye(2), np.ones(2))):
        with pytest.raises(ValueError, match=message):
            simulate(problem, schedules.Linear(), method=method, base_lr=0.1, horizon=10, replicates=1)


def test_what_is_refused_depends_on_the_steps_that_are_taken():
    """Linear decay ends before it is 0, in its last step at 1 / T: ends outside are allowed that are never reached."""
    threshold = Following(schedules.Linear(), zero=0.0, one=2.0)
    call = {"base_lr": 0.1, "replicates": 1, "horizon": 4}
    simulate(problems.Quadratic(1.0), schedules.Linear(), method=methods.Clipped(threshold=threshold), **call)
    late = Following(schedules.StepDecay(0.5, milestone_steps=(70_000,)), zero=1.4, one=0.6)
    simulate(problems.Quadratic(1.0), schedules.Linear(), method=methods.SGD(late), **call)
    with pytest.raises(ValueError, match=r"momentum must be .* got 1.0 at t = 70000 of 70001 by step_decay"):
        simulate(problems.Quadratic(1.0), schedules.Linear(), method=methods.SGD(late), **call | {"horizon": 70_001})


def test_the_core_refuses_numbers_that_are_not_there():
    problem = problems.Custom("x[0] * x[0]", x0=1.0, minimum=0.0)
    program = problem._method_program(methods.SGD(CYCLED))
    options = {"record_at": np.array([1]), "metrics": [_core.Metric.suboptimality], "iterate": _core.Iterate.last}
    spec = simulate(problem, schedules.Linear(), base_lr=0.1, horizon=1, replicates=1).spec
    for given, schedule_count, message in (
        (np.zeros((0, 2)), 1, "number_ends: 0 numbers are not those that the method takes"),
        (np.zeros((1, 3)), 2, r"number_ends: shape must be \(numbers, 2\)"),
        (np.zeros((1, 2)), 1, "schedules: at least one is needed, besides 1 of numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.Ensemble(
                problems=problem._stack([problem], "float32", with_minimum=True, method=program),
                schedules=[schedules.Linear()._core(1)] * schedule_count, precision=_core.Precision.float32,
                options=spec, number_ends=given, **options,
            )  # fmt: skip


# --- all around -----------------------------------------------------------------------------------------------------


def test_a_method_of_ones_own_takes_numbers():
    def heavy_ball(g, v, mu):
        v = mu * v + g
        return v, {"v": v}

    own = methods.Custom(heavy_ball, state={"v": np.zeros(3)}, numbers={"mu": CYCLED}, dimension=3)
    assert_close(points(own), points(methods.SGD(CYCLED)))
    other = methods.Custom(heavy_ball, state={"v": np.zeros(3)}, numbers={"mu": FALLING}, dimension=3)
    assert own.program(3) == other.program(3)
    assert own != other
    assert own._identity != other._identity
    assert "numbers={'mu': Following(" in repr(own)
    assert pickle.loads(pickle.dumps(own)) == own
    unused = methods.Custom(lambda g: g, numbers={"a": FALLING}, dimension=3)
    assert_close(points(unused), points(methods.SGD()))


@pytest.mark.parametrize("name", ALL)
def test_methods_are_values(name):
    method = ALL[name]
    for same in (pickle.loads(pickle.dumps(method)), copy.deepcopy(method)):
        assert same == method
        assert hash(same) == hash(method)
    named = {name: getattr(methods, name) for name in methods.__all__}
    named |= {name: getattr(schedules, name) for name in schedules.__all__}
    if name != "plain schedule":  # of a table
        assert eval(repr(method), named) == method
    json.dumps(method._identity)


def test_a_schedule_alone_is_from_0_to_1():
    assert methods.SGD(schedules.Linear()) == methods.SGD(Following(schedules.Linear(), zero=0.0, one=1.0))


def test_ends_are_exact_and_values_between_are_float64():
    ends = Following(schedules.Linear(), zero=0.95, one=0.85)
    assert ends.values(3).tolist() == [0.85, *(h * 0.85 + (1.0 - h) * 0.95 for h in schedules.Linear().values(3)[1:])]
    assert Following(CYCLE, zero=0.95, one=0.85).values(10)[0] == 0.95
    assert ends.values(10, 3, 5).tolist() == ends.values(10)[3:5].tolist()


def test_campaigns_keep_them(tmp_path):
    text = """
    schedule = "linear"
    horizon = 60
    base_lr = [0.05, 0.1]
    replicates = 8
    problem = {{ kind = "quadratic", curvature = 1.0, noise = "gaussian", noise_std = 0.5 }}
    {method}
    """
    cycle = 'schedule = "one_cycle(0.3, start=0, final=0)"'
    made = [
        read_spec(text.format(method=method)).campaign
        for method in (
            f'method = {{ name = "sgd", momentum = {{ {cycle}, zero = 0.95, one = 0.85 }} }}',
            f'[method]\nname = "sgd"\n[method.momentum]\n{cycle}\nzero = 0.95\none = 0.8',
            'method = { name = "clipped", threshold = 2.0, method = { name = "langevin", temperature = "linear" } }',
        )
    ]
    assert made[2].options["method"] == methods.Clipped(methods.Langevin(schedules.Linear()), threshold=2.0)
    assert made[0].options["method"] == methods.SGD(CYCLED)
    assert made[1].options["method"] == methods.SGD(Following(CYCLE, zero=0.95, one=0.8))
    call = {"base_lr": [0.05, 0.1], "horizon": 60, "replicates": 8}
    problem = problems.Quadratic(1.0, noise="gaussian", noise_std=0.5)
    alone = simulate(problem, schedules.Linear(), method=methods.SGD(CYCLED), **call)
    result = made[0].run(tmp_path / "store.db")
    assert np.array_equal(result.mean, alone.mean)
    pytest.importorskip("plotly")
    report = html.unescape(write_report(result, tmp_path / "report").read_text())
    assert "momentum=Following(schedule=Cosine(" in report
    in_python = Campaign(problem, schedules.Linear(), method=methods.SGD(CYCLED), **call)
    assert in_python.identities() == made[0].identities()
    assert not set(made[1].identities()) & set(made[0].identities())
    for method in (f"sgd(momentum={CYCLED_TEXT})", f"sgd:{CYCLED_TEXT}"):
        of_text = read_spec(text.format(method=f'method = "{method}"')).campaign
        assert of_text.identities() == made[0].identities()


# --- as texts -------------------------------------------------------------------------------------------------------

CYCLED_TEXT = "following(one_cycle(0.3, start=0, final=0), zero=0.95, one=0.85)"
TEXTS = {
    "sgd(momentum=linear)": methods.SGD(schedules.Linear()),
    "sgd(momentum=cosine:floor=0.1)": methods.SGD(schedules.Cosine(floor=0.1)),
    "sgd:momentum=cosine(floor=0.1):weight_decay=0.5": methods.SGD(schedules.Cosine(floor=0.1), weight_decay=0.5),
    f"sgd(momentum={CYCLED_TEXT})": methods.SGD(CYCLED),
    f"sgd({CYCLED_TEXT}, true, following(linear:floor=0.1, one=0.2))": methods.SGD(
        CYCLED, True, Following(schedules.Linear(floor=0.1), one=0.2)
    ),
    "sign_sgd( following : cosine : 0.99 : 0.7 )": methods.SignSGD(RISING),
    "adam(following(linear, 0.2, 0.9), beta2=following(cosine, zero=0.99, one=0.7))": methods.Adam(FALLING, RISING),
    "rmsprop(following(step_decay(0.5, 0.3/0.6), one=0.8))": methods.RMSProp(STEPPED),
    "langevin:joined(linear, cosine:floor=0.1, at=0.4)": methods.Langevin(
        schedules.Joined([schedules.Linear(), schedules.Cosine(floor=0.1)], at=[0.4])
    ),
    "clipped(schedule_free(sgd(weight_decay=linear), following(linear, 0.2, 0.9)), constant)": methods.Clipped(
        methods.ScheduleFree(methods.SGD(weight_decay=schedules.Linear()), FALLING), schedules.Constant()
    ),
    "clipped:sgd(0.9):following(linear, 0.1, 2)": methods.Clipped(
        methods.SGD(0.9), Following(schedules.Linear(), 0.1, 2.0)
    ),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_what_they_say(text):
    assert methods.by_name(text) == TEXTS[text]
    assert repr(methods.by_name(text)) == repr(TEXTS[text])


@pytest.mark.parametrize("one", [CYCLED, FALLING, RISING, STEPPED, PIECES, Following(CYCLE, 0.1 + 0.2, 1 / 3)])
def test_a_text_of_the_schedules_name_and_the_ends_reads_back(one):
    """`Schedule.name` is the text that results show; ends as Python writes them."""
    text = f"following({one.schedule.name}, zero={one.zero!r}, one={one.one!r})"
    assert methods.by_name(f"adam({text}, beta2={text})") == methods.Adam(one, one)


@pytest.mark.parametrize("text", [f"sgd(momentum={CYCLED_TEXT})", "clipped:sgd(0.9):following(linear, 0.1, 2)"])
def test_texts_have_the_bits_of_python(text):
    problem = problems.AbsoluteValue([0.3, 0.5], noise="gaussian", noise_std=0.4)
    call = {"isa": ISAS[-1], "dtype": "float32", "horizon": 150}
    found = kept(problem, methods.by_name(text), **call)
    assert np.array_equal(found, kept(problem, TEXTS[text], **call))
    assert not np.array_equal(found, kept(problem, methods.by_name(text.partition("(")[0].partition(":")[0]), **call))
