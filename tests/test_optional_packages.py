"""The suite in an environment of NumPy and pytest alone: every module is collected, and the core's tests run."""

import os
import re
import subprocess
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import anneal_sgd
from anneal_sgd import _core

ROOT = Path(__file__).parent.parent


def required(*names):
    """These distributions and all that they require here."""
    found, wanted = {}, list(names)
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        needs = map(Requirement, found[name].requires or ())
        wanted += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found.values()


def link(sources, folder):
    for source in sources:
        if source.exists() and not (folder / source.name).exists():
            (folder / source.name).symlink_to(source)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment that has links to what is installed here: no index is asked."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for distribution in required("numpy", "pytest"):
        if distribution.files is None:
            pytest.skip(f"{distribution.name} does not list its files, so that it cannot be linked")
        tops = {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}
        link([Path(distribution.locate_file(top)) for top in tops], site)
    package = site / "anneal_sgd"
    package.mkdir()
    link([Path(_core.__file__), *Path(anneal_sgd.__file__).parent.iterdir()], package)
    return folder / "bin" / "python"


def run_pytest(python, *arguments):
    ours = ("PYTHONPATH", "PYTHONHOME", "PYTEST_ADDOPTS", "PYTEST_PLUGINS")
    return subprocess.run(
        [python, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments],
        env={name: value for name, value in os.environ.items() if name not in ours},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_module_is_collected_with_numpy_and_pytest_alone(python):
    alone = subprocess.run([python, "-c", "import scipy"], capture_output=True, text=True, check=False)
    assert "No module named 'scipy'" in alone.stderr
    done = run_pytest(python, "--collect-only")
    assert done.returncode == 0, done.stdout + done.stderr
    collected = {line.split("::", 1)[0] for line in done.stdout.splitlines() if "::" in line}
    skipped = set(re.findall(r"^SKIPPED .*could not import '(\w+)", done.stdout, re.MULTILINE))
    assert {"tests/test_bits.py", "tests/test_conformance.py", "tests/test_cuda.py"} <= collected
    assert "hypothesis" in skipped


def test_the_tests_of_the_core_run_there(python):
    done = run_pytest(python, "tests/test_draws.py", "tests/test_conformance.py::test_averages_equal_the_reference")
    assert done.returncode == 0, done.stdout + done.stderr
    passed, skipped = (int(re.search(rf"(\d+) {word}", done.stdout)[1]) for word in ("passed", "skipped"))
    assert passed > skipped > 0
    assert "could not import 'scipy" in done.stdout
