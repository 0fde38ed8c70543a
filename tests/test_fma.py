"""fma and fmaf as Windows gets them (csrc/cpu/fma_mingw.cpp), compared with those of this machine's C library."""

import ctypes
import ctypes.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).parent.parent / "csrc" / "cpu" / "fma_mingw.cpp"
COMPILER = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
MATHEMATICS = ctypes.util.find_library("m")
TYPES = {"fma": (np.float64, ctypes.c_double), "fmaf": (np.float32, ctypes.c_float)}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    built = tmp_path_factory.mktemp("fma") / "fma.so"
    options = ["-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run([COMPILER, *options, str(SOURCE), "-o", str(built)], check=True)
    return ctypes.CDLL(str(built)), ctypes.CDLL(MATHEMATICS)


def cases(real, count, rng):
    """Triples (x, y, z) of any bits, of sums that cancel, near ties, and near the smallest and the greatest numbers."""
    info = np.finfo(real)
    unsigned = np.dtype(f"u{real().nbytes}")
    anything = rng.integers(0, 2 ** (8 * real().nbytes), (count, 3), dtype=unsigned).view(real)
    x, y = real(1 + rng.random((2, count))) * real(2.0) ** rng.integers(-8, 8, (2, count)).astype(real)
    product = x * y
    cancelling = np.stack([x, y, -product], axis=1)
    nearly = np.stack([x, y, np.nextafter(-product, real(0))], axis=1)
    # Few bits, so that exact sums are often in the middle between two numbers; terms of any distance.
    few = real(rng.integers(1, 2**13, (count, 3)) * rng.choice([-1, 1], (count, 3)))
    distant = few * real(2.0) ** rng.integers(-info.nmant - 14, info.nmant + 14, (count, 3)).astype(real)
    # Ties of a product that a sum is too short for, and products that are hardly more than half of a sum's last bit.
    tiny = real(2.0) ** rng.integers(-140, -100, count).astype(real) * few[:, 2]
    tied = np.stack([1 + info.eps * real(rng.integers(0, 64, count)), real(1.5) + 0 * x, tiny], axis=1)
    h = real(2.0) ** -rng.integers(2, info.nmant // 2 + 1, count).astype(real)
    hardly = np.stack([1 + h, 1 - h + h * h, few[:, 2] / info.eps * 2], axis=1)
    scale = real(2.0) ** real(info.minexp // 2 - rng.integers(0, info.nmant // 2 + 4, count))
    small = np.stack([x * scale, y * scale, few[:, 2] * info.smallest_subnormal], axis=1)
    scale = real(2.0) ** real(info.maxexp // 2 - rng.integers(-1, 8, count))
    great = np.stack([x * scale, y * scale, -product * scale], axis=1)
    special = real([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, info.tiny, -info.smallest_subnormal, info.max, 0.1])
    corners = np.stack(np.meshgrid(special, special, special), axis=-1).reshape(-1, 3)
    return np.concatenate([anything, cancelling, nearly, few, distant, tied, hardly, small, great, corners]).astype(
        real
    )


@pytest.mark.skipif(COMPILER is None or MATHEMATICS is None, reason="needs a C++ compiler and a C library")
@pytest.mark.parametrize("name", TYPES)
def test_it_rounds_once(name, libraries):
    real, c_type = TYPES[name]
    functions = [getattr(library, name) for library in libraries]
    for function in functions:
        function.restype, function.argtypes = c_type, [c_type] * 3
    with np.errstate(all="ignore"):
        triples = cases(real, 10_000, np.random.default_rng(1))
        naive = triples[:, 0] * triples[:, 1] + triples[:, 2]
    result, expected = (np.array([function(*t) for t in triples.tolist()], real) for function in functions)
    differs = ~((result == expected) & (np.signbit(result) == np.signbit(expected))) & ~(
        np.isnan(result) & np.isnan(expected)
    )
    assert not differs.any(), (triples[differs], result[differs], expected[differs])
    assert (naive != expected).mean() > 0.1  # else rounding was not tested
