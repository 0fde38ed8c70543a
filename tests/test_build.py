"""Configuring the build, without building."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not all(map(shutil.which, ("cmake", "nvcc"))), reason="needs cmake and nvcc")
def test_cuda_architectures_named_later_replace_the_default(tmp_path):
    pybind11 = pytest.importorskip("pybind11")
    definitions = {"Python_EXECUTABLE": sys.executable, "pybind11_DIR": pybind11.get_cmake_dir()}

    def architectures(**named):
        environment = {name: value for name, value in os.environ.items() if name != "CUDAARCHS"} | named
        options = [f"-D{name}={value}" for name, value in definitions.items()]
        command = ["cmake", "-S", str(ROOT), "-B", str(tmp_path), *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return re.search(r"CUDA backend: \S+ for (\S+)", done.stdout).group(1)

    assert architectures().startswith("75;80")
    assert architectures(CUDAARCHS="75;90") == "75;90"
    assert architectures(CUDAARCHS="75;90") == "75;90"
