"""The package on Windows, as Wine is one: `make windows-check`, on Debian 12.

The core is compiled for Windows by Debian's cross compiler (MinGW-w64) and linked with python311.dll. That DLL and the
compiled part of the standard library are python.org's, from the wheel of Panda3D, which brings them to bundle; the rest
of the standard library and the headers are from Debian's source of Python, and other packages from their wheels. All is
put into build/windows; nothing is installed. Wine runs the tests of bits, functions, draws, threads and
campaigns, and those of Ctrl-C, memory and processors. That shows equal results, nothing of speed, and nothing of what
Windows does otherwise than Wine.

Needs: apt-get install g++-mingw-w64-x86-64-posix wine64 wine
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import cross

BUILD = cross.ROOT / "build" / "windows"
SYSTEM, SITE = BUILD / "python", BUILD / "site"
CXX, CC = "x86_64-w64-mingw32-g++-posix", "x86_64-w64-mingw32-gcc-posix"
VERSION, PANDA3D = "3.11", "1.10.16"
# Later versions of NumPy call functions that the C library of Wine 8 has not.
WHEELS = (
    "numpy==2.0.2",
    "scipy==1.15.3",
    "xarray",
    "pandas",
    "tzdata",
    "click",
    "rich",
    "pytest",
    "hypothesis",
    "colorama",
)
SHORT = (
    "test_bits.py",
    "test_functions.py",
    "test_draws.py",
    "test_threads.py",
    "test_campaigns.py",
    "test_campaign_store.py",
    "test_campaign_merge.py",
    "cross/on_windows.py",
)
LONG = (*SHORT, "test_conformance.py", "test_network_conformance.py", "test_custom.py", "test_schedules.py")
LEFT_OUT = (
    # Measures accuracy against numpy.longdouble and exp2: the one is no longer than a double there, and Wine 8's exp2
    # overflows from 2^512 on.
    "test_log2_and_exp2_accuracy",
    # A pool of processes of Python's own does not start in Wine 8.
    "test_any_executor_gives_the_same_bits",
    "test_a_worker_of_another_build_is_refused",
    # Need POSIX: alarms, limits of a file's size and of memory.
    "test_flipped_bits",
    "test_truncated_files",
    "test_every_flip",
    "test_a_full_disk",
    "test_memory_does_not_grow",
)
PROGRAM = """
#include <wchar.h>
__declspec(dllimport) int Py_Main(int, wchar_t **);
int wmain(int count, wchar_t **words) { return Py_Main(count, words); }
"""


def unpack_system() -> None:
    """Python for Windows: its DLLs, its library, its headers, and a program that is but a call."""
    unfinished, downloads = BUILD / "python.part", BUILD / "downloads"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    downloads.mkdir(exist_ok=True)
    cross.run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
              "--platform", "win_amd64", "--python-version", VERSION, "--dest", downloads,
              f"panda3d=={PANDA3D}")  # fmt: skip
    with zipfile.ZipFile(*downloads.glob("panda3d-*.whl")) as wheel:
        for member in wheel.namelist():
            folder, _, file = member.rpartition("/")
            if folder == "deploy_libs" and not file.startswith("api-ms-"):
                (unfinished / file).write_bytes(wheel.read(member))
    sources = BUILD / "apt" / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    for file in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.*")):
        if file.is_file() and file.suffix in (".list", ".sources"):
            text = re.sub(r"^(deb|Types: .*)\b", lambda found: "Types: deb-src" if ":" in found[0] else "deb-src",
                          file.read_text(encoding="utf-8"), flags=re.MULTILINE)  # fmt: skip
            (sources / file.name).write_text(text, encoding="utf-8")
    environment = cross.apt(BUILD / "apt", 'Dir::Etc::sourcelist "/dev/null";', f'Dir::Etc::sourceparts "{sources}";')
    cross.run("apt-get", "source", "-qq", "--download-only", "--tar-only", f"python{VERSION}", env=environment,
              folder=downloads)  # fmt: skip
    with tarfile.open(*downloads.glob("python*.orig.tar.*")) as source:
        for member in source:
            _, _, name = member.name.partition("/")
            if member.isfile() and re.match(r"Include/|Lib/(?!test/|idlelib/)|PC/pyconfig\.h", name):
                member.name = name.replace("PC/", "Include/")
                source.extract(member, unfinished)
    (unfinished / "python.c").write_text(PROGRAM, encoding="utf-8")
    cross.run(CC, "-municode", unfinished / "python.c", unfinished / dll(), "-o", unfinished / "python.exe")
    unfinished.rename(SYSTEM)


def dll() -> str:
    """Python's name as a library."""
    return f"python{VERSION.replace('.', '')}.dll"


def build_core() -> Path:
    """The package with its core for Windows."""
    toolchain = f"set(CMAKE_SYSTEM_NAME Windows)\nset(CMAKE_SYSTEM_PROCESSOR AMD64)\nset(CMAKE_CXX_COMPILER {CXX})\n"
    return cross.build_core(
        BUILD,
        toolchain,
        {
            "Python_INCLUDE_DIR": SYSTEM / "Include",
            "Python_LIBRARY": SYSTEM / dll(),
            "PYTHON_MODULE_EXTENSION": f".cp{VERSION.replace('.', '')}-win_amd64.pyd",
        },
    )


def main() -> None:
    """All of it; what is there already is kept, the core is brought up to date."""
    parser = argparse.ArgumentParser(prog=cross.name(), description=__doc__)
    parser.add_argument("--long", action="store_true", help="more tests")
    arguments = parser.parse_args()
    cross.need((CXX, "wine", "apt-get"), "g++-mingw-w64-x86-64-posix wine64 wine")
    if not SYSTEM.exists():
        unpack_system()
    cross.install(SITE, VERSION, ("win_amd64",), WHEELS)
    path = ";".join(f"Z:{folder}".replace("/", "\\") for folder in (build_core(), SITE, cross.TESTS))
    environment = {
        **os.environ,
        "WINEPREFIX": str(BUILD / "wine"),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",  # no .NET and no browser are asked for
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PROCESSORS": str(len(os.sched_getaffinity(0))),
    }
    cross.run_tests(("wine", SYSTEM / "python.exe"), environment, LONG if arguments.long else SHORT, LEFT_OUT)


if __name__ == "__main__":
    main()
