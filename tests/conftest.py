"""Options and fixtures that the whole suite shares."""

from __future__ import annotations

import pytest

from anneal_sgd import runtime

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


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Every backend by turns; one that is missing skips the test, or fails it under --require-backend."""
    name = str(request.param)
    need(name, request)
    return name


@pytest.fixture
def need_cuda(request: pytest.FixtureRequest) -> None:
    """For tests of the CUDA backend alone; skips or fails like `backend`."""
    need("cuda", request)


def need(backend: str, request: pytest.FixtureRequest) -> None:
    reason = runtime.why_unavailable(backend)
    if reason:
        report = pytest.fail if backend in request.config.getoption("--require-backend") else pytest.skip
        report(f"backend {backend}: {reason}")
