"""Build the package for the GPU of this machine, in a folder of its own: python bench/gpu/build.py FOLDER

The last line printed is `anneal_sgd.runtime.info()` of what was built, as JSON. Needs nvcc, cmake, pybind11; no index.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOLD = """
import json, sys, anneal_sgd
assert anneal_sgd.__file__.startswith(sys.argv[1]), f"another anneal_sgd is installed: {anneal_sgd.__file__}"
print(json.dumps(anneal_sgd.runtime.info()))
"""


def output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    work = Path(sys.argv[1]).resolve()
    core, site = work / "core", work / "site"
    smi = ("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")
    architecture = os.environ.get("CUDAARCHS") or output(*smi).split()[0].replace(".", "")
    folder = output(sys.executable, "-m", "pybind11", "--cmakedir").strip()
    subprocess.run(
        ["cmake", "-S", str(ROOT), "-B", str(core), "-DANNEAL_SGD_CUDA=ON",
         f"-DCMAKE_CUDA_ARCHITECTURES={architecture}", f"-DPython_EXECUTABLE={sys.executable}",
         f"-Dpybind11_DIR={folder}"],
        check=True,
    )  # fmt: skip
    subprocess.run(["cmake", "--build", str(core), "--parallel", str(os.cpu_count())], check=True)
    shutil.rmtree(site, ignore_errors=True)
    # Not the core of another build, which an editable one leaves there.
    shutil.copytree(ROOT / "python", site, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    subprocess.run(["cmake", "--install", str(core), "--prefix", str(site)], check=True)
    subprocess.run([sys.executable, "-c", TOLD, str(site)], check=True)


if __name__ == "__main__":
    main()
