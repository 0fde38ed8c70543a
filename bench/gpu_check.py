"""All that a machine with an NVIDIA GPU can say about the CUDA backend, in stages that can be called alone.

python bench/gpu_check.py [--output out/gpu] [--rehearse] [STAGE ...]

A stage is a number or a name: 1 headline, 2 benchmark, 3 suite, 4 sanitizers, 5 profile, 6 sharing; without one all
run, in this order. Each is stopped after eight minutes and writes NAME.json and NAME.txt in the folder before the next
begins; none stops the others. gpu.json and GPU.md (with gpu_roofline.png) hold what is known so far and
can go into bench/ as they are. The exit status is 0 if every stage that ran went well, else 1.

Needs no index: nvcc, cmake, and this Python with pybind11, NumPy, pytest, click and rich; what else the tests and the
peers import is used where it is installed. --rehearse runs every stage shortened, on the CPU and the emulated device.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gpu.page import page
from gpu.reading import SMI_FIELDS, devices
from gpu.running import run_stage, write
from gpu.stages import Setting, stages

ROOT = Path(__file__).resolve().parent.parent


def output(*command: str) -> str:
    """What it prints; nothing where there is no such program, or it fails."""
    try:
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine() -> dict[str, Any]:
    found = devices(output("nvidia-smi", f"--query-gpu={','.join(SMI_FIELDS)}", "--format=csv,noheader"))
    nvcc = output("nvcc", "--version").splitlines()
    return {
        "device": found[0] if found else {"name": "no device"},
        "devices": len(found),
        "nvcc": nvcc[-2].strip() if len(nvcc) > 1 else "",
        "cores": os.cpu_count(),
        "commit": output("git", "rev-parse", "--short", "HEAD"),
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE")
    parser.add_argument("--output", type=Path, default=ROOT / "out" / "gpu")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "gpu-check", help="where the core is built")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    folder, work = options.output.resolve(), options.work.resolve()
    every = stages(Setting(sys.executable, work, folder, options.rehearse))
    names = [stage.name for stage in every]
    numbered = {**{str(i): name for i, name in enumerate(names, 1)}, **{name: name for name in names}}
    for name in options.stages:
        if name not in numbered:
            parser.error(f"STAGE must be a number in 1 .. {len(names)} or one of {', '.join(names)}, got {name!r}")
    chosen = {numbered[name] for name in options.stages} or set(names)
    folder.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    told = {**machine(), "rehearsal": options.rehearse}
    environment = {**os.environ, "PYTHONPATH": str(work / "site"), "PYTHONUNBUFFERED": "1"}
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the device's memory is for all
    os.chdir(ROOT)
    good = True
    for stage in every:
        if stage.name in chosen:
            good = run_stage(stage, folder, told, environment) and good
            reports = [json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in names
                       if (folder / f"{name}.json").exists()]  # fmt: skip
            write(folder / "gpu.json", json.dumps(reports, indent=1, ensure_ascii=False) + "\n")
            write(folder / "GPU.md", page(reports))
    print(f"{folder / 'GPU.md'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
