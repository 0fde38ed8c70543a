"""python -m ptx.random_calls SECONDS SEED: random ensembles on the GPU that is played, bit for bit the CPU's.

Ensembles are those of tests/random_ensembles.py; beside them vary the number of replicates, where launches are cut, and
the device's memory.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from anneal_sgd import Result, _core
from random_ensembles import FAMILIES, OF_DATA, Ensemble, assert_same_bits, ensembles

EXAMPLES = 20  # of Hypothesis's plan, after which the clock is looked at
FIELDS = ("samples", "mean", "stderr", "min", "max", "count", "diverged", "exceedance", "iterates")
SMALL = 1 << 22  # bytes, so that replicates come in groups and configs in parts


@st.composite
def _cuts(draw: st.DrawFn, family: str) -> dict[str, int]:
    """Options of the core for a device."""
    steps = st.sampled_from([{}, {}, *({"steps_per_launch": n} for n in (1, 3, 37, 128))])
    rows = st.sampled_from([{"rows_per_launch": n} for n in (1, 16, 70)])
    return draw(st.one_of(steps, rows) if family in OF_DATA else steps)


@st.composite
def _calls(draw: st.DrawFn) -> tuple[str, Ensemble, dict[str, int], int]:
    family = draw(st.sampled_from(sorted(FAMILIES)))
    ensemble = draw(ensembles(family))
    if family not in OF_DATA and draw(st.integers(0, 4)) == 0:
        more = draw(st.sampled_from([64, 70, 257, 1025]))
        first = min(ensemble.call.get("first_replicate", 0), 2**32 - more)
        ensemble.call.update(replicates=more, first_replicate=first)
    ensemble.call["keep_exceedance"] = draw(st.booleans())
    ensemble.call["keep_iterates"] = draw(st.booleans())
    return family, ensemble, draw(_cuts(family)), draw(st.sampled_from([0, 0, 0, SMALL]))


def _on_gpu(ensemble: Ensemble, cuts: dict[str, int], memory: int) -> Result:
    simulate, stream = _core.simulate, 2
    device = _core.open_cuda_device(0, stream, most_memory=memory)

    def with_cuts(*arguments: Any, **options: Any) -> Any:
        return simulate(*arguments, **{**options, **cuts, "devices": (device,)})

    with mock.patch.object(_core, "simulate", with_cuts):
        result: Result = ensemble.run(backend="cuda")
        return result


def main(seconds: float, first_seed: int) -> int:
    end, counts = time.monotonic() + seconds, Counter[str]()

    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(_calls())
    def compare(call: tuple[str, Ensemble, dict[str, int], int]) -> None:
        family, ensemble, cuts, memory = call
        if time.monotonic() > end:
            return
        try:
            got = _on_gpu(ensemble, cuts, memory)
        except MemoryError:
            counts["more than the memory"] += 1
            return
        expected = ensemble.run()
        for name in FIELDS:
            if getattr(expected, name) is None:
                assert getattr(got, name) is None
                continue
            assert_same_bits(getattr(got, name), getattr(expected, name), f"{name} of {ensemble}, {cuts}, {memory}")
        counts[f"{family} {ensemble.call['dtype']}"] += 1

    number = first_seed
    while time.monotonic() < end:
        seed(number)(compare)()
        number += 1
    print(f"seeds {first_seed} .. {number - 1}: equal bits in {counts.total()} calls: {dict(counts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2])))
