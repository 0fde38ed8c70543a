"""About a thousand small ensembles that stand for all others, and a hash of the bits of each.

Which combinations they are is a fixed rule that depends on no generator and no library: every choice is made by a
digest of the case and of the option. An option that is added takes over some cases and leaves the others as they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np

from anneal_sgd import Result, _core, methods, problems, schedules
from anneal_sgd._simulate import simulate_quietly

RECORDED = Path(__file__).parent / "vectors" / "trajectory_bits.txt"

SEPARABLE_CASES = 580
DATA_CASES = 400
LARGE_CASES = 20
ORDERED_CASES = 30
WEIGHTED_CASES = 70
PROGRAM_CASES = 70
METHOD_CASES = 130
SEPARABLE_METHOD_CASES = 30
OWN_DATA_CASES = 60
WEIGHING_CASES = 49
DATA_METHOD_CASES = 48
LATER_CASES = 16
EMULATED_STRIDE = 7  # every seventh case runs on the emulated device too

NOISES = ("none", "rademacher", "gaussian", "uniform")
SETS = ("none", "box", "ball")
ITERATES = ("last", "average", "tail_average")
WEIGHING_ITERATES = ("ema", "polynomial_average")
DTYPES = ("float32", "float64")
WEIGHING = "weighing"  # how cases of weighing iterates begin
REPLICATES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65)
FIRST_REPLICATES = (0, 5, 1010, 2**32 - 70)
HORIZONS = (1, 2, 3, 15, 17, 127, 128, 129, 140, 260)
DIMENSIONS = (1, 2, 3, 7, 8, 9, 16, 17, 33)
RATES = (1, 2, 3, 17)
RECORDS = ("end", "start and end", "some", "all")
SCHEDULES: dict[str, schedules.Schedule] = {
    schedule.name: schedule
    for schedule in (
        schedules.Constant(),
        schedules.Constant(warmup_frac=0.3),
        schedules.InverseSqrt(),
        schedules.InverseSqrt(timescale_frac=0.03, floor=0.1),
        schedules.Polynomial(0.5),
        schedules.Polynomial(2.5, floor=0.05, warmup_frac=0.2),
        schedules.Polynomial(40.3),
        schedules.Linear(),
        schedules.Cosine(),
        schedules.Cosine(floor=0.1),
        schedules.OneMinusSqrt(),
        schedules.Exponential(0.001),
        schedules.StepDecay(0.3, (0.3, 0.5, 0.77)),
        schedules.WarmupStableDecay(0.4, warmup_frac=0.1),
        schedules.WarmupStableDecay(0.4, "cosine"),
        schedules.WarmupStableDecay(0.4, "one_minus_sqrt"),
        schedules.Tabulated([0.25, 1.0, 0.5, 0.75, 0.0], name="tabulated"),
        schedules.Tabulated([0.5, 1.0, 0.25, 0.0], at=[0.0, 0.1, 0.4, 1.0], name="knots"),
        schedules.InverseSqrt(warmup_frac=0.2),
        schedules.InversePower(0.7, 0.2),
        schedules.Joined(
            [schedules.Reversed(schedules.Linear(floor=0.1)), schedules.Repeated(schedules.Cosine(), 3)], at=[0.3]
        ),
    )
}
SEPARABLE = ("AbsoluteValue", "Quadratic", "Huber")
MODELS: dict[str, dict[str, Any]] = {
    "LeastSquares": {},
    "LogisticRegression": {},
    "HingeLoss": {},
    "SoftmaxRegression": {},
    "MLP": {"hidden": (18,), "activation": "tanh"},
    "MLP of two hidden layers": {"hidden": (5, 33), "activation": "relu"},
}
PROGRAMS = {  # with parameters a, one number, and b, as many as coordinates
    "powers": "a * sum(abs(x) ** 1.5) + sum(x ** 4) + sum((2 + b * x) ** -0.3)",
    "norms": "norm(x - b) + a * max(abs(x)) + dot(b, x)",
    "smooth": "sum(exp(a * x) + sqrt(1 + b * b * x * x))",
    "waves": "sum(sin(a + x) * cos(b * x)) + sum(tanh(x))",
    "logs": "sum(log(1 + exp(-b * x))) + a * min(x * b)",
    "branches": "sum(where(x > b, x ** 3, a * x * x)) + sum(clip(x, -0.5, 0.5) ** 2)",
    "neighbours": "sum((x[:1] - x[-1:] ** 2) ** 2) + a * sum(x[::-1] * x) + sum(abs(x - b))",
}
LATER_PROGRAMS = {
    "angles": "sum(arctan(a * x) * b) + sum(arctan2(x, 0.5 + b * b)) + sum(erf(2 * x - b))",
    "whole numbers": "sum(floor(3 * x) * b + x % 0.3 + a * rint(x)) + sum((x - b) ** 2)",
    "ordered": "a * median(abs(x - b)) + logaddexp(sum(x), 0) + sum(sinh(x) * cbrt(b + x))",
}
OWN_NOISES = (
    *NOISES,
    "draw.student_t(3.0)",
    "a * draw.laplace() + x * draw.rademacher()",
    "0.1 * draw.stable(1.5) + draw.uniform(size=())",
    "draw.weibull(0.7) - 1 + 0.1 * draw.exponential()",
)
MORE_OWN_NOISES = (
    *OWN_NOISES,
    "a * draw.pareto(2.5) - draw.gaussian(size=())",
    "sign(x) * draw.exponential() + draw.student_t(4.5, size=())",
)
OWN_METRICS = {"farthest": "max(abs(x))", "length": "norm(x) - 0.5"}
METRICS_OF_PROGRAMS = {"value": "value", **OWN_METRICS, "steepest": "a * max(abs(gradient)) + value", "b": "dot(b, x)"}


def own_method(d: int) -> methods.Method:
    """Of d coordinates: with a vector, a number and a draw."""

    def update(x: Any, g: Any, lr: Any, t: Any, old: Any, seen: Any, draw: Any) -> Any:
        after = {"old": g - 0.5 * old[::-1], "seen": np.max(np.abs(g)) + 0.5 * seen}
        return g / t**0.3 + 0.1 * old + lr * (draw.gaussian() - 0.1 * seen * x), after

    return methods.Custom(update, state={"old": lambda x: 0.5 * x, "seen": 0.25}, dimension=d)


METHODS: dict[str, methods.Method | Callable[[int], methods.Method]] = {
    "heavy ball": methods.SGD(momentum=0.8),
    "nesterov with decay": methods.SGD(0.7, True, 0.2),
    "sign": methods.SignSGD(),
    "signum": methods.SignSGD(momentum=0.6),
    "normalized": methods.NormalizedSGD(momentum=0.6),
    "clipped by norm": methods.Clipped(methods.SGD(momentum=0.9), 0.8),
    "clipped by value": methods.Clipped(methods.Adam(beta2=0.9), 0.5, by="value"),
    "adagrad": methods.AdaGrad(1e-3, 0.4, 0.1),
    "adagrad-norm": methods.AdaGradNorm(0.3),
    "rmsprop": methods.RMSProp(),
    "rmsprop, centered": methods.RMSProp(0.8, 0.2, 0.5, True, 0.1),
    "adam": methods.Adam(),
    "amsgrad": methods.Adam(beta2=0.6, amsgrad=True),
    "adamw": methods.Adam(beta2=0.9, weight_decay=0.2, decoupled=True),
    "schedule-free": methods.ScheduleFree(methods.SGD(weight_decay=0.1), 0.7, 1.5, 1.0),
    "schedule-free adamw": methods.ScheduleFree(methods.Adam(0.0, 0.95, weight_decay=0.1, decoupled=True), 0.8, 1.0),
    "dog": methods.DoG(0.03),
    "polyak": methods.PolyakMax(-2.0, 1.5),
    "ngn": methods.NGN(-2.5),
    "langevin": methods.Langevin(0.1),
    "extragradient": methods.ExtraGradient((0,)),
    "descent-ascent": methods.DescentAscent(0),
    "alternating": methods.DescentAscent(0, alternating=True),
    "own": own_method,
    "cycled momentum": methods.SGD(
        methods.Following(schedules.one_cycle(0.3, start=0.0, final=0.0), zero=0.95, one=0.85), True
    ),
    "adamw that follows": methods.Adam(
        methods.Following(schedules.Linear(), zero=0.5, one=0.9),
        methods.Following(schedules.Cosine(), zero=0.99, one=0.9),
        weight_decay=methods.Following(
            schedules.Joined([schedules.Linear(), schedules.Repeated(schedules.Cosine(), 2)], at=[0.4]), one=0.2
        ),
        decoupled=True,
    ),
}
SAMPLINGS = ("with_replacement", "reshuffling", "sequential")
LOSSES = (
    "abs(z - y) ** 1.3",
    "sqrt(1 + (z - y) ** 2) - 1",
    "where(z < y, 0.9 * (y - z), 0.1 * (z - y))",
    "log(1 + exp(-y * z))",
    "maximum(0, 1 - y * z) ** 2",
    "1 - exp(-(z - y) ** 2 / 2)",
)
OWN_LOSS_MODELS: dict[str, dict[str, Any]] = {"LinearModel": {}, **{k: v for k, v in MODELS.items() if "MLP" in k}}
ROWS = (2, 3, 16, 29, 130)
COLUMNS = (1, 3, 15, 16, 17, 33)
DATA_SIZES = {  # horizons, numbers of rates and batches: of networks smaller ones, which take as long
    False: ((1, 2, 3, 9, 20), RATES, (1, 2, 5, 15, 16, 17, 40)),
    True: ((1, 2, 3, 5), (1, 2, 3), (1, 2, 5, 17)),
}

_Option = TypeVar("_Option")


@dataclass(frozen=True)
class Case:
    """An ensemble: its key says what it is, `run` computes it; threads and instruction set may be given."""

    key: str
    run: Callable[..., Result]


def cases() -> Iterator[Case]:
    """All of them, in the order of the recorded file."""
    for number in range(SEPARABLE_CASES):
        yield _separable(f"separable {number:03}", HORIZONS, REPLICATES)
    for number in range(DATA_CASES):
        yield _on_data(f"data {number:03}", SAMPLINGS[:2])
    for number in range(LARGE_CASES):  # of several blocks of replicates
        yield _separable(f"large {number:03}", (1, 2, 17), (1023, 1025, 2050, 5000))
    for number in range(ORDERED_CASES):
        yield _on_data(f"ordered {number:03}", ("sequential",))
    for number in range(WEIGHTED_CASES):
        yield _on_data(f"weighted {number:03}", SAMPLINGS, weighted=True)
    for number in range(PROGRAM_CASES):
        yield _program(f"program {number:03}")
    for number in range(METHOD_CASES):
        yield _program(f"method {number:03}", method=True)
    for number in range(SEPARABLE_METHOD_CASES):
        yield _separable(f"separable method {number:03}", HORIZONS, REPLICATES, method=True)
    for number in range(OWN_DATA_CASES):
        yield _on_data(f"own data {number:03}", SAMPLINGS, weighted=number % 3 == 0, own=True)
    for number in range(WEIGHING_CASES):
        case = f"{WEIGHING} {number:03}"
        if number % 3 == 0:
            yield _separable(case, HORIZONS, REPLICATES)
        else:
            yield _on_data(case, SAMPLINGS) if number % 3 == 1 else _program(case)
    for number in range(DATA_METHOD_CASES):
        yield _on_data(
            f"data method {number:03}", SAMPLINGS, weighted=number % 3 == 0, own=number % 2 == 0, method=True
        )
    for number in range(LATER_CASES):
        yield _program(f"later program {number:03}", functions=LATER_PROGRAMS)


def hash_of(result: Result) -> str:
    """Of the bits of every trajectory and statistic, in hexadecimal; every NaN counts as the same one."""
    assert result.samples is not None
    content = hashlib.blake2b(digest_size=8)
    samples = np.asarray(result.samples)
    for array in (samples, result.count, result.diverged, result.mean, result.stderr, result.min, result.max):
        canonical = np.where(np.isnan(array), np.nan, array).astype(array.dtype)
        content.update(canonical.astype(canonical.dtype.newbyteorder("<")).tobytes())
    return content.hexdigest()


def on(device: _core.Device | tuple[_core.Device, ...], **launches: int) -> AbstractContextManager[object]:
    """Calls of `simulate` run on this device of the core, or on several, for the length of a `with` block."""
    there = {"devices": device if isinstance(device, tuple) else (device,), **launches}
    on_the_cpu = _core.simulate
    return patch.object(_core, "simulate", lambda *given, **size: on_the_cpu(*given, **{**size, **there}))


def recorded() -> tuple[int, dict[str, str]]:
    """The stream version that the file was written with, and the hash of every key."""
    head, *lines = [line for line in RECORDED.read_text().splitlines() if not line.startswith("#")]
    return int(head.removeprefix("stream version ")), {
        key: value for value, key in (line.split(" ", 1) for line in lines)
    }


def _digest(*parts: object) -> bytes:
    return hashlib.blake2b(" ".join(map(str, parts)).encode(), digest_size=8).digest()


def _pick(case: str, name: str, options: Sequence[_Option]) -> _Option:
    return max(options, key=lambda option: _digest(case, name, option))


def _numbers(case: str, name: str, low: float, high: float, *shape: int) -> np.ndarray:
    """Uniform over [low, high), of 32 bits each."""
    size = int(np.prod(shape, dtype=int))
    words = np.frombuffer(hashlib.shake_256(f"{case} {name}".encode()).digest(4 * size), "<u4")
    return low + (high - low) * (words / 2.0**32).reshape(shape)


def _number(case: str, name: str, low: float, high: float) -> float:
    return float(_numbers(case, name, low, high, 1)[0])


def _call(
    case: str, horizons: Sequence[int], replicates: Sequence[int], rate_counts: Sequence[int] = RATES
) -> tuple[str, dict[str, Any]]:
    """What any problem may be called with, in words and as arguments."""
    horizon = _pick(case, "horizon", horizons)
    rates = _pick(case, "rates", rate_counts)
    names = [_pick(case, "schedule", list(SCHEDULES))]
    if _number(case, "schedules", 0, 1) < 0.2:
        names.append(_pick(case, "other schedule", [name for name in SCHEDULES if name not in names]))
    records = _pick(case, "records", RECORDS)
    steps = {
        "end": [horizon],
        "start and end": [0, horizon],
        "some": sorted({0, 1, horizon // 3, horizon - 1, horizon}),
        "all": range(horizon + 1),
    }[records]
    arguments = {
        "schedule": [SCHEDULES[name] for name in names],
        "base_lr": np.sort(_numbers(case, "base_lr", 0.01, 0.6, rates)),
        "horizon": horizon,
        "replicates": _pick(case, "replicates", replicates),
        "first_replicate": _pick(
            case, "first_replicate", FIRST_REPLICATES if max(replicates) < 70 else (0, 1000, 1024)
        ),
        "seed": int.from_bytes(_digest(case, "seed"), "little"),
        "record_at": list(steps),
        "iterate": _pick(case, "iterate", WEIGHING_ITERATES if case.startswith(WEIGHING) else ITERATES),
        "tail_frac": _number(case, "tail_frac", 0.05, 1.0),
        "common_random_numbers": _pick(case, "noise shared", (True, False)),
        "dtype": _pick(case, "dtype", DTYPES),
        "keep_samples": True,
        "backend": "cpu",
    }
    if arguments["iterate"] != "tail_average":
        del arguments["tail_frac"]
    if arguments["iterate"] == "ema":
        arguments["ema_decay"] = _number(case, "ema_decay", 0.0, 1.0)
    if arguments["iterate"] == "polynomial_average":
        arguments["average_degree"] = _number(case, "average_degree", 0.0, 9.0)
    text = "{dtype}, {iterate}, {replicates} from {first_replicate}, horizon {horizon}".format(**arguments)
    text += f", {'common' if arguments['common_random_numbers'] else 'own'} noise, record {records}"
    return f"{text}, {rates} rates, {' and '.join(names)}", arguments


def _method(case: str, d: int, arguments: dict[str, Any]) -> tuple[str, bool]:
    """The name of one, which becomes an argument, and whether it takes sets."""
    name = _pick(case, "method", list(METHODS))
    method = METHODS[name]
    arguments["method"] = method if isinstance(method, methods.Method) else method(d)
    return name, not arguments["method"]._unconstrained


def _separable(case: str, horizons: Sequence[int], replicates: Sequence[int], *, method: bool = False) -> Case:
    kind, noise = _pick(case, "kind", SEPARABLE), _pick(case, "noise", NOISES)
    set_kind, d = _pick(case, "set", SETS), _pick(case, "dimension", DIMENSIONS)
    words, arguments = _call(case, horizons, replicates)
    if method:
        name, takes_sets = _method(case, d, arguments)
        words, set_kind = f"{words}, {name}", set_kind if takes_sets else "none"
    count = _pick(case, "problems", (1, 1, 2))
    if _number(case, "overflow", 0, 1) < 0.05:
        arguments["base_lr"][-1] = 1e30 if arguments["dtype"] == "float32" else 1e200
        words += ", overflowing"
    made = []
    for i in range(count):
        numbers = partial(_numbers, f"{case} problem {i}")
        box = ("box", numbers("lower", -0.8, -0.4, d), numbers("upper", 0.3, 0.9, d))
        options: dict[str, Any] = {
            "noise": noise,
            "projection": {"none": None, "box": box, "ball": ("ball", 0.4 * d**0.5)}[set_kind],
            "x0": numbers("x0", -0.3, 0.3, d),
        }
        if noise != "none":
            options["noise_std"] = numbers("noise_std", 0.2, 1.0, d)
        if kind == "Huber":
            options["width"] = 0.15 + 0.1 * i
        made.append(getattr(problems, kind)(numbers("weight", 0.1, 0.9, d), **options))
    key = f"{case}: {count} {kind}, {noise} noise, {set_kind} set, dimension {d}, {words}"
    return Case(key, partial(simulate_quietly, made, arguments.pop("schedule"), **arguments))


def _on_data(
    case: str, samplings: Sequence[str], *, weighted: bool = False, own: bool = False, method: bool = False
) -> Case:
    """`own`: with metrics of one's own, most with a loss of one's own too; `method`: with one."""
    loss = _pick(case, "loss", (*LOSSES, None)) if own else None
    models = MODELS if loss is None else OWN_LOSS_MODELS
    model, n, d = _pick(case, "model", list(models)), _pick(case, "rows", ROWS), _pick(case, "columns", COLUMNS)
    horizons, rate_counts, batches = DATA_SIZES["hidden" in models[model]]
    words, arguments = _call(case, horizons, REPLICATES[:9], rate_counts)
    batch, sampling = _pick(case, "batch", batches), _pick(case, "sampling", samplings)
    intercept, l2, ball, start, sharing, momentum, decay = (
        _pick(case, name, options)
        for name, options in {
            "intercept": (True, False),
            "l2": (0.0, 0.02),
            "ball": (None, 1.5),
            "start": ("own", "given"),
            "problems": ("one", "shared rows", "other rows"),
            "momentum": ("none", "heavy ball", "nesterov"),
            "decay": (0.0, 0.2),
        }.items()
    )
    classes = min(3, n) if model.split()[0] in ("SoftmaxRegression", "MLP") else 2
    numbers = model == "LeastSquares" or loss is not None

    def made(i: int) -> problems.Problem:
        rows = partial(_numbers, f"{case} problem {i}")
        labels = rows("y", -1, 1, n) if numbers else np.arange(n) % classes
        test = rows("test X", -1, 1, 7, d), rows("test y", -1, 1, 7) if numbers else np.arange(7) % classes
        options: dict[str, Any] = {**models[model], "l2": l2, "intercept": intercept, "batch_size": batch}
        if loss is not None:
            options |= {"loss": loss, **({"minimum": 0.125} if model == "LinearModel" else {})}
        if weighted:  # a sixth of them 0
            options["sample_weight"] = np.maximum(rows("sample_weight", -0.4, 2.0, n), 0.0) + (np.arange(n) == 1)
        problem = getattr(problems, model.split()[0])(
            rows("X", -1, 1, n, d),
            labels,
            sampling=sampling,
            projection=None if ball is None else ("ball", ball),
            test=test,
            **options,
        )
        if start == "given":
            problem = problem.replace(x0=rows("x0", -1, 1, problem.dimension) / problem.dimension)
        if "suboptimality" in problem._METRICS:
            problem._take_minimum(0.125)  # a solver's would be bits of a library
        return problem

    if method:
        method_name, takes_sets = _method(case, made(0).dimension, arguments)
        ball, step = ball if takes_sets else None, method_name
    else:
        arguments |= {"momentum": 0.0 if momentum == "none" else 0.8, "nesterov": momentum == "nesterov"}
        arguments["weight_decay"] = decay
        step = f"momentum {momentum}, decay {decay}"
    first = made(0)
    alike = first.replace(l2=0.3)
    if "suboptimality" in first._METRICS:
        alike._take_minimum(0.125)
    several = {"one": [first], "shared rows": [first, alike], "other rows": [first, made(1)]}[sharing]
    arguments["metric"] = {**{name: name for name in first._METRICS}, **OWN_METRICS} if own else first._METRICS
    shape = f"{n} x {d}, batch {batch} {sampling}, {'with' if intercept else 'no'} intercept, l2 {l2}"
    step = f"{'ball' if ball else 'no'} set, {start} start, {step}, problems: {sharing}"
    return Case(
        f"{case}: {model} {shape}, {step}, {words}" + (f", loss {loss}" if own else ""),
        partial(simulate_quietly, several, arguments.pop("schedule"), **arguments),
    )


def _program(case: str, *, method: bool = False, functions: Mapping[str, str] = PROGRAMS) -> Case:
    """`method`: with one, and metrics, starts and more noises of one's own."""
    noises, sets = (MORE_OWN_NOISES, (*SETS, "own")) if method else (OWN_NOISES, SETS)
    name, noise = _pick(case, "function", list(functions)), _pick(case, "noise", noises)
    set_kind, d = _pick(case, "set", sets), _pick(case, "dimension", DIMENSIONS)
    words, arguments = _call(case, HORIZONS, REPLICATES)
    arguments["metric"], drawn = "value", False
    if method:
        method_name, takes_sets = _method(case, d, arguments)
        set_kind, drawn = set_kind if takes_sets else "none", _pick(case, "start drawn", (True, False))
        arguments["metric"] = METRICS_OF_PROGRAMS
        words = f"{words}, {method_name}, start {'drawn' if drawn else 'given'}"
    own_ball = f"x / maximum(1, norm(x) / {0.4 * d**0.5!r})"
    made = []
    for i in range(_pick(case, "problems", (1, 1, 2))):
        numbers = partial(_numbers, f"{case} problem {i}")
        box = ("box", numbers("lower", -0.8, -0.4, d), numbers("upper", 0.3, 0.9, d))
        options: dict[str, Any] = {"noise": noise}
        if noise in NOISES[1:]:
            options["noise_std"] = numbers("noise_std", 0.2, 1.0, d)
        made.append(
            problems.Custom(
                functions[name],
                dimension=d,
                parameters={"a": _number(f"{case} problem {i}", "a", 0.2, 1.0), "b": numbers("b", -1, 1, d)},
                x0="0.3 * draw.gaussian() + draw.uniform(size=())" if drawn else numbers("x0", -0.3, 0.3, d),
                projection={"none": None, "box": box, "ball": ("ball", 0.4 * d**0.5), "own": own_ball}[set_kind],
                **options,
            )
        )
    key = f"{case}: {len(made)} {name}, noise {noise}, {set_kind} set, dimension {d}, {words}"
    return Case(key, partial(simulate_quietly, made, arguments.pop("schedule"), **arguments))
