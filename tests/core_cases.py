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
    **on_device,
):
    """Samples (configs, records x metrics, replicates), or None, and the moments: of an instruction set or a device."""
    base_lr, record_at = np.array(base_lr), np.array([horizon] if record_at is None else record_at)
    ensemble = _core.Ensemble(
        problems=problems,
        schedules=list(schedules),
        base_lr=base_lr,
        record_at=record_at,
        metrics=[Metric[name] for name in metrics],
        iterate=Iterate[iterate],
        precision=Precision[dtype],
        options=SimpleNamespace(
            horizon=horizon,
            tail_frac=tail_frac,
            common_random_numbers=shared,
            seed=seed,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
        ),
    )
    configs = problems.count * len(schedules) * base_lr.size
    samples = np.full((configs, record_at.size * len(metrics), replicates), np.nan, dtype) if keep else None
    moments = _core.simulate(
        ensemble,
        first_replicate=first,
        replicates=replicates,
        isa=isa or _core.supported_isas()[-1],
        threads=threads,
        samples=samples,
        poll=poll,
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
    ("constant", 0.0, "linear", ()),
    ("inverse_sqrt", 0.0, "linear", ()),
    ("inverse_sqrt", 0.03, "linear", ()),
    ("polynomial", 2.0, "linear", ()),
    ("polynomial", 0.5, "linear", ()),
    ("polynomial", 2.5, "linear", ()),
    ("polynomial", 1.7, "linear", ()),
    ("polynomial", 40.3, "linear", ()),
    ("linear", 0.0, "linear", ()),
    ("cosine", 0.0, "linear", ()),
    ("one_minus_sqrt", 0.0, "linear", ()),
    ("exponential", 0.001, "linear", ()),
    ("step_decay", 0.3, "linear", (0.3, 0.5, 0.77)),
    ("warmup_stable_decay", 0.4, "linear", ()),
    ("warmup_stable_decay", 0.4, "cosine", ()),
    ("warmup_stable_decay", 0.4, "one_minus_sqrt", ()),
]


def fields(moments):
    return {
        name: getattr(moments, name) for name in ("ranges", "count", "diverged", "mean", "m2", "minimum", "maximum")
    }


def assert_same(a, b):
    for name, value in fields(a).items():
        np.testing.assert_array_equal(value, fields(b)[name], err_msg=name)
