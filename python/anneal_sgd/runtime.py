"""What runs the work on this machine: instruction sets, threads, backends. None of it changes a bit of any result.

Environment, read once at first use, by every process for itself: `ANNEAL_SGD_ISA` (one of `supported_isas()`) and
`ANNEAL_SGD_THREADS` (an integer >= 1, for worker processes mostly 1) replace the automatic choices; a call's own `isa=`
and `threads=` go before both. So does `ANNEAL_SGD_MACHINE_CODE` ("auto", "on" or "off"), see `machine_code`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from . import _core, _validate
from ._extras import interrupts_deferred, need
from ._machine import usable_processors

__all__ = [
    "available_backends",
    "cpu_count",
    "cuda_devices",
    "force_isa",
    "info",
    "isa",
    "machine_code",
    "set_isa",
    "set_machine_code",
    "supported_isas",
    "why_no_machine_code",
    "why_unavailable",
]

_BACKENDS = ("cpu", "cuda")
_MACHINE_CODE = ("auto", "on", "off")
_LLVMLITE = (0, 45)  # of LLVM 20
_GPU = "nvptx64-nvidia-cuda"
_chosen_isa: str | None = None
_chosen_machine_code: str | None = None


@cache
def supported_isas() -> tuple[str, ...]:
    """Instruction sets that this build has and this processor runs, slowest first: of "scalar", "avx2" and "avx512",
    or "scalar" and "neon" on 64-bit ARM.

    >>> supported_isas()[0]
    'scalar'
    """
    return tuple(_core.supported_isas())


def isa() -> str:
    """The instruction set that calls without `isa=` use: `set_isa`'s, else the environment's, else the fastest.

    ValueError: `ANNEAL_SGD_ISA` names none of `supported_isas()`.

    >>> isa() in supported_isas()
    True
    """
    return _chosen_isa if _chosen_isa is not None else _default_isa()


def set_isa(name: str | None) -> None:
    """Choose the instruction set for the whole process; None goes back to the automatic choice.

    ValueError: not one of `supported_isas()`.

    >>> set_isa("scalar")
    >>> isa()
    'scalar'
    >>> set_isa(None)
    """
    global _chosen_isa
    _chosen_isa = None if name is None else _validate.choice("isa", name, supported_isas())


@contextmanager
def force_isa(name: str) -> Iterator[None]:
    """`set_isa` for the length of a `with` block (for the whole process, other threads included).

    ValueError: not one of `supported_isas()`.

    >>> with force_isa("scalar"):
    ...     isa()
    'scalar'
    """
    before = _chosen_isa
    set_isa(name)
    try:
        yield
    finally:
        set_isa(before)


def machine_code() -> str:
    """When programs of one's own, and methods on data, become machine code.

    What `set_machine_code` chose, else the environment's, else "auto". "auto": where llvmlite is installed and it pays,
    which is from about 10^9 operations on numbers for each thread of a CPU, or 10^11 of all trajectories on GPUs, or
    where the machine code is there already; "on": wherever it can; "off": never. No bit of any result depends on it.

    ValueError: `ANNEAL_SGD_MACHINE_CODE` is none of these.

    >>> machine_code()
    'auto'
    """
    return _chosen_machine_code if _chosen_machine_code is not None else _default_machine_code()


def set_machine_code(mode: str | None) -> None:
    """Choose "auto", "on" or "off" for the whole process; None goes back to the automatic choice.

    ValueError: another text. ImportError: "on", but llvmlite is missing; the extra `anneal_sgd[jit]` brings it.

    >>> set_machine_code("off")
    >>> machine_code()
    'off'
    >>> set_machine_code(None)
    """
    global _chosen_machine_code
    chosen = None if mode is None else _validate.choice("mode", mode, _MACHINE_CODE)
    if chosen == "on" and (reason := why_no_machine_code()):
        raise ImportError(f"machine code is not available: {reason}")
    _chosen_machine_code = chosen


def why_no_machine_code(backend: str = "cpu") -> str:
    """Why there is no machine code for programs here, in words; empty where there is. ValueError: another backend.

    For "cuda" it may be that a GPU's driver did not load what it was given, the last time that one did not: the
    interpreter's kernel ran then.

    >>> why_no_machine_code() == "" or "llvmlite" in why_no_machine_code()
    True
    """
    name = _validate.choice("backend", backend, _BACKENDS)
    if name == "cpu" or _why_no_llvmlite():
        return _why_no_llvmlite()
    return why_unavailable("cuda") or _why_no_ptx() or _core.cuda_why_no_steps_code()


@cache
def _why_no_ptx() -> str:
    """Where llvmlite is; empty where its LLVM writes it."""
    try:
        _llvm().Target.from_triple(_GPU)
    except RuntimeError as error:
        return f"llvmlite's LLVM does not write PTX: {error}"
    return ""


@cache
def _llvm() -> Any:
    """Of llvmlite, for processors and GPUs."""
    llvm = need("jit", "llvmlite.binding")
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm


@cache
def _why_no_llvmlite() -> str:
    wanted = f"llvmlite {_LLVMLITE[0]}.{_LLVMLITE[1]} or later is needed: pip install 'anneal_sgd[jit]'"
    with interrupts_deferred():
        from importlib.metadata import PackageNotFoundError, version  # takes long to import

        try:
            found = version("llvmlite")
        except PackageNotFoundError:
            return wanted
    return "" if tuple(int(part) for part in found.split(".")[:2]) >= _LLVMLITE else f"{wanted} (it is {found})"


def cpu_count() -> int:
    """Threads that calls without `threads=` use: `ANNEAL_SGD_THREADS`, else as many as there are processors for them.

    These are the processors that the process may run on, or fewer where a container or a batch job has a quota of their
    time (control groups, versions 1 and 2), rounded up. Several worker processes on one machine each count all of them:
    set `ANNEAL_SGD_THREADS=1` in their environment.

    ValueError: `ANNEAL_SGD_THREADS` is not an integer >= 1.

    >>> cpu_count() >= 1
    True
    """
    return _threads_from_environment() or usable_processors()


def available_backends() -> tuple[str, ...]:
    """Backends that can be used here, "cpu" first.

    >>> available_backends()[0]
    'cpu'
    """
    return tuple(name for name in _BACKENDS if not why_unavailable(name))


def why_unavailable(backend: str) -> str:
    """Why the backend, "cpu" or "cuda", cannot be used here, in words; empty where it can. ValueError: another name.

    >>> why_unavailable("cpu")
    ''
    """
    name = _validate.choice("backend", backend, _BACKENDS)
    return (_lost_in_fork or _why_no_cuda()) if name == "cuda" else ""


def cuda_devices() -> list[dict[str, Any]]:
    """The GPUs that the CUDA backend can use, by number: name, compute_capability, memory in bytes, multiprocessors.

    >>> bool(cuda_devices()) == ("cuda" in available_backends())
    True
    """
    return [] if why_unavailable("cuda") else [dict(device) for device in _cuda_devices()]


def info() -> dict[str, Any]:
    """What a bug report needs: versions, instruction sets, threads, backends and why one is missing.

    >>> info()["backends"]["cpu"], len(info())
    ('available', 10)
    """
    return {
        "version": _core.__version__,
        "stream_version": _core.STREAM_VERSION,
        "isa": isa(),
        "isas_supported": supported_isas(),
        "isas_built": tuple(_core.built_isas()),
        "machine_code": why_no_machine_code() or machine_code(),
        "machine_code_cuda": why_no_machine_code("cuda") or machine_code(),
        "threads": cpu_count(),
        "backends": {name: why_unavailable(name) or "available" for name in _BACKENDS},
        "cuda_devices": tuple(
            f"{d['name']}, compute capability {d['compute_capability']}, {d['memory'] / 2**30:.0f} GiB"
            for d in cuda_devices()
        ),
    }


# CUDA does not survive a fork: a child of a process that had asked for a GPU has none.
_lost_in_fork = ""


def _after_fork() -> None:
    global _lost_in_fork
    if _why_no_cuda.cache_info().currsize > 0 and not _why_no_cuda():
        _lost_in_fork = "this process was forked from one that had used CUDA; start it with 'spawn' instead"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@cache
def _why_no_cuda() -> str:
    return _core.cuda_why_unavailable()


@cache
def _cuda_devices() -> tuple[dict[str, Any], ...]:
    return tuple(_core.cuda_devices())


@cache
def _default_isa() -> str:
    name = os.environ.get("ANNEAL_SGD_ISA", "")
    return _validate.choice("ANNEAL_SGD_ISA", name, supported_isas()) if name else supported_isas()[-1]


@cache
def _default_machine_code() -> str:
    return _validate.choice(
        "ANNEAL_SGD_MACHINE_CODE", os.environ.get("ANNEAL_SGD_MACHINE_CODE") or "auto", _MACHINE_CODE
    )


@cache
def _threads_from_environment() -> int | None:
    text = os.environ.get("ANNEAL_SGD_THREADS", "")
    if not text:
        return None
    try:
        return _validate.integer("ANNEAL_SGD_THREADS", int(text), lowest=1, highest=2**31 - 1)
    except ValueError:
        raise ValueError(f"ANNEAL_SGD_THREADS must be an integer >= 1, got {text!r}") from None
