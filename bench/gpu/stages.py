"""The stages of `make gpu-check`, the most valuable first."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from gpu import reading
from gpu.running import Stage, Step

HERE = Path(__file__).parent
HOT = ("gpu-abs-gaussian", "gpu-abs-rademacher", "gpu-logistic-16", "gpu-mlp-digits-32")
STALLS = (
    "barrier", "branch_resolving", "dispatch_stall", "drain", "imc_miss", "lg_throttle", "long_scoreboard",
    "math_pipe_throttle", "membar", "mio_throttle", "misc", "no_instruction", "not_selected", "selected",
    "short_scoreboard", "sleeping", "tex_throttle", "wait",
)  # fmt: skip
STALL = "smsp__average_warps_issue_stalled_{}_per_issue_active.ratio"
METRICS = (
    "gpu__time_duration.sum",
    "smsp__issue_active.avg.pct_of_peak_sustained_active",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "sm__maximum_warps_per_active_cycle_pct",
    "launch__registers_per_thread",
    "smsp__inst_executed.sum",
    "smsp__inst_executed.avg",
    "smsp__cycles_elapsed.avg.per_second",
    "dram__bytes.sum",
    "dram__bytes.sum.peak_sustained",
    "dram__cycles_elapsed.avg.per_second",
    *(STALL.format(reason) for reason in STALLS),
)
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
EVERY = "every_kernel or every_loss or every_layout or every_operation"
SEPARABLE = "(every_kernel or large_dimensions or launches) and (33 or 64 or 37) and (gaussian or rademacher)"
ON_DATA = "(every_loss and everything) or (edges_of_rows and 33) or different_sizes"
OF_PROGRAMS = "every_layout and float32"
SHORT = f"({SEPARABLE}) or ({ON_DATA}) or ({OF_PROGRAMS})"


@dataclass(frozen=True)
class Setting:
    """Where and how it runs."""

    python: str
    work: Path
    """For builds and for what steps hand on."""
    output: Path
    rehearsal: bool
    """Shortened, on the CPU and the emulated device: only to see that all runs."""


def stages(s: Setting) -> tuple[Stage, ...]:
    """Every one begins with the build, which does nothing where it is current."""
    kernels = ("tests/test_cuda.py", "tests/test_cuda_data.py", "tests/test_cuda_programs.py")
    build = Step("build", (s.python, str(HERE / "build.py"), str(s.work)), 300, reading.last_json)
    every = "emulated and different_sizes" if s.rehearsal else f"gpu and ({EVERY})"
    short = "emulated and different_sizes" if s.rehearsal else f"gpu and ({SHORT})"
    everything = ("tests/test_draws.py",) if s.rehearsal else (*_parallel(), *kernels, "tests")
    timed = (_events(s), _bench(s, "peers", 430, "--peers", "--rounds", "5"))
    profiles = tuple(_profile(s, case) for case in HOT)
    drawn = Step("roofline", (s.python, str(HERE / "roofline.py"), str(s.output / "profile.json"),
                              str(s.output / "gpu_roofline.png")), 60)  # fmt: skip
    sharing = ("tests/test_gpu_arrays.py", "tests/test_gpu_sharing.py")
    return (
        Stage("headline", "build, conformance of every kernel, headline speeds", (
            build,
            _pytest(s, "conformance", 150, *kernels, "-k", every),
            _bench(s, "speed", 60, "--case", HOT[0], "--case", HOT[1], "--rounds", "3"),
        )),
        Stage("benchmark", "all cases beside JAX and PyTorch, tiny calls, events", (build, *timed)),
        Stage("suite", "the whole suite", (build, _pytest(s, "tests", 440, *everything))),
        Stage("sanitizers", "compute-sanitizer's four tools on a short set", (
            build,
            *(_sanitizer(s, tool, *kernels, "-k", short) for tool in TOOLS),
        )),
        Stage("profile", "issue slots, occupancy, stalls and roofline of the hot kernels", (
            build,
            *profiles,
            drawn,
        )),
        Stage("sharing", "CuPy, PyTorch, streams, several processes, interruption", (
            build,
            _pytest(s, "tests", 200, *sharing, *(("-k", "[cpu]") if s.rehearsal else ())),
        )),
    )  # fmt: skip


def _parallel() -> tuple[str, ...]:
    """Of the whole suite, where pytest-xdist is there: in one process it takes longer than a stage may."""
    return ("-n", "8", "--dist", "loadfile") if importlib.util.find_spec("xdist") else ()


def _command(s: Setting, *arguments: str) -> tuple[str, ...]:
    required = () if s.rehearsal else ("--require-backend=cuda",)
    return (s.python, "-m", "pytest", "-p", "no:cacheprovider", "-q", *required, *arguments)


def _pytest(s: Setting, name: str, seconds: float, *arguments: str) -> Step:
    result = s.work / f"{name}.xml"
    return Step(name, _command(s, f"--junitxml={result}", *arguments), seconds, reading.tests, result)


def _sanitizer(s: Setting, tool: str, *arguments: str) -> Step:
    tracked = ("--error-exitcode", "9", "--target-processes", "all")
    return Step(tool, ("compute-sanitizer", "--tool", tool, *tracked, *_command(s, *arguments)), 110, reading.sanitizer)


def _bench(s: Setting, name: str, seconds: float, *arguments: str) -> Step:
    result = s.work / f"{name}.json"
    shortened = ("--tiny", "--rounds", "1") if s.rehearsal else ()
    command = (s.python, "-m", "anneal_sgd", "bench", "--gpu", *arguments, *shortened, "--json", str(result))
    return Step(name, command, seconds, reading.benchmark, result)


def _events(s: Setting) -> Step:
    shortened = ("--tiny",) if s.rehearsal else ()
    return Step("events", (s.python, str(HERE / "events.py"), *shortened), 60, reading.last_json)


def _profile(s: Setting, case: str) -> Step:
    """The second launch, which is sized by the speed of the first. The clocks stay as the machine has them."""
    one = ("--kernel-name", "regex:ensemble_kernel|step_kernel", "--launch-skip", "1", "--launch-count", "1")
    form = ("--csv", "--print-units", "base", "--target-processes", "all", "--clock-control", "none")
    shortened = ("--tiny",) if s.rehearsal else ()
    command = ("ncu", *form, *one, "--metrics", ",".join(METRICS), s.python, str(HERE / "hot.py"), case, *shortened)
    return Step(case, command, 90, reading.profile)
