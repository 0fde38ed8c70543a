"""The suite in an environment of NumPy and pytest alone: every module is collected, and the core's tests run."""

import os
import re
import subprocess
from pathlib import Path

import pytest

import anneal_sgd
from anneal_sgd import _core
from environments import environment, link, site_packages

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of the environment, which has this package too."""
    folder = tmp_path_factory.mktemp("environment")
    python = environment(folder, "numpy", "pytest")
    package = site_packages(folder) / "anneal_sgd"
    package.mkdir()
    link([Path(_core.__file__), *Path(anneal_sgd.__file__).parent.iterdir()], package)
    return python


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
