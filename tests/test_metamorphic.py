"""What must not matter does not: threads, instruction sets, devices, splits, the company of other configs and records.

Random ensembles, overflowing ones among them. The bits of every trajectory that two runs have are equal.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from anneal_sgd import _core, runtime
from bit_cases import on
from random_ensembles import FAMILIES, Ensemble, assert_same_bits, ensembles, picked

hypothesis = pytest.importorskip("hypothesis")
HealthCheck, given, settings, st = hypothesis.HealthCheck, hypothesis.given, hypothesis.settings, hypothesis.strategies

SHORT = settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
STATISTICS = ("mean", "stderr", "min", "max", "count", "diverged")


def check(ensemble: Ensemble, data: st.DataObject) -> None:
    expected = ensemble.run(isa="scalar", threads=1)
    samples = np.asarray(expected.samples)
    np.testing.assert_array_equal(expected.diverged, (~np.isfinite(samples)).sum(axis=-1))

    def compare(result, what):
        assert_same_bits(result.samples, samples, what)
        for name in STATISTICS:
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), err_msg=f"{what}: {name}")

    for isa in runtime.supported_isas():
        compare(ensemble.run(isa=isa, threads=1), isa)
    isa = data.draw(st.sampled_from(runtime.supported_isas()), "isa")
    threads = data.draw(st.integers(2, 16), "threads")
    compare(ensemble.run(isa=isa, threads=threads), f"{isa} with {threads} threads")
    steps, rows = data.draw(st.integers(0, 40), "steps per launch"), data.draw(st.integers(0, 40), "rows per launch")
    with on(_core.testing.emulated_device(), steps_per_launch=steps, rows_per_launch=rows):
        compare(ensemble.run(), "emulated device")

    check_splits(ensemble, data, samples, isa)
    check_records(ensemble, data, samples, isa)
    check_configs(ensemble, data, samples, isa)


def check_splits(ensemble, data, samples, isa):
    """Replicates in several runs."""
    first, n = ensemble.call["first_replicate"], ensemble.call["replicates"]
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1), max_size=3), "cuts")) if n > 1 else []
    for begin, end in itertools.pairwise([0, *cuts, n]):
        part = ensemble.run(first_replicate=first + begin, replicates=end - begin, isa=isa)
        assert_same_bits(part.samples, samples[..., begin:end], f"replicates {begin} to {end}")


def check_records(ensemble, data, samples, isa):
    """Fewer recorded steps, so that the horizon is cut otherwise."""
    records = ensemble.call["record_at"]
    kept = sorted(picked(data.draw, records))
    axis = samples.ndim - (3 if "metric" in ensemble.call else 2)
    found = ensemble.run(record_at=[records[i] for i in kept], isa=isa).samples
    assert_same_bits(found, np.take(samples, kept, axis=axis), f"records {kept}")


def check_configs(ensemble, data, samples, isa):
    """Some of the configs, in another order. Without common random numbers a config's number is its stream."""
    if ensemble.call["common_random_numbers"]:
        p, s, r = (picked(data.draw, axis) for axis in (ensemble.problems, ensemble.schedules, ensemble.base_lr))
    else:
        p, s, r = (0,), tuple(range(len(ensemble.schedules))), tuple(range(len(ensemble.base_lr)))
    found = ensemble.run(
        problem=[ensemble.problems[i] for i in p],
        schedule=[ensemble.schedules[i] for i in s],
        base_lr=[ensemble.base_lr[i] for i in r],
        isa=isa,
    )
    assert_same_bits(found.samples, samples[np.ix_(p, s, r)], f"configs {p} x {s} x {r}")


@pytest.mark.parametrize("family", FAMILIES)
@SHORT
@given(st.data())
def test_what_must_not_matter_changes_no_bit(family, data):
    check(data.draw(ensembles(family)), data)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@LONG
@given(st.data())
def test_the_same_of_very_many_ensembles(family, data):
    check(data.draw(ensembles(family)), data)
