"""What executing PTX takes: the PTX itself, its C++ compiled, and the package with the stand-in for the CUDA runtime.

The core is not compiled again: the objects that CMake made of it are linked with the stand-in in the runtime's place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ptx.translate import Translation, translate

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SOURCES = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))
# As in CMakeLists.txt, where they decide about bits.
PTX_OPTIONS = ("-std=c++17", "-O3", "-DNDEBUG", "--fmad=false", "--expt-relaxed-constexpr")
# A kernel's registers are thousands of variables: passes that look at all pairs would not end.
KERNEL_OPTIONS = ("-std=c++17", "-O1", "-w", "-fno-tree-pta", "-mfma", "-ffp-contract=off", "-fno-strict-aliasing")
LIBRARY_OPTIONS = ("-fPIC", "-fvisibility=hidden")
RUNTIME_OPTIONS = ("-std=c++17", "-O2", "-fPIC", "-Wall", "-Wextra", "-Werror")


def command(*words: object) -> None:
    """Runs it; its output is shown where it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # of a sanitizer
    done = subprocess.run([str(word) for word in words], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(str(word) for word in words)[:400]}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def compiler() -> str:
    return os.environ.get("CXX", "g++")


def make_ptx(arch: int, out: Path, jobs: int) -> list[Path]:
    """Of every .cu file of the CUDA backend."""
    out.mkdir(parents=True, exist_ok=True)

    def one(source: Path) -> Path:
        made = out / f"{source.stem}.ptx"
        command("nvcc", "-ptx", *PTX_OPTIONS, f"-arch=compute_{arch}", "-o", made, source)
        return made

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, SOURCES))


def make_kernels(
    ptx: Sequence[Path], out: Path, jobs: int, options: Sequence[str] = KERNEL_OPTIONS
) -> tuple[Translation, Path]:
    """The translation, and the library of the compiled kernels."""
    made = translate(ptx, out)
    header = HERE / "instructions.hpp"

    def one(source: Path) -> Path:
        built = source.with_suffix(".o")
        if not built.exists() or built.stat().st_mtime < max(source.stat().st_mtime, header.stat().st_mtime):
            command(compiler(), *options, *LIBRARY_OPTIONS, f"-I{HERE}", "-c", source, "-o", built)
        return built

    largest_first = sorted(made.sources, key=lambda source: -source.stat().st_size)
    with ThreadPoolExecutor(jobs) as pool:
        objects = list(pool.map(one, largest_first))
    library = out / "kernels.so"
    command(compiler(), "-shared", "-Wl,-Bsymbolic", "-o", library, *objects)
    return made, library


def core_objects() -> list[Path]:
    """Of the core that `make` built for this Python, with its CUDA backend; SystemExit where there is none."""
    folders = [core.parent / "CMakeFiles" / "_core.dir" for core in (ROOT / "build").glob(f"*/_core{SUFFIX}")]
    backends = [made for folder in folders for made in folder.rglob("backend_cuda.cpp.o")]
    if not backends:
        raise SystemExit("build/ has no core with a CUDA backend for this Python: nvcc was not found when it was made")
    newest = max(backends, key=lambda path: path.stat().st_mtime)
    return sorted(next(folder for folder in folders if folder in newest.parents).rglob("*.o"))


def make_site(out: Path) -> Path:
    """A folder with the package, whose core has the stand-in."""
    objects = [out / "engine.o", out / "cuda_runtime.o"]
    out.mkdir(parents=True, exist_ok=True)
    command(compiler(), *RUNTIME_OPTIONS, "-c", HERE / "engine.cpp", "-o", objects[0])
    host = ",".join(option for option in RUNTIME_OPTIONS if option.startswith(("-f", "-W")))
    command("nvcc", "-std=c++17", "-O2", "-Xcompiler", host, "-c", HERE / "cuda_runtime.cpp", "-o", objects[1])
    site = out / "site"
    shutil.rmtree(site, ignore_errors=True)
    package = ROOT / "python" / "anneal_sgd"
    shutil.copytree(package, site / "anneal_sgd", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    core = site / "anneal_sgd" / f"_core{SUFFIX}"
    command(compiler(), "-shared", "-o", core, *core_objects(), *objects, "-lpthread", "-ldl")
    return site


def make_python(site: Path, out: Path) -> Path:
    """An interpreter with the packages of this one, and of anneal_sgd that in `site` rather than an editable one."""
    folder = out / "python"
    if not folder.exists():
        venv.create(folder, symlinks=True, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    # The second is read for its packages alone: its own .pth files, an editable install's too, do not count.
    (packages / "stand_in.pth").write_text(f"{site}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return folder / "bin" / Path(sys.executable).name


def environment(site: Path, library: Path) -> dict[str, str]:
    """Of a process that runs the package of `site` with these kernels."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), str(HERE.parent)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PTXRUN_KERNELS": str(library),
        "PTXRUN_PYTHON": sys.executable,
    }
