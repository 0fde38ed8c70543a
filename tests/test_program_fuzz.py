"""Damaged programs, in every form that they have: they are refused with a message or they run, never anything else.

A few numbers of a good program are changed, so that most of what is refused is refused late, and much of it runs.
`make sanitize` looks on.
"""

import copy
import json
import warnings
from unittest.mock import patch

import numpy as np
import pytest

from anneal_sgd import _core, methods, problems, runtime, schedules, simulate
from anneal_sgd.problems import _own_loss
from anneal_sgd.programs import Program, canonical, differentiated
from anneal_sgd.programs._combine import alone
from anneal_sgd.programs._ir import OPERATIONS
from bit_cases import on

TEXTS = (
    "a * sum(abs(x) ** 1.3) + max(x) * min(b * x)",
    "sum((x[:1] - x[-1:] ** 2) ** 2) + a * norm(x - b) + sum(x[::-1] * b)",
    "sum(where(x > b, exp(x), tanh(a * x))) + dot(b, [[1, 2, 0.5], [0, 1, 3], [2, 2, 2]] @ x)",
    "log(2 + sin(x[0])) * cos(x[1]) + dot(b, x) + sum(clip(x, -0.5, 0.5)) + maximum(x[2], a) ** 3",
)
PARAMETERS = {"a": 0.5, "b": [1.0, -0.5, 0.25]}
OPTIONS = (
    {"x0": [0.3, -0.2, 0.4]},
    {"x0": [0.3, -0.2, 0.4], "noise": "a * draw.student_t(3.0) + x * draw.rademacher()"},
    {"x0": "0.1 * draw.gaussian() + draw.uniform(size=())", "dimension": 3, "projection": "x / maximum(1, norm(x))"},
    {"x0": [0.3, -0.2, 0.4], "noise": "gaussian", "noise_std": 0.3, "projection": ("ball", 2.0)},
)
METHODS = (
    methods.SGD(), methods.Adam(), methods.ScheduleFree(), methods.Clipped(methods.SGD(0.9), 1.0), methods.AdaGrad()
)  # fmt: skip
NUMBERS = (31, 32, 33, 2**20, 2**24, 2**31 - 1, -(2**31), 2**32, 2**62, 2**63 - 1, -(2**63))
MOST_BYTES = 2**28
CALL = {"base_lr": 0.1, "horizon": 3, "replicates": 3, "threads": 1, "backend": "cpu"}

many = pytest.mark.parametrize("examples", [150, pytest.param(20_000, marks=pytest.mark.slow)])


def of_a_function(rng):
    """A call of `simulate` on a function of one's own."""
    text, options = (rng.choice(of) for of in (TEXTS, OPTIONS))
    problem = problems.Custom(text, parameters=PARAMETERS, **options)
    own = {"far": lambda x: np.max(x), "steep": lambda x, value, gradient: value - gradient[0]}
    options = {"metric": own if rng.choice(2) else "value"}
    return problem, options if rng.choice(2) else {**options, "method": rng.choice(METHODS)}


def of_a_loss(rng):
    """A call of `simulate` with a loss and a metric of one's own."""
    X = rng.standard_normal((5, 3))
    _own_loss.lowered_loss.cache_clear()
    problem = problems.LinearModel(X, X[:, 0], loss="log(1 + exp(-y * z)) + 0.1 * abs(z) ** 1.5", batch_size=2)
    return problem, {"metric": {"size": lambda x: np.sum(x**2) + x[0]}}


def damaged(rng, arguments):
    """Arguments of the core's Program, up to three numbers of which are others."""
    arguments = copy.deepcopy(arguments)
    for _ in range(1 + rng.choice(3)):
        name = rng.choice([name for name, value in arguments.items() if np.size(value)])
        values = np.array(arguments[name])
        at = tuple(rng.choice(n) for n in values.shape)
        now = values[at].item()
        near = [now + 1, now - 1, -now, rng.choice(60), 0]
        new = near[rng.choice(5)] if rng.choice(6) else NUMBERS[rng.choice(len(NUMBERS))]
        values[at] = min(max(new, NUMBERS[-1]), NUMBERS[-2])
        arguments[name] = values if isinstance(arguments[name], np.ndarray) else values.tolist()
    return arguments


def damaging(make, rng):
    """`make` on arguments that have been damaged."""
    return lambda **arguments: make(**damaged(rng, arguments))


def ran(problem, options):
    """Whether it did, or was refused."""
    memory = patch("anneal_sgd._ensemble.available_memory", lambda: MOST_BYTES)
    with memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it may diverge
        try:
            simulate(problem, schedules.Cosine(), **CALL, **options)
        except (ValueError, MemoryError):
            return False
    return True


@many
def test_damaged_instructions_are_refused_or_run(examples):
    """On every instruction set, and on the emulated device."""
    good, found = _core.Program, []
    isas = runtime.supported_isas()
    for seed in range(examples):
        rng = np.random.default_rng(seed)
        problem, options = (of_a_loss if seed % 4 == 0 else of_a_function)(rng)
        options["isa"] = isas[seed % len(isas)]
        options["dtype"] = ("float32", "float64")[rng.choice(2)]
        with patch.object(_core, "Program", damaging(good, rng)):
            found.append(ran(problem, options))
            if seed % 4 and rng.choice(2):
                with on(_core.testing.emulated_device(memory=MOST_BYTES)):
                    found.append(ran(problem, options))
    assert 0.1 < np.mean(found) < 0.9


def spots(data, path=()):
    """Paths to all that there is."""
    if path:
        yield path
    if isinstance(data, list | dict):
        for key in data if isinstance(data, dict) else range(len(data)):
            yield from spots(data[key], (*path, key))


def rewritten(rng, data):
    """Data of a program, up to three parts of which are others, most of them of their kind."""
    data = copy.deepcopy(data)
    for _ in range(1 + rng.choice(3)):
        paths = list(spots(data))
        path = paths[rng.choice(len(paths))]
        home = data
        for key in path[:-1]:
            home = home[key]
        now = home[path[-1]]
        if rng.choice(4) == 0:
            other = data
            for key in paths[rng.choice(len(paths))]:
                other = other[key]
            new = copy.deepcopy(other)
        elif type(now) is int:
            new = [now + 1, now - 1, -now, 0, 2**24, 2**31, 2**70][rng.choice(7)]
        elif isinstance(now, str):
            words = OPERATIONS if now in OPERATIONS else ("0x1p+1023", "inf", "a")
            new = words[rng.choice(len(words))]
        elif isinstance(now, list) and now:
            new = [now[::-1], now[:-1], [*now, now[0]]][rng.choice(3)]
        else:
            new = None
        home[path[-1]] = new
    return data


@many
def test_rewritten_programs_are_refused_or_run(examples):
    """What is a program still has a canonical form and derivatives, and the core takes it."""
    count = found = 0
    for seed in range(examples):
        rng = np.random.default_rng(seed)
        problem, options = of_a_function(rng)
        try:
            program = Program.from_data(rewritten(rng, problem.program.to_data()))
        except ValueError:
            continue
        count += 1
        assert Program.from_data(json.loads(json.dumps(program.to_data()))) == program
        try:
            assert canonical(canonical(program)) == canonical(program)
            if program.has("value"):
                canonical(differentiated(alone(program, "value")))
        except ValueError:
            continue
        names, own = ([name for name, _ in one.outputs] for one in (program, problem.program))
        if (program.parameters, names) == (problem.program.parameters, own):
            object.__setattr__(problem, "program", program)
            found += ran(problem, options)
    assert count > found > examples // 20
