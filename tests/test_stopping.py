"""Stopping at a precision: what its intervals cover, on laws whose means are known."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest

from anneal_sgd._statistics import anytime_factor
from anneal_sgd.campaigns._precision import Precision

CHECK = runpy.run_path(str(Path(__file__).parent.parent / "docs" / "checks" / "stopping.py"))


def test_a_brownian_motion_leaves_the_boundary_as_rarely_as_promised():
    """At 1 % steps of time from 1 to 2^12: nearly all of the crossings that there are ever, and not more."""
    rng = np.random.default_rng(1)
    paths, confidence = 4000, 0.9
    times = 1024.0 * np.geomspace(1.0, 2.0**12, 850)
    steps = rng.standard_normal((paths, times.size)) * np.sqrt(np.diff(times, prepend=0.0))
    standardised = np.abs(np.cumsum(steps, axis=1)) / np.sqrt(times)
    left = np.mean((standardised > anytime_factor(times, confidence)).any(axis=1))
    error = math.sqrt(0.1 * 0.9 / paths)
    assert 0.07 < left < 0.1 + 3 * error
    assert np.mean((standardised > 1.644854).any(axis=1)) > 0.5  # the interval of one look, looked at again and again


@pytest.mark.parametrize("variation", [1.0, 8.0])
def test_what_intervals_cover_where_a_precision_stopped(variation):
    """Lognormal, 400 campaigns; limits of 3 standard errors of what 95 % of them show."""
    rng = np.random.default_rng(2)
    repetitions = 400
    precisions = [Precision(0.05), Precision(0.1, 0.95)]
    cells = np.array(
        [CHECK["stopped"](lambda n: CHECK["lognormal"](rng, variation, n), precisions) for _ in range(repetitions)]
    )
    stderr = np.sqrt(cells["m2"] / (cells["count"] - 1) / cells["count"])
    off = np.abs(cells["mean"] - 1.0)
    limit = 0.95 - 3 * math.sqrt(0.05 * 0.95 / repetitions)
    naive = np.mean(off[:, 0] <= 1.96 * stderr[:, 0])
    assert naive < limit if variation == 8.0 else naive > limit
    assert np.mean(off[:, 1] <= 0.1) > 0.95  # its half-width is at most the target
    assert np.mean(off[:, 1] <= anytime_factor(cells["count"][:, 1], 0.95) * stderr[:, 1]) > 0.95
