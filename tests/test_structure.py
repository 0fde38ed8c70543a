"""Each technology has one home, layers depend downwards, no newer processor's code leaks into what every one runs."""

import ast
import graphlib
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import anneal_sgd
from anneal_sgd import _core

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "csrc"
LAYERS = {
    "core": {"core"},
    "cpu": {"cpu", "core"},
    "cuda": {"cuda", "core"},
    "engine": {"engine", "cpu", "cuda", "core"},
    "bindings": {"bindings", "engine", "cpu", "cuda", "core"},
}

PACKAGE = ROOT / "python" / "anneal_sgd"
# From the bottom: modules import from their own layer and from those before it.
PYTHON_LAYERS = [
    {
        "_core",
        "_arrays",
        "_extras",
        "_files",
        "_late",
        "_locks",
        "_machine",
        "_peak",
        "_windows",
        "reference",
    },  # the core, and what knows of nothing
    {"_cupy", "_difference", "_drawing", "_html", "_plot", "_statistics", "_validate", "runtime"},  # tools
    {"_tables", "datasets", "methods", "problems", "programs", "schedules", "theory"},  # what an ensemble is of
    {"_backend", "_ensemble", "_estimate", "_simulate", "_spec", "_target", "results"},  # one call
    {"campaigns"},  # many calls, kept
    {"benchmark", "experiments"},
    {"cli", "__main__"},
]


def sources(suffixes=(".hpp", ".cpp", ".cu", ".cuh")):
    return sorted(p for p in CSRC.rglob("*") if p.suffix in suffixes)


def test_includes_point_down():
    strays = []
    for path in sources():
        layer = path.relative_to(CSRC).parts[0]
        for target in re.findall(r'#include "([^"]+)"', path.read_text()):
            target_layer = (path.parent / target).resolve().relative_to(CSRC).parts[0]
            if target_layer not in LAYERS[layer]:
                strays.append(f"{path.relative_to(CSRC)} includes {target}")
    assert strays == []


@pytest.mark.parametrize(
    ("pattern", "home"),
    [
        (r"pybind11", r"bindings/"),
        (r"_mm\d*_|immintrin", r"cpu/(lanes_|floating_point)"),
        (r"__CUDACC__|__GNUC__|__clang__|__device__", r"core/portable\.hpp|cuda/(block|kernels)"),
        (r"<cuda_|cudaError", r"cuda/"),
        (
            r"std::thread|std::atomic|std::mutex",
            r"cpu/backend_cpu|engine/(simulate|devices|moment_tree)|cuda/(backend_cuda|driver)",
        ),
        (
            r"#include <(vector|string|map|functional)>",
            r"cpu/backend_cpu|engine/|bindings/|cuda/(backend_cuda|block|data_kernels_emulated|program_kernels_emulated|device|driver|ensemble_emulated|upload)",
        ),
    ],
)
def test_each_technology_has_one_home(pattern, home):
    strays = [
        str(path.relative_to(CSRC))
        for path in sources()
        if re.search(pattern, path.read_text()) and not re.match(home, str(path.relative_to(CSRC)))
    ]
    assert strays == []


def python_imports():
    """By module of the package, those that it imports: at its top, within functions, or for type checkers alone."""
    modules = {"anneal_sgd._core"}
    paths = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    modules.update(paths)
    found = {name: set() for name in modules}
    for name, path in paths.items():
        here = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found[name].update(alias.name for alias in node.names if alias.name in modules)
            elif isinstance(node, ast.ImportFrom):
                start = here[: len(here) - node.level + 1] if node.level else []
                base = ".".join([*start, *([node.module] if node.module else [])])
                wanted = {f"{base}.{alias.name}" for alias in node.names}
                targets = {target if target in modules else base for target in wanted}
                found[name].update(target for target in targets & modules if target != name)
    return found


def test_python_imports_form_no_circle():
    imports = python_imports()
    assert "anneal_sgd.problems" in imports["anneal_sgd.datasets"]
    assert "anneal_sgd._core" in imports["anneal_sgd.runtime"]
    list(graphlib.TopologicalSorter(imports).static_order())  # CycleError names the modules of one


def test_python_layers_point_down():
    place = {name: i for i, layer in enumerate(PYTHON_LAYERS) for name in layer}
    strays = []
    for name, imported in python_imports().items():
        if name == "anneal_sgd":  # the front, which shows all of them
            continue
        for target in imported:
            if target == "anneal_sgd":
                strays.append(f"{name} imports from the front")
            elif place[target.split(".")[1]] > place[name.split(".")[1]]:
                strays.append(f"{name} imports {target}")
    assert strays == []


def test_the_reference_shares_nothing_with_what_it_checks():
    for name, imported in python_imports().items():
        if name.startswith("anneal_sgd.reference"):
            assert all(target.startswith("anneal_sgd.reference") for target in imported), name


def test_one_version_number():
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert declared is not None
    assert cited is not None
    assert anneal_sgd.__version__ == declared[1] == cited[1] == _core.__version__


def test_importing_the_package_is_light_and_silent():
    code = (
        "import sys, anneal_sgd; "
        "assert 'numpy' not in sys.modules; "
        "from anneal_sgd import *; "
        "heavy = {'cupy', 'xarray', 'pandas', 'matplotlib', 'rich', 'typer', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def loaded_by(code):
    """Modules that are there after the code has run in a new process."""
    told = f"{code}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.split())


def test_a_call_loads_what_it_needs():
    late = {"importlib.metadata", "numpy.random", "json", "hashlib"}
    ours = {f"anneal_sgd.{name}" for name in ("datasets", "campaigns", "experiments", "theory", "reference")}
    programs = {name for name in python_imports() if name.startswith("anneal_sgd.programs.")}
    assert "anneal_sgd.programs._ir" in programs
    bare = loaded_by("from anneal_sgd import methods, problems, schedules, simulate")
    assert "anneal_sgd._simulate" in bare
    of_kinds = {name for name in bare if re.match(r"anneal_sgd\.(methods|problems|schedules)\.", name)}
    assert of_kinds == {
        "anneal_sgd.methods._base",
        "anneal_sgd.methods._following",
        "anneal_sgd.methods._sgd",
        "anneal_sgd.problems._base",
        "anneal_sgd.problems._own_metric",
        "anneal_sgd.schedules._base",
    }
    call = "simulate(problems.Quadratic(1.0), schedules.Linear(), base_lr=0.1, horizon=1, replicates=1, backend='cpu')"
    for modules in (bare, loaded_by(f"from anneal_sgd import problems, schedules, simulate; {call}")):
        assert modules & (late | ours | programs) == set()


@pytest.mark.parametrize(
    "first",
    [
        "methods.ScheduleFree().program(2)",
        "methods.Custom(lambda x: 0.5 * x)",
        "problems.Custom('abs(x[0])', x0=1.0)",
        "programs.parse('0.5 * x[0]', dimension=1)",
        "simulate(problems.rosenbrock(2), schedules.Linear(), base_lr=1e-3, horizon=1, replicates=1)",
    ],
)
def test_the_first_thing_that_a_process_does_may_be_any(first):
    loaded_by(f"from anneal_sgd import methods, problems, programs, schedules, simulate; {first}")


@pytest.mark.parametrize("package", ["", ".methods", ".problems", ".programs", ".schedules"])
def test_names_that_are_loaded_late_are_those_for_type_checkers(package):
    module = importlib.import_module(f"anneal_sgd{package}")
    body = ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body
    imports = [one for node in body if isinstance(node, ast.If) for one in node.body if isinstance(one, ast.ImportFrom)]
    typed = {alias.name: one.module for one in imports for alias in one.names}
    names = {name: getattr(module, name) for name in dir(module)}
    assert set(module.__all__) <= set(typed) == set(names)
    for name, home in typed.items():
        assert home is None or names[name] is getattr(importlib.import_module(f"{module.__name__}.{home}"), name)
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = module.absent


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump (binutils) is not installed")
def test_vector_instructions_stay_in_their_namespace():
    """512-bit registers appear in avx512:: functions only, fused multiply-add and 256-bit ones in those and avx2::."""
    listing = subprocess.run(
        ["objdump", "-d", "-C", "--no-show-raw-insn", _core.__file__], capture_output=True, text=True, check=True
    ).stdout
    function, wide, middle = "", set(), set()
    for line in listing.splitlines():
        if line.endswith(">:"):
            function = line.split("<", 1)[1]
        elif "%zmm" in line or "%k1" in line:
            wide.add(function)
        elif "%ymm" in line or "vfm" in line:
            middle.add(function)
    assert wide, "this build has no AVX-512 code: nothing was tested"
    # Some names are too long to be demangled.
    assert [f for f in wide if not re.search("anneal_sgd::avx512::|anneal_sgd6avx512", f)] == []
    assert [f for f in middle if not re.search("anneal_sgd::avx(2|512)::|anneal_sgd(4avx2|6avx512)", f)] == []
