"""The bits of trajectories and statistics are those that were recorded: a change of them is never by chance.

A change that is meant raises STREAM_VERSION, and `python tests/record_bits.py` writes the new ones.
"""

from __future__ import annotations

import itertools
import re

import pytest

from anneal_sgd import STREAM_VERSION, _core, methods, problems
from bit_cases import (
    DTYPES,
    EMULATED_STRIDE,
    ITERATES,
    LOSSES,
    METHODS,
    MODELS,
    MORE_OWN_NOISES,
    NOISES,
    OWN_LOSS_MODELS,
    SAMPLINGS,
    SCHEDULES,
    SEPARABLE,
    SETS,
    WEIGHING_ITERATES,
    cases,
    hash_of,
    on,
    recorded,
)

CASES = list(cases())


def check(found):
    """All at once, so that a failure tells which combinations have other bits."""
    _, expected = recorded()
    changed = [key for key, value in found.items() if expected[key] != value]
    assert not changed, f"{len(changed)} of {len(found)} ensembles have other bits:\n" + "\n".join(changed)


def test_the_recorded_bits_are_of_this_version_and_of_these_cases():
    version, expected = recorded()
    assert version == STREAM_VERSION, "run tests/record_bits.py"
    assert list(expected) == [case.key for case in CASES], "run tests/record_bits.py"


@pytest.mark.parametrize("threads", [1, 3])
def test_every_instruction_set_has_the_recorded_bits(isa, threads):
    picked = CASES if threads == 1 else CASES[::11]
    check({case.key: hash_of(case.run(isa=isa, threads=threads)) for case in picked})


def test_the_emulated_device_has_the_recorded_bits():
    with on(_core.testing.emulated_device()):
        check({case.key: hash_of(case.run()) for case in CASES[::EMULATED_STRIDE]})
    with on(_core.testing.emulated_device(fail_at=1)), pytest.raises(RuntimeError, match="emulated device"):
        CASES[0].run()  # it was there that they ran


def test_a_change_of_bits_names_the_combination():
    case = next(case for case in CASES if "gaussian noise" in case.key)
    other = case.run(seed=case.run.keywords["seed"] ^ 1)
    with pytest.raises(AssertionError, match=case.key[:13]):
        check({case.key: hash_of(other)})


def test_every_kind_is_among_the_cases():
    """What the core names, so that a new kind comes here too."""
    assert set(NOISES) == {kind.name for kind in _core.NoiseKind}
    assert set(SETS) == {kind.name for kind in _core.ProjectionKind}
    assert {*ITERATES, *WEIGHING_ITERATES} == {kind.name for kind in _core.Iterate}
    assert set(DTYPES) == {kind.name for kind in _core.Precision}
    assert set(SAMPLINGS) == {kind.name for kind in _core.Sampling}
    assert len(SEPARABLE) == len(_core.ProblemKind)
    assert {getattr(problems, model.split()[0])._loss for model in MODELS} == set(_core.Loss) - {_core.Loss.own}
    classes = {type(schedule).__name__ for schedule in SCHEDULES.values()}
    kinds = {kind.name.title().replace("_", "") for kind in _core.ScheduleKind}
    assert classes == kinds - {"Knots", "PerStep"} | {"InverseSqrt", "Joined"}
    assert any(getattr(schedule, "at", None) is not None for schedule in SCHEDULES.values())  # knots
    text = "\n".join(case.key for case in CASES)
    for option in (*NOISES, *SETS, *ITERATES, *WEIGHING_ITERATES, *DTYPES, *SAMPLINGS, *SEPARABLE, *MODELS, *SCHEDULES):
        assert option in text
    taken = {type(method).__name__ for method in METHODS.values() if isinstance(method, methods.Method)}
    assert taken | {"Custom"} == set(methods.__all__) - {"Method", "Following", "by_name", "from_torch", "names"}
    for name in METHODS:
        assert re.search(rf"^method .*, {name}, start", text, re.M)
    for noise in MORE_OWN_NOISES:
        assert re.search(rf"^method .* noise {re.escape(noise)}, ", text, re.M)
    for loss in (*LOSSES, None):
        assert re.search(rf"^own data .* loss {re.escape(str(loss))}$", text, re.M)
    for model in OWN_LOSS_MODELS:
        assert re.search(rf"^own data .*: {model} \d.*[)\d]$", text, re.M)
    for kind, noise, shape in itertools.product(SEPARABLE, NOISES, SETS):
        assert f"{kind}, {noise} noise, {shape} set" in text
