"""What checks of the package for other systems share: downloads, the core compiled for the system, tests run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TESTS = ROOT / "tests"


def name() -> str:
    """Of the check that runs."""
    return f"make {Path(sys.argv[0]).stem}-check"


def fail(told: str) -> None:
    """End here."""
    sys.exit(f"{name()}: {told}")


def need(programs: Iterable[str], packages: str) -> None:
    """End here where a program is missing that Debian's packages would bring."""
    for program in programs:
        if shutil.which(program) is None:
            fail(f"needs {program}: apt-get install {packages}")


def run(
    *command: object, env: Mapping[str, str] | None = None, quiet: bool = False, folder: Path | None = None
) -> None:
    """Run it to the end, or end here. It writes into a pipe, since a program in Wine may not be able to into a file."""
    process = subprocess.Popen(
        [str(part) for part in command],
        env=env,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    for line in process.stdout:
        if not quiet:
            print(line, end="", flush=True)
    if process.wait():
        fail(f"{command[0]} ended with {process.returncode}")


def apt(state: Path, *lines: str) -> dict[str, str]:
    """An environment in which apt-get has up-to-date lists and archives of its own in a folder, and more settings."""
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    own = [f'Dir::State::lists "{state}/lists";', f'Dir::State::status "{state}/status";', f'Dir::Cache "{state}";',
           'APT::Sandbox::User "";', 'Acquire::Languages "none";']  # fmt: skip
    (state / "apt.conf").write_text("\n".join((*own, *lines)), encoding="utf-8")
    environment = {**os.environ, "APT_CONFIG": str(state / "apt.conf")}
    run("apt-get", "update", "-qq", env=environment)
    return environment


def install(site: Path, version: str, platforms: Iterable[str], packages: Iterable[str]) -> None:
    """Wheels for another system, unpacked into a folder."""
    if site.exists():
        return
    wanted = [part for platform in platforms for part in ("--platform", platform)]
    unfinished = site.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    run(sys.executable, "-m", "pip", "install", "--quiet", "--target", unfinished, *wanted, "--python-version", version,
        "--implementation", "cp", "--only-binary=:all:", *packages)  # fmt: skip
    unfinished.rename(site)


def build_core(build: Path, toolchain: str, definitions: Mapping[str, object]) -> Path:
    """The extension module, brought up to date and put beside the package's Python; the folder that has the package."""
    import pybind11

    tools = Path(sys.executable).parent
    cmake, ninja = (shutil.which(tool, path=f"{tools}{os.pathsep}{os.environ['PATH']}") for tool in ("cmake", "ninja"))
    if cmake is None or ninja is None:
        fail("needs cmake and ninja")
    core = build / "core"
    core.mkdir(parents=True, exist_ok=True)
    (core / "toolchain.cmake").write_text(toolchain, encoding="utf-8")
    definitions = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_MAKE_PROGRAM": ninja,
        "CMAKE_TOOLCHAIN_FILE": core / "toolchain.cmake",
        "ANNEAL_SGD_CUDA": "OFF",
        "ANNEAL_SGD_WERROR": "ON",
        "Python_EXECUTABLE": sys.executable,
        "pybind11_DIR": pybind11.get_cmake_dir(),
        **definitions,
    }
    options = [f"-D{key}={value}" for key, value in definitions.items()]
    run(cmake, "-S", ROOT, "-B", core, "-G", "Ninja", *options, quiet=True)
    run(ninja, "-C", core)
    package = build / "package" / "anneal_sgd"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "python" / "anneal_sgd", package, ignore=shutil.ignore_patterns("_core*.so", "__pycache__"))
    for module in (*core.glob("_core*.so"), *core.glob("_core*.pyd")):
        shutil.copy(module, package)
    return package.parent


def run_tests(
    python: Iterable[object], env: Mapping[str, str], tests: Iterable[str], left_out: Iterable[str] = ()
) -> None:
    """Say which machine the package sees, then run test modules but the tests left out; end here where one fails."""
    run(*python, "-c", "import platform, anneal_sgd.runtime as r; print(platform.machine(), *r.supported_isas())",
        env=env)  # fmt: skip
    options = ("-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib", "-o", "filterwarnings=default")
    chosen = ("-k", f"not ({' or '.join(left_out)})") if left_out else ()
    run(*python, "-m", "pytest", *options, *chosen, "--rootdir", "tests", *(f"tests/{test}" for test in tests), env=env,
        folder=ROOT)  # fmt: skip
