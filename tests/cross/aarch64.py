"""The package on a 64-bit ARM processor, emulated: `make aarch64-check`, on Debian and its kin.

The core is compiled for ARM by Debian's cross compiler, Python and its libraries for ARM come from the same Debian as
this machine's and NumPy from its wheel, into build/aarch64; nothing is installed. QEMU runs the tests of bits: NEON and
scalar kernels, and the emulated CUDA device, must have what x86-64 recorded. It shows equal results, nothing of speed.

Needs: apt-get install g++-aarch64-linux-gnu qemu-user
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cross

BUILD = cross.ROOT / "build" / "aarch64"
SYSTEM, SITE = BUILD / "system", BUILD / "site"
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


def unpack_system() -> None:
    """Debian's Python for ARM, unpacked."""
    state = BUILD / "apt"
    arm = ('APT::Architecture "arm64";', "#clear APT::Architectures;", 'APT::Architectures { "arm64"; };')
    environment = cross.apt(state, *arm)
    options = ("-qq", "-y", "--no-install-recommends", "--download-only")
    cross.run("apt-get", "install", *options, *PACKAGES, env=environment)
    unfinished = BUILD / "system.part"
    for archive in sorted((state / "archives").glob("*.deb")):
        cross.run("dpkg", "--extract", archive, unfinished)
    unfinished.rename(SYSTEM)


def python() -> list[str]:
    """The command that runs Python for ARM."""
    (interpreter,) = SYSTEM.glob("usr/bin/python3.*[0-9]")
    return [EMULATOR, "-L", str(SYSTEM), str(interpreter)]


def build_core() -> Path:
    """The package with its core for ARM."""
    (include,) = SYSTEM.glob("usr/include/python3.*")
    version = include.name.removeprefix("python").replace(".", "")
    toolchain = (
        f"set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR aarch64)\nset(CMAKE_CXX_COMPILER {COMPILER})\n"
    )
    return cross.build_core(
        BUILD,
        toolchain,
        {
            "CMAKE_CXX_FLAGS": f"-isystem {SYSTEM}/usr/include",
            "Python_INCLUDE_DIR": include,
            "PYTHON_MODULE_EXTENSION": f".cpython-{version}-aarch64-linux-gnu.so",
        },
    )


def main() -> None:
    """All of it; what is there already is kept, the core is brought up to date."""
    parser = argparse.ArgumentParser(prog=cross.name(), description=__doc__)
    parser.add_argument("--long", action="store_true", help="more tests: an hour or so")
    arguments = parser.parse_args()
    cross.need((COMPILER, EMULATOR, "apt-get", "dpkg"), "g++-aarch64-linux-gnu qemu-user")
    if not SYSTEM.exists():
        unpack_system()
    cross.install(SITE, python()[-1].rsplit("python", 1)[1], PLATFORMS, WHEELS)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (build_core(), SITE, cross.TESTS))),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    cross.run_tests(python(), environment, LONG if arguments.long else SHORT)


if __name__ == "__main__":
    main()
