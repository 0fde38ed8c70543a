"""The package on a 64-bit ARM processor, emulated: `make aarch64-check`, on Debian and its kin.

The core is compiled for ARM by Debian's cross compiler, Python and its libraries for ARM come from the same Debian as
this machine's and NumPy from its wheel, into build/aarch64; nothing is installed. QEMU runs the tests of bits: NEON and
scalar kernels, and the emulated CUDA device, must have what x86-64 recorded. It shows equal results, nothing of speed.

Needs: apt-get install g++-aarch64-linux-gnu qemu-user
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "aarch64"
SYSTEM, SITE, CORE = BUILD / "system", BUILD / "site", BUILD / "core"
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
PACKAGES = ("python3-minimal", "libpython3-stdlib", "libpython3-dev", "libstdc++6")
WHEELS = ("numpy", "pytest", "hypothesis", "llvmlite")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
SHORT = ("test_bits.py", "test_functions.py", "test_draws.py")
LONG = (
    *SHORT,
    "test_conformance.py",
    "test_network_conformance.py",
    "test_custom.py",
    "test_machine_code.py",
    "test_metamorphic.py",
    "test_cuda.py",
    "test_schedules.py",
)


def run(*command: object, env: dict[str, str] | None = None, quiet: bool = False) -> None:
    """Run it to the end, or end here."""
    done = subprocess.run(
        [str(part) for part in command], check=False, env=env, stdout=subprocess.DEVNULL if quiet else None
    )
    if done.returncode:
        sys.exit(f"aarch64-check: {command[0]} ended with {done.returncode}")


def unpack_system() -> None:
    """Debian's Python for ARM, unpacked."""
    state = BUILD / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    config = state / "apt.conf"
    config.write_text(
        'APT::Architecture "arm64";\n#clear APT::Architectures;\nAPT::Architectures { "arm64"; };\n'
        f'Dir::State::lists "{state}/lists";\nDir::State::status "{state}/status";\n'
        f'Dir::Cache "{state}";\nAPT::Sandbox::User "";\nAcquire::Languages "none";\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(config)}
    run("apt-get", "update", "-qq", env=environment)
    options = ("-qq", "-y", "--no-install-recommends", "--download-only")
    run("apt-get", "install", *options, *PACKAGES, env=environment)
    unfinished = BUILD / "system.part"
    for archive in sorted((state / "archives").glob("*.deb")):
        run("dpkg", "--extract", archive, unfinished)
    unfinished.rename(SYSTEM)


def python() -> list[str]:
    """The command that runs Python for ARM."""
    (interpreter,) = SYSTEM.glob("usr/bin/python3.*[0-9]")
    return [EMULATOR, "-L", str(SYSTEM), str(interpreter)]


def build_core() -> None:
    """The extension module, put beside the package's Python in a folder of its own."""
    import pybind11

    (include,) = SYSTEM.glob("usr/include/python3.*")
    version = include.name.removeprefix("python").replace(".", "")
    CORE.mkdir(parents=True, exist_ok=True)
    (CORE / "toolchain.cmake").write_text(
        f"set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR aarch64)\nset(CMAKE_CXX_COMPILER {COMPILER})\n"
    )
    definitions = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_TOOLCHAIN_FILE": CORE / "toolchain.cmake",
        "CMAKE_CXX_FLAGS": f"-isystem {SYSTEM}/usr/include",
        "ANNEAL_SGD_CUDA": "OFF",
        "ANNEAL_SGD_WERROR": "ON",
        "Python_EXECUTABLE": sys.executable,
        "Python_INCLUDE_DIR": include,
        "PYTHON_MODULE_EXTENSION": f".cpython-{version}-aarch64-linux-gnu.so",
        "pybind11_DIR": pybind11.get_cmake_dir(),
    }
    tools = Path(sys.executable).parent
    cmake, ninja = (shutil.which(name, path=f"{tools}{os.pathsep}{os.environ['PATH']}") for name in ("cmake", "ninja"))
    if cmake is None or ninja is None:
        sys.exit("aarch64-check: needs cmake and ninja")
    options = [f"-D{name}={value}" for name, value in definitions.items()]
    run(
        cmake,
        "-S",
        ROOT,
        "-B",
        CORE,
        "-G",
        "Ninja",
        f"-DCMAKE_MAKE_PROGRAM={ninja}",
        *options,
        quiet=True,
    )
    run(ninja, "-C", CORE)
    package = BUILD / "package" / "anneal_sgd"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "python" / "anneal_sgd", package, ignore=shutil.ignore_patterns("_core*.so", "__pycache__"))
    for module in CORE.glob("_core*.so"):
        shutil.copy(module, package)


def main() -> int:
    """All of it; what is there already is kept, the core is brought up to date."""
    parser = argparse.ArgumentParser(prog="make aarch64-check", description=__doc__)
    parser.add_argument("--long", action="store_true", help="more tests: an hour or so")
    arguments = parser.parse_args()
    for needed in (COMPILER, EMULATOR, "apt-get", "dpkg"):
        if shutil.which(needed) is None:
            sys.exit(f"aarch64-check: needs {needed}: apt-get install g++-aarch64-linux-gnu qemu-user")
    if not SYSTEM.exists():
        unpack_system()
    if not SITE.exists():
        wanted = [part for platform in PLATFORMS for part in ("--platform", platform)]
        version = python()[-1].rsplit("python", 1)[1]
        run(sys.executable, "-m", "pip", "install", "--quiet", "--target", SITE, *wanted, "--python-version", version,
            "--implementation", "cp", "--only-binary=:all:", *WHEELS)  # fmt: skip
    build_core()
    tests = [str(ROOT / "tests" / name) for name in (LONG if arguments.long else SHORT)]
    found = [test for test in tests if Path(test).exists()]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (BUILD / "package", SITE, ROOT / "tests"))),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    run(*python(), "-c", "import platform, anneal_sgd.runtime as r; print(platform.machine(), *r.supported_isas())",
        env=environment)  # fmt: skip
    options = ("-q", "-p", "no:cacheprovider", "-o", "addopts=", "--rootdir", ROOT / "tests")
    return subprocess.run(
        [*python(), "-m", "pytest", *map(str, options), *found], check=False, env=environment
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
