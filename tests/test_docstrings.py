"""Examples in docstrings are executed, and what users call has one. (That all have docstrings is the linter's.)"""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
from functools import cached_property

import pytest

import anneal_sgd

COMPILED = {"anneal_sgd._core"}
NOT_FOR_IMPORT = {"anneal_sgd.__main__"}
WITH_EXAMPLES = ("schedules", "problems", "_simulate", "results", "runtime")


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


def executable(home):
    """The examples of a module by the name of what they are of; doctest finds cached properties from Python 3.13 on."""
    found = {test.name: test for test in doctest.DocTestFinder().find(home, home.__name__)}
    classes = [c for c in vars(home).values() if inspect.isclass(c) and c.__module__ == home.__name__]
    for owner, (name, value) in ((c, item) for c in classes for item in vars(c).items()):
        if isinstance(value, cached_property):
            full = f"{home.__name__}.{owner.__qualname__}.{name}"
            test = doctest.DocTestParser().get_doctest(value.__doc__ or "", dict(vars(home)), full, home.__file__, None)
            found.setdefault(full, test)
    return {name: test for name, test in found.items() if test.examples}


def written(node, name):
    """What has an example in its docstring, as the source says: modules, classes, their methods, functions."""
    if ">>>" in (ast.get_docstring(node) or ""):
        yield name
    for child in [] if isinstance(node, ast.FunctionDef) else node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield from written(child, f"{name}.{child.name}")


@pytest.mark.parametrize("name", module_names())
def test_examples(name):
    """All of them, and every one that is written is executed."""
    home = module(name)
    found = executable(home)
    assert set(written(ast.parse(inspect.getsource(home)), name)) == set(found)
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert [full for full, test in found.items() if runner.run(test).failed] == []


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
