"""`make gpu-check` without a GPU: every stage runs to its end, shortened, with programs in the place of NVIDIA's.

nvidia-smi, cmake, compute-sanitizer and ncu are stand-ins on PATH; the two that run a program do run it, and print what
the real ones print. The core "built" is the one that is tested.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anneal_sgd import _core, benchmark
from environments import environment, site_packages

ROOT = Path(__file__).parent.parent
STAGES = ("headline", "benchmark", "suite", "sanitizers", "profile", "sharing")

SMI = """
if "compute_cap" in sys.argv[1].split("=")[1].split(",")[0:1]:
    print("9.0")
else:
    print("NVIDIA H100 80GB HBM3, 580.159.04, 9.0, 81559 MiB, 1980 MHz, 700.00 W")
"""
NVCC = """
print('''nvcc: NVIDIA (R) Cuda compiler driver
Copyright (c) 2005-2025 NVIDIA Corporation
Built on Wed_Aug_20_01:58:59_PM_PDT_2025
Cuda compilation tools, release 13.0, V13.0.88
Build cuda_13.0.r13.0/compiler.36424714_0''')
"""
CMAKE = """
import pathlib, shutil
if sys.argv[1] == "-S":
    assert "-DANNEAL_SGD_CUDA=ON" in sys.argv and "-DCMAKE_CUDA_ARCHITECTURES=90" in sys.argv, sys.argv
elif sys.argv[1] == "--install":
    folder = pathlib.Path(sys.argv[sys.argv.index("--prefix") + 1]) / "anneal_sgd"
    (folder / pathlib.Path(CORE).name).symlink_to(CORE)
"""
SANITIZER = """
import subprocess
tool = sys.argv[sys.argv.index("--tool") + 1]
program = sys.argv[sys.argv.index("all") + 1:]
print("========= COMPUTE-SANITIZER", flush=True)
status = subprocess.run(program).returncode
if tool == "racecheck":
    print("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)")
else:
    print("========= ERROR SUMMARY: 0 errors")
sys.exit(status)
"""
NCU = """
import subprocess
metrics = sys.argv[sys.argv.index("--metrics") + 1].split(",")
begin = next(i for i, word in enumerate(sys.argv) if word.endswith("hot.py")) - 1
print("==PROF== Connected to process 4711", flush=True)
subprocess.run(sys.argv[begin:], check=True)
print("==PROF== Disconnected from process 4711")
print('"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size","Grid Size","Device",'
      '"CC","Section Name","Metric Name","Metric Unit","Metric Value"')
known = {"gpu__time_duration.sum": "10,000,000", "smsp__inst_executed.sum": "6,600,000,000",
         "smsp__inst_executed.avg": "12,500,000", "smsp__cycles_elapsed.avg.per_second": "1,755,000,000.00",
         "dram__bytes.sum": "40,000,000", "dram__bytes.sum.peak_sustained": "1,280",
         "dram__cycles_elapsed.avg.per_second": "2,619,000,000.00", "launch__registers_per_thread": "128"}
for name in metrics:
    print(f'"1","4711","python3.12","host","void ensemble_kernel<float, 0, 2, 0>(EnsembleLaunch)","1","13",'
          f'"(256, 1, 1)","(2048, 1, 1)","0","9.0","Command line profiler metrics",'
          f'"{name}","","{known.get(name, "71.25")}"')
"""
CUPY = '''
"""What is asked of CuPy where no array of its own is used."""
import time
class cuda:
    class Event:
        def record(self):
            self.at = time.perf_counter()
        def synchronize(self):
            pass
    class Device:
        id = 0
    class Stream:
        ptr = 0
    @staticmethod
    def get_current_stream(device):
        return cuda.Stream()
    @staticmethod
    def get_elapsed_time(first, last):
        return 1e3 * (last.at - first.at)
'''
DISTRIBUTIONS = {name: name for name in ("click", "rich", "matplotlib", "pybind11")} | {"scikit-learn": "sklearn"}
PROGRAMS = {"nvidia-smi": SMI, "nvcc": NVCC, "cmake": CMAKE, "compute-sanitizer": SANITIZER, "ncu": NCU}


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """An interpreter without this package, and the PATH that has the stand-ins."""
    for module in DISTRIBUTIONS.values():
        pytest.importorskip(module)
    folder = tmp_path_factory.mktemp("machine")
    python = environment(
        folder / "python", "numpy", "pytest", "click", "rich", "matplotlib", "pybind11", "scikit-learn"
    )
    (site_packages(folder / "python") / "cupy.py").write_text(CUPY)
    programs = folder / "bin"
    programs.mkdir()
    for name, code in PROGRAMS.items():
        path = programs / name
        path.write_text(f"#!{sys.executable} -S\nimport sys\nCORE = {_core.__file__!r}\n{code}", encoding="utf-8")
        path.chmod(0o755)
    return python, programs


def gpu_check(machine, folder, *arguments, path=None):
    python, programs = machine
    ours = ("PYTHONPATH", "CUDAARCHS", "PYTEST_ADDOPTS")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment["PATH"] = os.pathsep.join([str(programs) if path is None else str(path), environment["PATH"]])
    command = [python, ROOT / "bench" / "gpu_check.py", "--rehearse", "--output", folder / "out"]
    return subprocess.run(
        [*command, "--work", folder / "work", *arguments], env=environment, capture_output=True, text=True, check=False
    )


def report(folder, stage):
    return json.loads((folder / "out" / f"{stage}.json").read_text(encoding="utf-8"))


def test_all_stages_run_to_their_end(machine, tmp_path):
    done = gpu_check(machine, tmp_path)
    logs = "".join(path.read_text() for path in sorted(tmp_path.glob("out/*.txt")))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    reports = {stage: report(tmp_path, stage) for stage in STAGES}
    found = {(stage, step["name"]): step["found"] for stage, r in reports.items() for step in r["steps"]}
    assert all(r["passed"] and r["machine"]["device"]["driver_version"] == "580.159.04" for r in reports.values())
    assert found["headline", "conformance"]["passed"] >= 1
    assert {row["case"] for row in found["headline", "speed"]["rows"]} == {"gpu-abs-gaussian", "gpu-abs-rademacher"}
    peers = found["benchmark", "peers"]
    assert {row["case"] for row in peers["rows"]} == {case.name for case in benchmark.GPU_CASES}
    assert 0 < found["benchmark", "events"]["tiny-call"]["events"] <= found["benchmark", "events"]["tiny-call"]["wall"]
    assert found["suite", "tests"]["passed"] >= 1
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        assert found["sanitizers", tool]["errors"] == 0
        assert found["sanitizers", tool]["tests_passed"] > 0
    assert found["profile", "gpu-abs-gaussian"]["smsp__inst_executed.sum"] == 6.6e9
    assert found["sharing", "tests"]["passed"] >= 3
    assert json.loads((tmp_path / "out" / "gpu.json").read_text()) == list(reports.values())
    page = (tmp_path / "out" / "GPU.md").read_text(encoding="utf-8")
    assert "NVIDIA H100 80GB HBM3, driver 580.159.04, compute capability 9.0, up to 1980 MHz" in page
    assert "**A rehearsal on the CPU" in page
    assert "![Instruction roofline of the hot kernels](gpu_roofline.png)" in page
    assert "| tiny ensemble: ≤ 100 us |" in page
    assert (tmp_path / "out" / "gpu_roofline.png").stat().st_size > 10_000


@pytest.fixture
def gpu(monkeypatch):
    """Modules of bench/gpu, by name."""
    monkeypatch.syspath_prepend(ROOT / "bench")
    return lambda name: importlib.import_module(f"gpu.{name}")


def commands(gpu, folder):
    """Of a real run, by stage and step."""
    stages = gpu("stages")
    setting = stages.Setting(sys.executable, folder / "work", folder / "out", rehearsal=False)
    return {(stage.name, step.name): step.command for stage in stages.stages(setting) for step in stage.steps}


def test_a_real_run_selects_tests_and_insists_on_the_gpu(gpu, tmp_path):
    found = commands(gpu, tmp_path)
    assert list(dict.fromkeys(stage for stage, _ in found)) == list(STAGES)
    for place, least in ((("headline", "conformance"), 150), (("sanitizers", "racecheck"), 20)):
        command = found[place][found[place].index(sys.executable) :]
        assert "--require-backend=cuda" in command
        listing = subprocess.run(
            [*command, "--collect-only"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        selected = [line for line in listing.splitlines() if "::" in line]
        assert len(selected) >= least
        assert all("gpu" in line for line in selected)
    assert "--tiny" not in found["benchmark", "peers"]
    assert "--require-backend=cuda" in found["suite", "tests"]
    assert found["profile", "gpu-abs-gaussian"][:3] == ("ncu", "--csv", "--print-units")


def test_one_stage_that_fails_stops_no_other(machine, tmp_path):
    _, programs = machine
    broken = tmp_path / "bin"
    broken.mkdir()
    for path in programs.iterdir():
        if path.name != "ncu":
            (broken / path.name).symlink_to(path)
    (broken / "ncu").write_text("#!/bin/sh\necho '==ERROR== ERR_NVGPUCTRPERM'\nexit 1\n")
    (broken / "ncu").chmod(0o755)
    done = gpu_check(machine, tmp_path, "sharing", "5", path=broken)
    assert done.returncode == 1
    profile, sharing = report(tmp_path, "profile"), report(tmp_path, "sharing")
    assert sharing["passed"]
    assert not profile["passed"]
    assert [step["problem"] for step in profile["steps"]] == ["", *4 * ["exit status 1"], "exit status 1"]
    assert "ERR_NVGPUCTRPERM" in (tmp_path / "out" / "profile.txt").read_text()
    page = (tmp_path / "out" / "GPU.md").read_text(encoding="utf-8")
    assert "- profile, gpu-abs-gaussian: exit status 1" in page
    assert "gpu_roofline.png" not in page
    unknown = gpu_check(machine, tmp_path, "7")
    assert unknown.returncode == 2
    assert "STAGE must be a number in 1 .. 6 or one of headline, benchmark" in unknown.stderr


def stage_of(gpu, *steps):
    running = gpu("running")
    return running.Stage("some", "of some kind", tuple(running.Step(*step) for step in steps))


def test_what_becomes_of_a_step(gpu, tmp_path, monkeypatch):
    """Its limit is kept, what it has written by then is read, and a later step runs all the same."""
    running, reading = gpu("running"), gpu("reading")
    monkeypatch.setattr(running, "GRACE_SECONDS", 1.0)
    slow = "import sys, time\nprint('{\"half\": 1}', flush=True)\ntime.sleep(60)"
    deaf = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint(1, flush=True)\ntime.sleep(60)"
    stage = stage_of(
        gpu,
        ("slow", (sys.executable, "-c", slow), 2.0),
        ("deaf", (sys.executable, "-c", deaf), 2.0, reading.last_json),
        ("missing", ("no-such-program",), 9.0),
        ("status", (sys.executable, "-c", "raise SystemExit(3)"), 9.0),
        ("no file", (sys.executable, "-c", ""), 9.0, reading.tests, tmp_path / "none.xml"),
        ("good", (sys.executable, "-c", "print('a line')\nprint('{\"a\": 1}')"), 9.0, reading.last_json),
    )
    began = time.monotonic()
    assert not running.run_stage(stage, tmp_path, {}, dict(os.environ))
    assert time.monotonic() - began < 30
    steps = {step["name"]: step for step in json.loads((tmp_path / "some.json").read_text())["steps"]}
    assert [steps[name]["problem"] for name in ("slow", "deaf")] == 2 * ["stopped after 2 s"]
    assert steps["missing"]["problem"] == "no-such-program: No such file or directory"
    assert steps["status"]["problem"] == "exit status 3"
    assert steps["no file"]["problem"].startswith("nothing to read: FileNotFoundError")
    assert (steps["good"]["problem"], steps["good"]["found"]) == ("", {"a": 1})
    monkeypatch.setattr(running, "STAGE_SECONDS", 0.0)
    assert not running.run_stage(stage_of(gpu, ("late", ("true",), 9.0)), tmp_path, {}, dict(os.environ))
    assert json.loads((tmp_path / "some.json").read_text())["steps"][0]["problem"] == "no time was left"


def test_what_tools_write_is_read(gpu):
    reading = gpu("reading")
    junit = (
        '<testsuites><testsuite name="pytest" tests="4"><testcase classname="tests.test_cuda" name="test_a"/>'
        '<testcase classname="tests.test_cuda" name="test_b[gpu-1]"><failure message="no">x</failure></testcase>'
        '<testcase classname="tests.test_cuda" name="test_c"><error message="no">x</error></testcase>'
        '<testcase classname="t" name="test_d"><skipped type="pytest.skip" message="why"/></testcase>'
        "</testsuite></testsuites>"
    )
    assert reading.tests(junit) == {
        "passed": 1,
        "skipped": 1,
        "failed": 2,
        "which_failed": ["tests.test_cuda::test_b[gpu-1]", "tests.test_cuda::test_c"],
    }
    with pytest.raises(ValueError, match="no test ran"):
        reading.tests("<testsuites/>")
    two = "========= ERROR SUMMARY: 3 errors\n12 passed in 3s\n========= ERROR SUMMARY: 1 error\n"
    assert reading.sanitizer(two) == {"errors": 4, "tests_passed": 12}
    hazards = "========= RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)\n"
    assert reading.sanitizer(hazards) == {"errors": 2, "tests_passed": 0}
    with pytest.raises(ValueError, match="no summary"):
        reading.sanitizer("========= Error: Device not supported\n12 passed in 3s")
    head = '"ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"\n'
    rows = [f'"0","k","Command line profiler metrics",{told}' for told in ('"a.sum","","1,234.50"', '"b","","n/a"')]
    assert reading.profile("==PROF== Connected\n" + head + "\n".join(rows)) == {"kernel": "k", "a.sum": 1234.5}
    with pytest.raises(ValueError, match="no kernel"):
        reading.profile("==PROF== Connected to process 1\n==WARNING== No kernels were profiled.\n")
    with pytest.raises(ValueError, match="no object"):
        reading.last_json("1")
    with pytest.raises(IndexError):
        reading.last_json("")
    assert reading.devices("") == []


def test_targets_of_the_page_have_their_own_limits(gpu):
    page = gpu("page")

    def told(rates, seconds):
        row = {"slowest": 1.0, "fastest": 1.0, "limit_fraction": 0.5, "compile_seconds": 1.0}
        rows = [{"case": case, "what": what, "rate": rate, **row} for (case, what), rate in rates.items()]
        found = {"rows": rows, "tiny_calls": {"simulate": seconds}, "not_in_agreement": []}
        machine = {"device": {"name": "X"}, "rehearsal": False, "nvcc": "", "cores": 1, "commit": "c", "date": "d"}
        step = {"name": "peers", "found": found, "problem": "", "seconds": 1.0}
        return page.page([{"stage": "benchmark", "what": "w", "machine": machine, "passed": True, "seconds": 1.0,
                           "steps": [step]}])  # fmt: skip

    gaussian, rademacher = "gpu-abs-gaussian", "gpu-abs-rademacher"
    rates = {(gaussian, "anneal_sgd"): 4e11, (gaussian, "JAX scan"): 8e10, (gaussian, "PyTorch on a GPU"): 1e10,
             (rademacher, "anneal_sgd"): 2.9e12, (rademacher, "JAX scan"): 6e11}  # fmt: skip
    text = told(rates, 9e-5)
    assert "| 1-D, Gaussian: ≥ 400 G trajectory-steps/s | 400 G | yes |" in text
    assert "| 1-D, Gaussian: ≥ 5 times the fastest peer | 5 (JAX scan) | yes |" in text
    assert "| 1-D, Rademacher: ≥ 3 T trajectory-steps/s | 2.9 T | no |" in text
    assert "| 1-D, Rademacher: ≥ 5 times the fastest peer | 4.83 (JAX scan) | no |" in text
    assert "| tiny ensemble: ≤ 100 us | 90.0 us | yes |" in text
    assert "rehearsal" not in text
    assert "| tiny ensemble: ≤ 100 us | 101.0 us | no |" in told({}, 1.01e-4)


def test_the_roofline_is_that_of_the_counters(gpu):
    """132 multiprocessors of four schedulers at 1.755 GHz issue 29.65 T thread instructions per second."""
    roofline = pytest.importorskip("matplotlib") and gpu("roofline")
    found = {
        "smsp__inst_executed.sum": 528e6, "smsp__inst_executed.avg": 1e6, "gpu__time_duration.sum": 1e6,
        "smsp__cycles_elapsed.avg.per_second": 1.755e9, "dram__bytes.sum": 1.6e9,
        "dram__bytes.sum.peak_sustained": 1280.0, "dram__cycles_elapsed.avg.per_second": 2.619e9,
    }  # fmt: skip
    point = roofline.point("k", found)
    assert point.most == pytest.approx(132 * 128 * 1.755e9)
    assert point.rate == pytest.approx(32 * 528e6 / 1e-3)
    assert point.intensity == pytest.approx(32 * 528e6 / 1.6e9)
    assert point.bandwidth == pytest.approx(1280 * 2.619e9)
