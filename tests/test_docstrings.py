"""Examples in docstrings are executed, and what users call has one. (That all have docstrings is the linter's.)"""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import anneal_sgd

COMPILED = {"anneal_sgd._core"}
NOT_FOR_IMPORT = {"anneal_sgd.__main__"}
WITH_EXAMPLES = ("schedules", "problems", "simulate", "results", "runtime")


def module_names():
    found = pkgutil.walk_packages(anneal_sgd.__path__, "anneal_sgd.")
    return ["anneal_sgd", *sorted({m.name for m in found} - COMPILED - NOT_FOR_IMPORT)]


def module(name):
    if name.startswith("anneal_sgd._core"):
        pytest.skip("compiled")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith("anneal_sgd"):
            raise
        pytest.skip(f"{missing.name} is not installed")


@pytest.mark.parametrize("name", module_names())
def test_examples(name):
    failed, _ = doctest.testmod(module(name), verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def public_objects():
    for short in WITH_EXAMPLES:
        home = importlib.import_module(f"anneal_sgd.{short}")
        for name in home.__all__:
            thing = getattr(home, name)
            if inspect.isclass(thing) or inspect.isroutine(thing):
                yield pytest.param(thing, id=f"{short}.{name}")


@pytest.mark.parametrize("thing", list(public_objects()))
def test_everything_public_has_an_example(thing):
    assert ">>>" in (thing.__doc__ or "")
