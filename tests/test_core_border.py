"""What the compiled core refuses by itself, whatever hands it over: nothing, numbers that would wrap, odd memory."""

from types import SimpleNamespace

import numpy as np
import pytest

from anneal_sgd import _core
from core_cases import COSINE, SEED, problem_pair, run

PROGRAM = {
    "dimension": 1,
    "registers": 2,
    "constants": np.array([1.0]),
    "parameter_count": 0,
    "numbers": np.empty(0),
    **dict.fromkeys(("prologue", "gradient", "value"), np.empty((0, 15), np.int64)),
    "draws": np.empty((0, 4), np.int64),
    "gradient_result": [0, 1, 0],
    "value_result": [0, 0, 0],
}
ENSEMBLE = {
    "schedules": [COSINE],
    "record_at": np.array([5]),
    "metrics": [_core.Metric.suboptimality],
    "iterate": _core.Iterate.last,
    "precision": _core.Precision.float64,
    "options": SimpleNamespace(
        horizon=5,
        tail_frac=0.5,
        ema_decay=0.5,
        average_degree=1.0,
        common_random_numbers=True,
        momentum=0.0,
        nesterov=False,
        weight_decay=0.0,
    ),
}
CALL = {"base_lr": np.array([0.1]), "seed": 1, "first_replicate": 0, "replicates": 2, "isa": "scalar", "threads": 1}
CELL = dict.fromkeys(("count", "diverged"), np.zeros((1, 1, 1), np.int64))
CELL |= dict.fromkeys(("mean", "m2", "minimum", "maximum"), np.zeros((1, 1, 1)))


def problem():
    return problem_pair("quadratic", "gaussian", "none", 3)[0]


def ensemble(**changes):
    return _core.Ensemble(**{"problems": problem(), **ENSEMBLE, **changes})


def test_nothing_is_refused():
    """None in the place of what Python holds for the core."""
    ends = np.ones((1, 1))
    program = {"projection": _core.ProjectionKind.none, "lower": -ends, "upper": ends, "x0": ends}
    program |= {"parameters": np.ones((1, 0)), "radius": np.ones(1), "minimum": np.ones(1)}
    for refused in (
        lambda: _core.Problems(program=None, **program),
        lambda: ensemble(problems=None),
        lambda: _core.simulate(None, **CALL),
        lambda: _core.Schedule(pieces=[None]),
        lambda: _core.SchedulePiece(None, begin=0.0, start=0.0, length=1.0),
    ):
        with pytest.raises(TypeError, match="incompatible"):
            refused()
    for message, refused in {
        "schedules: None is no schedule": lambda: ensemble(schedules=[COSINE, None]),
        "devices: None is no device": lambda: _core.simulate(ensemble(), **CALL, devices=(None,)),
    }.items():
        with pytest.raises(ValueError, match=message):
            refused()


LARGE, SMALL = 2**63 - 1, -(2**63)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"registers": SMALL}, "registers: -9223372036854775808 have no room"),
        ({"parameter_count": LARGE}, "registers: 2 have no room"),
        ({"draws": np.array([[0, LARGE, 0, 1]])}, r"draws: substreams must be in 0 \.\. 2\*\*32 - 1"),
        ({"state": LARGE}, r"state: 9223372036854775807 is not in 0 \.\. 2\*\*30"),
        ({"gradient_result": [0, 1, LARGE]}, "gradient_result: numbers must fit 32 bits"),
    ],
)
def test_numbers_of_a_program_that_would_wrap(changes, message):
    assert _core.Program(**PROGRAM)
    with pytest.raises(ValueError, match=message):
        _core.Program(**{**PROGRAM, **changes})


def test_an_instruction_ends_soon():
    """Though one number can be taken for any number of them."""
    total = [_core.Operation.sum.value, 2, 1, *[0, 0, 0] * 3, 0, 0]
    for count in (2**24 - 1, 2**24):
        code = np.array([[*total, count]])
        if count < 2**24:
            assert _core.Program(**{**PROGRAM, "registers": 3, "value": code})
        else:
            with pytest.raises(ValueError, match=r"value: length 1 and count 16777216 must be below 2\*\*24"):
                _core.Program(**{**PROGRAM, "registers": 3, "value": code})


def test_replicates_that_would_wrap():
    for first, count in ((2**62, 2**62), (1, 2**63 - 1), (2**32, 1), (0, 2**32 + 1)):
        with pytest.raises(ValueError, match="replicates: first_replicate"):
            _core.simulate(ensemble(), **{**CALL, "first_replicate": first, "replicates": count})


def test_moments_are_of_replicates_that_there_are():
    def made(start, stop, **cells):
        cells = {name: np.full((1, 1, 1), value) for name, value in cells.items()}
        return _core.Moments(ranges=np.array([[start, stop]]), **{**CELL, **cells})

    assert made(5, 2**32, count=2**32 - 6, diverged=1).total().count.item() == 2**32 - 6
    for start, stop in ((0, 2**32 + 1), (0, 2**63 - 1), (3, 3), (-1, 3)):
        with pytest.raises(ValueError, match="ranges: every start must be >= 0 and below its stop"):
            made(start, stop)
    for counts in ({"count": 4}, {"count": -1}, {"diverged": 4}, {"diverged": -1}, {"count": 2, "diverged": 2}):
        with pytest.raises(ValueError, match="count, diverged: must be >= 0, and together at most the replicates"):
            made(0, 3, **counts)


def misaligned(array):
    """The same numbers, at addresses that are no multiple of their size."""
    memory = np.empty(array.nbytes + 1, np.uint8)[1:]
    memory[:] = array.reshape(-1).view(np.uint8)
    odd = memory.view(array.dtype).reshape(array.shape)
    assert not odd.flags.aligned
    return odd


def test_numbers_may_lie_anywhere():
    """They are copied to where they can be read; what the core writes to must lie well."""
    base_lr, record_at = np.array([0.1, 0.3]), np.array([2, 5])
    expected, _ = run(problem(), [COSINE], horizon=5, base_lr=base_lr, record_at=record_at)
    samples = np.empty_like(expected)
    odd = ensemble(record_at=misaligned(record_at), precision=_core.Precision.float32)
    size = {**CALL, "base_lr": misaligned(base_lr), "seed": SEED, "replicates": samples.shape[-1], "samples": samples}
    _core.simulate(odd, **size)
    np.testing.assert_array_equal(samples, expected)
    counts = np.zeros((2, 2, _core.EXCEEDANCE_BINS), np.int64)
    with pytest.raises(ValueError, match="exceedance: must be C-contiguous, aligned and writable int64"):
        _core.simulate(odd, **size, exceedance=misaligned(counts))
