"""Machine code for steps of programs and of methods on data, made by LLVM where llvmlite is installed, and kept.

For GPUs it is PTX, the assembler text that their driver compiles: it needs neither CUDA's tools nor CuPy.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Generic, TypeVar

import numpy as np

from .. import _core, runtime
from .._extras import interrupts_deferred
from .._locks import ProcessLock
from ._ir import Program, in_turn, step_outputs

_KEPT = 256  # programs of which something is known
_PAYS = 1e9  # operations on numbers: the interpreter takes some 0.1 to 0.2 s longer for them, to compile about as long
_PAYS_ON_GPU = 1e11  # of all trajectories: what a large GPU's interpreter is counted to take about as long for
_FEATURES = {
    "avx2": "+avx2,+fma",
    "avx512": "+avx2,+fma,+avx512f,+avx512dq,+avx512bw,+avx512vl",
    "neon": "+neon",
}  # without a fused multiply-add of the processor, as on the scalar instruction set, every one would be a call
_HALF = {"avx2": 128, "avx512": 256, "neon": 32}  # bytes of half a strip of the core's; more go by whole ones
_OLDEST_GPU = "sm_75"  # its PTX is for all later ones

_Code = TypeVar("_Code")
_Few = tuple[int, int] | None  # powers of two that are no less than replicates and configs; None: many replicates


@dataclass
class _Known(Generic[_Code]):
    """Of a program, in one dtype and so on."""

    done: float = 0.0
    """Operations on numbers in this process so far, on each thread of a CPU."""
    tried: bool = False
    code: _Code | None = None
    """None before, and of a program that only the interpreter runs."""


_known: OrderedDict[tuple[Program, str, str, str, bool, _Few], _Known[_core.MachineCode]] = OrderedDict()
_known_on_data: OrderedDict[tuple[Program, str, str, tuple[int, ...], bool], _Known[_core.MethodCode]] = OrderedDict()
_known_on_gpus: OrderedDict[tuple[Program, str, str, bool, int], _Known[_core.StepsCode]] = OrderedDict()
_Key = TypeVar("_Key", bound=tuple[Any, ...])
_lock = ProcessLock()


def machine_code(
    program: Program,
    *,
    dtype: str,
    isa: str,
    projection: str,
    summing: bool,
    replicates: int,
    configs: int,
    steps: float,
) -> _core.MachineCode | None:
    """Of a canonical program, for a call of so many replicates and configs of a problem, in which a thread takes so
    many steps of trajectories.

    None where the interpreter is to run it: `runtime.machine_code` says when. ImportError: it is to be machine code,
    but there is no llvmlite.
    """
    if not _may_be_made(isa):
        return None
    few = None
    if replicates * np.dtype(dtype).itemsize <= _HALF[isa]:
        few = 2 ** (replicates - 1).bit_length(), min(8, 2 ** (configs - 1).bit_length())
    key = (program, dtype, isa, projection, summing, few)
    return _looked_up(_known, key, runtime.machine_code(), steps, _PAYS, _compiled)


def method_code(
    program: Program, *, dtype: str, isa: str, sizes: tuple[int, ...], intercept: bool, steps: float
) -> _core.MethodCode | None:
    """The same of a method's program, on data: of a network of these sizes of layers."""
    if not _may_be_made(isa):
        return None
    key = (program, dtype, isa, sizes, intercept)
    return _looked_up(_known_on_data, key, runtime.machine_code(), steps, _PAYS, _of_method)


def _may_be_made(isa: str) -> bool:
    mode = runtime.machine_code()
    return mode != "off" and isa in _FEATURES and not (mode == "auto" and runtime.why_no_machine_code())


def steps_code(
    program: Program, *, dtype: str, projection: str, summing: bool, log2_team: int, steps: float
) -> _core.StepsCode | None:
    """The same for GPUs; `steps`: of all trajectories of the call; `log2_team`: what `_core.log2_team` says."""
    mode = runtime.machine_code()
    if mode == "off" or (mode == "auto" and runtime.why_no_machine_code()):
        return None
    key = (program, dtype, projection, summing, log2_team)
    return _looked_up(_known_on_gpus, key, mode, steps, _PAYS_ON_GPU, _compiled_for_gpus)


def _looked_up(
    table: OrderedDict[_Key, _Known[_Code]],
    key: _Key,
    mode: str,
    steps: float,
    pays: float,
    compiled: Callable[..., _Code | None],
) -> _Code | None:
    with _lock:
        if key not in table:
            table[key] = _Known()
            if len(table) > _KEPT:
                table.popitem(last=False)
        table.move_to_end(key)
        known = table[key]
        if not known.tried:
            known.done += sum(map(operations, in_turn(key[0]))) * steps
            if mode == "on" or known.done >= pays:
                with interrupts_deferred():
                    known.tried, known.code = True, compiled(*key)
        return known.code


def operations(program: Program) -> int:
    """On numbers, for a step of a trajectory."""
    total, needed = 4 * program.dimension, set(step_outputs(program))
    for i in range(len(program.nodes) - 1, -1, -1):
        node = program.nodes[i]
        if i in needed and node.operands:
            needed.update(node.operands)
            taken = program.nodes[node.operands[0]].shape if node.op == "matvec" or node.shape == () else ()
            total += prod(node.shape) * prod(taken)
    return total


def _compiled(
    program: Program, dtype: str, isa: str, projection: str, summing: bool, few: _Few
) -> _core.MachineCode | None:
    from ._step_code import step_code  # what it needs takes long to import

    code = step_code(program, dtype, isa, projection, summing, *few or ())
    if code is None:
        return None
    address, owner = _function(code.text, isa)
    return _core.MachineCode(address=address, lanes=code.lanes, part=code.part, scratch=code.scratch, owner=owner)


def _of_method(
    program: Program, dtype: str, isa: str, sizes: tuple[int, ...], intercept: bool
) -> _core.MethodCode | None:
    from ._method_code import method_text

    texts = method_text(program, dtype, isa, sizes, intercept)
    if texts is None:
        return None
    made = [(0, None) if text is None else _function(text, isa) for text in (texts.step, *texts.points)]
    (address, _), *points = made
    return _core.MethodCode(
        address=address,
        points=[point for point, _ in points],
        scratch=texts.scratch,
        constants=texts.constants,
        owner=[owner for _, owner in made],
    )


def _function(text: str, isa: str) -> tuple[int, object]:
    """The address of a module's `steps`, and what keeps it in memory."""
    llvm = runtime._llvm()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(features=_FEATURES[isa], opt=2, jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    return engine.get_function_address("steps"), engine


def _compiled_for_gpus(
    program: Program, dtype: str, projection: str, summing: bool, log2_team: int
) -> _core.StepsCode | None:
    from ._kernel_code import kernel_code

    text = None if runtime._why_no_ptx() else kernel_code(program, dtype, projection, summing, log2_team)
    return None if text is None else _core.StepsCode(ptx=ptx(text), log2_team=log2_team)


def ptx(text: str) -> str:
    """Of a module in LLVM's language."""
    llvm = runtime._llvm()
    module = llvm.parse_assembly(text)
    module.triple = runtime._GPU
    machine = llvm.Target.from_triple(runtime._GPU).create_target_machine(cpu=_OLDEST_GPU, opt=2)
    return str(machine.emit_assembly(module))
