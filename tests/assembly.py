"""What LLVM makes of the text of machine code for a processor, which need not be this one."""

import re

import pytest

from anneal_sgd.programs import _machine_code


def assembled(text, isa):
    """The assembly of a module; the test is skipped without llvmlite."""
    llvm = pytest.importorskip("llvmlite.binding")
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = "aarch64-linux-gnu" if isa == "neon" else "x86_64-linux-gnu"
    features = _machine_code._FEATURES[isa]
    machine = llvm.Target.from_triple(triple).create_target_machine(features=features, opt=2)
    module = llvm.parse_assembly(text)
    module.triple = triple
    return machine.emit_assembly(module)


def has_fused_vectors(assembly, isa):
    """Whether vectors are multiplied and added at once."""
    return bool(re.search(r"\tfmla\tv" if isa == "neon" else r"\tvfn?m(add|sub)\d+p", assembly))


def calls_something(assembly):
    return bool(re.search(r"\t(bl|blr|callq?)\t", assembly))
