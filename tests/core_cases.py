"""What the conformance tests of every backend run over: kinds, schedules, a problem in two forms."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from anneal_sgd import _core, reference
from anneal_sgd._core import Iterate, Metric, NoiseKind, Precision, ProblemKind, ProjectionKind, ScheduleKind

SEED = 2**40 + 12345
KINDS = [kind.name for kind in ProblemKind]
NOISES = [kind.name for kind in NoiseKind]
PROJECTIONS = [kind.name for kind in ProjectionKind]
ITERATES = [kind.name for kind in Iterate]
DTYPES = ["float32", "float64"]
COSINE = _core.Schedule(ScheduleKind.cosine)
PER_THREAD_STREAM = 2


def problem_pair(kind, noise, projection, dimension, rng_seed=0):
    """The same problem for the core and for the reference, with a parameter of its own in every coordinate."""
    rng = np.random.default_rng([rng_seed, dimension])
    parameters = {
        "weight": rng.uniform(0.1, 0.9, dimension),
        "noise_std": rng.uniform(0.2, 1.0, dimension),
        "lower": rng.uniform(-0.8, -0.4, dimension),
        "upper": rng.uniform(0.3, 0.9, dimension),
        "x0": rng.uniform(-0.3, 0.3, dimension),
    }
    parameters["lower"][1::2] = -parameters["upper"][1::2]  # boxes around 0 are clamped in a way of their own
    width, radius, minimum = 0.15, 0.4 * dimension**0.5, 0.01
    core = _core.Problems(
        kind=ProblemKind[kind],
        noise=NoiseKind[noise],
        projection=ProjectionKind[projection],
        shape_parameter=np.array([width]),
        radius=np.array([radius]),
        minimum=np.array([minimum]),
        **{name: value[None, :] for name, value in parameters.items()},
    )
    slow = reference.Problem(
        kind,
        noise=noise,
        projection=projection,
        shape_parameter=width,
        radius=radius,
        minimum=minimum,
        **parameters,
    )
    return core, slow


def stacked_pairs(kind, noise, projection, dimension, count):
    """Several problems as one axis for the core, and each in both forms."""
    pairs = [problem_pair(kind, noise, projection, dimension, rng_seed=k) for k in range(count)]
    arrays = {
        name: np.concatenate([np.asarray(getattr(slow, name), float)[None] for _, slow in pairs])
        for name in ("weight", "noise_std", "lower", "upper", "x0")
    }
    numbers = {
        name: np.array([getattr(slow, name) for _, slow in pairs]) for name in ("shape_parameter", "radius", "minimum")
    }
    kinds = {"kind": ProblemKind[kind], "noise": NoiseKind[noise], "projection": ProjectionKind[projection]}
    return _core.Problems(**kinds, **arrays, **numbers), pairs


def run(
    problems,
    schedules,
    *,
    horizon=40,
    replicates=9,
    first=0,
    base_lr=(0.3,),
    dtype="float32",
    record_at=None,
    iterate="last",
    tail_frac=0.3,
    ema_decay=0.9,
    average_degree=2.5,
    shared=True,
    seed=SEED,
    isa=None,
    threads=1,
    keep=True,
    poll=None,
    momentum=0.0,
    nesterov=False,
    weight_decay=0.0,
    metrics=("suboptimality",),
    device=None,
    **on_device,
):
    """Samples (configs, records x metrics, replicates), or None, and the moments.

    Of an instruction set, of a device, or of a tuple of devices.
    """
    base_lr, record_at = np.array(base_lr), np.array([horizon] if record_at is None else record_at)
    ensemble = _core.Ensemble(
        problems=problems,
        schedules=list(schedules),
        record_at=record_at,
        metrics=[Metric[name] for name in metrics],
        iterate=Iterate[iterate],
        precision=Precision[dtype],
        options=SimpleNamespace(
            horizon=horizon,
            tail_frac=tail_frac,
            ema_decay=ema_decay,
            average_degree=average_degree,
            common_random_numbers=shared,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
        ),
    )
    configs = problems.count * len(schedules) * base_lr.size
    samples = np.full((configs, record_at.size * len(metrics), replicates), np.nan, dtype) if keep else None
    moments = _core.simulate(
        ensemble,
        base_lr,
        seed,
        first_replicate=first,
        replicates=replicates,
        isa=isa or _core.supported_isas()[-1],
        threads=threads,
        samples=samples,
        poll=poll,
        devices=() if device is None else device if isinstance(device, tuple) else (device,),
        **on_device,
    )
    return samples, moments


def both(device, problems, schedules=(COSINE,), **size):
    """Samples and moments from the CPU backend and from the device."""
    return run(problems, schedules, device=None, **size), run(problems, schedules, device=device, **size)


def assert_equal(pair):
    (samples, moments), (device_samples, device_moments) = pair
    np.testing.assert_array_equal(device_samples, samples)
    assert_same(device_moments, moments)


SCHEDULES = [
    {"kind": "constant"},
    {"kind": "inverse_power", "parameter": 0.5},
    {"kind": "inverse_power", "parameter": 0.5, "timescale_frac": 0.03},
    {"kind": "inverse_power", "parameter": 1.0, "timescale_frac": 0.2},
    {"kind": "inverse_power", "parameter": 0.7},
    *({"kind": "polynomial", "parameter": degree} for degree in (2.0, 0.5, 2.5, 1.7, 40.3)),
    {"kind": "linear"},
    {"kind": "cosine"},
    {"kind": "one_minus_sqrt"},
    {"kind": "exponential", "parameter": 0.001},
    {"kind": "step_decay", "parameter": 0.3, "table": (0.3, 0.5, 0.77)},
    *(
        {"kind": "warmup_stable_decay", "parameter": 0.4, "cooldown": shape}
        for shape in ("linear", "cosine", "one_minus_sqrt")
    ),
]
TABLES = [
    {"kind": "tabulated", "table": np.linspace(1, 0, 7) ** 2},
    {"kind": "knots", "table": (0.0, 0.1, 0.10001, 0.7, 1.0, 1.0, 0.9, 0.2, 0.4, 0.0)},
    {"kind": "per_step", "table": np.cos(np.arange(131)) ** 2},
]
PIECES = [
    {"begin": 0, "start": 0, "length": 11, "reversed": True, "shape": {"kind": "cosine", "floor": 0.1}},
    {"begin": 11, "start": 2.5, "length": 20, "scale": 0.9, "shape": {"kind": "polynomial", "parameter": 1.7}},
    {"begin": 16.5, "start": 16.5, "length": 9.3, "runs": 3, "shape": {"kind": "cosine", "warmup_frac": 0.2}},
    {"begin": 50, "start": 40, "length": 60, "stride": 7, "shape": {"kind": "exponential", "parameter": 0.01}},
    {"begin": 72, "start": 72, "length": 9, "shape": {"kind": "inverse_power", "parameter": 1.0}},
    {"begin": 90, "start": 85, "length": 30, "scale": 0.5, "shape": TABLES[2]},
    {"begin": 100, "start": 100, "length": 31, "shape": TABLES[1]},
]


def label(parameters):
    """Of a test of one such schedule."""
    return "-".join(str(value) for value in parameters.values() if isinstance(value, str | float))


def schedule_pair(kind, *, cooldown="linear", table=(), **parameters):
    """The same schedule for the core and for the reference."""
    core = _core.Schedule(
        ScheduleKind[kind], cooldown=_core.CooldownShape[cooldown], table=np.array(table, float), **parameters
    )
    return core, reference.Schedule(kind, cooldown=cooldown, table=table, **parameters)


def joined_pair(pieces):
    """A schedule of pieces for the core and for the reference."""
    core, slow = [], []
    for piece in pieces:
        times = {key: value for key, value in piece.items() if key != "shape"}
        for made, cls, shape in zip(
            (core, slow), (_core.SchedulePiece, reference.Piece), schedule_pair(**piece["shape"]), strict=True
        ):
            made.append(cls(shape, **times))
    return _core.Schedule(pieces=core), reference.Schedule("joined", pieces=slow)


def fields(moments):
    return {
        name: getattr(moments, name) for name in ("ranges", "count", "diverged", "mean", "m2", "minimum", "maximum")
    }


def assert_same(a, b):
    for name, value in fields(a).items():
        np.testing.assert_array_equal(value, fields(b)[name], err_msg=name)
