"""Machine code for the steps of a program, made by LLVM where llvmlite is installed, and kept for the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

from .. import _core, runtime
from .._extras import need
from ._ir import Program, in_turn, step_outputs

_KEPT = 256  # programs of which something is known
_PAYS = 1e9  # operations on numbers: the interpreter takes some 0.1 to 0.2 s longer for them, to compile about as long
_FEATURES = {
    "avx2": "+avx2,+fma",
    "avx512": "+avx2,+fma,+avx512f,+avx512dq,+avx512bw,+avx512vl",
    "neon": "+neon",
}  # without a fused multiply-add of the processor, as on the scalar instruction set, every one would be a call


@dataclass
class _Known:
    """Of a program, in one dtype and so on."""

    done: float = 0.0
    """Operations on numbers in this process so far, on each thread."""
    tried: bool = False
    code: _core.MachineCode | None = None
    """None before, and of a program that only the interpreter runs."""


_known: OrderedDict[tuple[Program, str, str, str, bool], _Known] = OrderedDict()
_lock = threading.Lock()


def machine_code(
    program: Program, *, dtype: str, isa: str, projection: str, summing: bool, steps: float
) -> _core.MachineCode | None:
    """Of a canonical program, for a call in which each thread takes so many steps of trajectories.

    None where the interpreter is to run it: `runtime.machine_code` says when. ImportError: it is to be machine code,
    but there is no llvmlite.
    """
    mode = runtime.machine_code()
    if mode == "off" or isa not in _FEATURES or (mode == "auto" and runtime.why_no_machine_code()):
        return None
    key = (program, dtype, isa, projection, summing)
    with _lock:
        if key not in _known:
            _known[key] = _Known()
            if len(_known) > _KEPT:
                _known.popitem(last=False)
        _known.move_to_end(key)
        known = _known[key]
        if not known.tried:
            known.done += sum(map(operations, in_turn(program))) * steps
            if mode == "on" or known.done >= _PAYS:
                known.tried, known.code = True, _compiled(*key)
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


def _compiled(program: Program, dtype: str, isa: str, projection: str, summing: bool) -> _core.MachineCode | None:
    from ._step_code import step_code  # what it needs takes long to import

    code = step_code(program, dtype, isa, projection, summing)
    if code is None:
        return None
    llvm = _llvm()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(features=_FEATURES[isa], opt=2, jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(code.text), machine)
    engine.finalize_object()
    return _core.MachineCode(
        address=engine.get_function_address("steps"), lanes=code.lanes, scratch=code.scratch, owner=engine
    )


@cache
def _llvm() -> Any:
    llvm = need("jit", "llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm
