"""Options and fixtures that the whole suite shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from anneal_sgd import _core, runtime
from core_cases import PER_THREAD_STREAM

BACKENDS = ("cpu", "cuda")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well (or choose with -m)")
    parser.addoption(
        "--require-backend",
        action="append",
        default=[],
        choices=BACKENDS,
        help="fail, rather than skip, where this backend is not available; may be given several times",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow") or "slow" in config.getoption("-m"):
        return
    skip = pytest.mark.skip(reason="slow: run with --slow or -m slow")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


@pytest.fixture(params=runtime.supported_isas())
def isa(request: pytest.FixtureRequest) -> str:
    """Every instruction set of this machine, by turns."""
    return str(request.param)


@pytest.fixture(params=[1, 2])
def way(request: pytest.FixtureRequest) -> Iterator[int]:
    """Both ways of what the CPU does in the faster of two."""
    _core.testing.take_way(request.param)
    yield request.param
    _core.testing.take_way(0)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Every backend by turns; one that is missing skips the test, or fails it under --require-backend."""
    name = str(request.param)
    need(name, request)
    return name


@pytest.fixture
def stats() -> ModuleType:
    """SciPy's tests of distributions; without it the test is skipped."""
    return pytest.importorskip("scipy.stats")


@pytest.fixture
def need_cuda(request: pytest.FixtureRequest) -> None:
    """For tests of the CUDA backend alone; skips or fails like `backend`."""
    need("cuda", request)


@pytest.fixture(params=["emulated", "gpu"])
def device(request: pytest.FixtureRequest) -> _core.Device:
    """A device to compare with the CPU backend; where there is no GPU the second is skipped, or fails if required."""
    if request.param == "emulated":
        return _core.testing.emulated_device()
    need("cuda", request)
    return _core.open_cuda_device(0, PER_THREAD_STREAM)


@pytest.fixture(params=["emulated", "gpu"])
def small_device(request: pytest.FixtureRequest) -> Callable[[int], _core.Device]:
    """Makes devices with little memory."""
    if request.param == "emulated":
        return lambda memory: _core.testing.emulated_device(memory=memory)
    need("cuda", request)
    return lambda memory: _core.open_cuda_device(0, PER_THREAD_STREAM, most_memory=memory)


def need(backend: str, request: pytest.FixtureRequest) -> None:
    reason = runtime.why_unavailable(backend)
    if reason:
        report = pytest.fail if backend in request.config.getoption("--require-backend") else pytest.skip
        report(f"backend {backend}: {reason}")
