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
def test_cuda_architectures_are_those_named_or_of_the_gpus(tmp_path):
    pybind11 = pytest.importorskip("pybind11")
    definitions = {"Python_EXECUTABLE": sys.executable, "pybind11_DIR": pybind11.get_cmake_dir()}
    smi = tmp_path / "nvidia-smi"

    def architectures(prints, status=0, **named):
        smi.write_text(f"#!/bin/sh\nprintf '{prints}'\nexit {status}\n", encoding="utf-8")
        smi.chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if name != "CUDAARCHS"} | named
        environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
        options = [f"-D{name}={value}" for name, value in definitions.items()]
        command = ["cmake", "-S", str(ROOT), "-B", str(tmp_path / "build"), *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return re.search(r"CUDA backend: \S+ for (\S+)", done.stdout).group(1)

    unknown = "75-virtual;80-real;90"
    assert architectures("NVIDIA-SMI has failed.\\n", status=9) == unknown
    assert architectures("9.0\\n8.6\\n9.0\\n") == "90;86"
    assert architectures("9.0\\n99.0\\n") == unknown  # newer than the compiler
    assert architectures("9.0\\n", CUDAARCHS="75;90") == "75;90"
    assert architectures("9.0\\n", CUDAARCHS="75;90") == "75;90"
