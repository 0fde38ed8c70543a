"""Every benchmark case runs, at tiny size, so that none rots; the table of what the kernels take is current."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench"


def test_every_case_runs():
    done = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), "--tiny", "--repeats", "1", "--threads", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    cases = (BENCH / "cases.py").read_text(encoding="utf-8").split("GPU_CASES")[0]
    for line in cases.splitlines():
        if line.strip().startswith('Case("'):
            assert f"| {line.split(chr(34))[1]} | 1 |" in done.stdout


def test_every_case_for_gpus_runs_on_the_cpu(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            str(BENCH / "gpu.py"),
            "--tiny",
            "--repeats",
            "1",
            "--backend",
            "cpu",
            "--output",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["disagreeing"] == []
    assert "| abs-gaussian | anneal_sgd |" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("cases", [[], ["--gpu"]])
def test_every_case_on_data_runs(tmp_path, cases):
    arguments = ["--tiny", "--rounds", "1", "--json", str(tmp_path / "data.json"), *cases]
    done = subprocess.run(
        [sys.executable, str(BENCH / "data.py"), *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("logistic-1", "logistic-16", "logistic-1-shared", "logistic-16-shared", "mlp-digits-32"):
        assert f"| {'gpu-' if cases else ''}{name} | anneal_sgd |" in done.stdout
    assert json.loads((tmp_path / "data.json").read_text())


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_no_kernel_spills_and_the_table_is_current():
    done = subprocess.run(
        [sys.executable, str(BENCH / "kernel_resources.py"), "--check"],
        env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},  # nvcc fails under a sanitizer
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_table_is_made_with_the_options_of_the_build():
    text = (BENCH / "kernel_resources.py").read_text(encoding="utf-8")
    options = re.findall(r'"(--[a-z=-]+)"', text.split("OPTIONS = ", 1)[1].splitlines()[0])
    assert f"set(cuda_options {' '.join(options)} " in (BENCH.parent / "CMakeLists.txt").read_text(encoding="utf-8")
