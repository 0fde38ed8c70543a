"""Code that takes the steps of a program on a GPU: the text of an LLVM function, a thread of which has a trajectory.

See `StepsLaunch` of csrc/cuda/launch.hpp for what the function gets and how numbers lie.
"""

from __future__ import annotations

import itertools
from math import prod

from ._ir import STEP, Program, in_turn, step_numbers
from ._lower import placed, state_rows
from ._step_code import unrolled_operations
from ._unrolled import Unrolled
from ._vectors import Code, Real

POINTERS = ("x", "low", "sum", "states", "draws", "minus_lr", "parameters", "lower", "upper", "radius")
COUNTS = (
    "parameter_row", "parameter_column", "lower_row", "lower_column", "upper_row", "upper_column", "radius_row",
    "first_config", "stop_config", "first_replicate", "stop_replicate", "config_groups", "configs_per_problem",
    "log2_replicates", "configs", "blocks", "steps", "first_step", "draw_block", "draw_step", "rates_row",
)  # fmt: skip
_BLOCK_THREADS, _ABREAST, _WARP = 256, 4, 32  # csrc/cuda/block.hpp
_MOST_STATE = 96  # numbers of 4 bytes that a thread holds from step to step; it has at most 255 registers
_MOST_OPERATIONS = 1500


class KernelCode(Code):
    """Lines of a function for one trajectory: vectors of one number."""

    def __init__(self, dtype: str, log2_team: int, device: bool) -> None:
        """`log2_team`: of the layout of the interpreter's kernel; `device`: for a GPU, else for a test of it."""
        super().__init__(dtype, "gpu", 1)
        self.log2_team, self.device = log2_team, device

    @property
    def text(self) -> str:
        """A module whose function is `steps`."""
        if self.device:
            size = len(POINTERS) + len(COUNTS)
            sreg = "llvm.nvvm.read.ptx.sreg"
            self.declare(f"declare i32 @{sreg}.ctaid.x()")
            self.declare(f"declare i32 @{sreg}.tid.x()")
            head = [
                f"define ptx_kernel void @steps(ptr byval([{size} x i64]) align 8 %arguments) #0 {{",
                "entry:",
                f"  %block = call i32 @{sreg}.ctaid.x()",
                f"  %thread = call i32 @{sreg}.tid.x()",
            ]
            about = f'attributes #0 = {{ nounwind "nvvm.maxntid"="{_BLOCK_THREADS}" }}'
        else:
            head = ["define void @steps(ptr %arguments, i32 %block, i32 %thread) #0 {", "entry:"]
            about = "attributes #0 = { nounwind }"
        return "\n".join([*sorted(self.declared), *head, *self.lines, "}", about])

    def number(self, operation: str, a: str, b: str | int) -> str:
        """Of two whole numbers."""
        return self.named(f"{operation} i64 {a}, {b}")

    def of_double(self, pointer: str) -> Real:
        """A double in memory, rounded to the dtype."""
        one = self.named(f"load double, ptr {pointer}, align 8")
        if self.size == 4:
            one = self.named(f"fptrunc double {one} to float")
        return self.splat(one)


def kernel_code(
    program: Program, dtype: str, projection: str, summing: bool, log2_team: int, *, device: bool = True
) -> str | None:
    """Of a canonical program with an output "gradient" or "next".

    None: it would be too long for a thread, or takes numbers that follow schedules, which nothing leaves for it.
    """
    if step_numbers(program) > STEP.index("t") + 1:
        return None
    size = 1 if dtype == "float32" else 2
    numbers = (3 if summing else 2) * program.dimension + state_rows(program)[-1] - program.dimension
    if size * numbers > _MOST_STATE or sum(map(unrolled_operations, in_turn(program))) > _MOST_OPERATIONS:
        return None
    code = KernelCode(dtype, log2_team, device)
    Kernel(code, program, placed(program), projection, summing).write()
    return code.text


class Kernel(Unrolled):
    """All steps of a trajectory, whose point stays in registers."""

    code: KernelCode
    then: Kernel | None
    _within_fixed = False

    def write(self) -> None:
        """All of it."""
        code = self.code
        for place, name in enumerate((*POINTERS, *COUNTS)):
            kind = "ptr" if name in POINTERS else "i64"
            self.arguments[name] = code.named(f"load {kind}, ptr {self.after('%arguments', str(8 * place))}, align 8")
        self._find_place()
        radius = code.named(f"load double, ptr {self._of_problem('radius')}, align 8")
        squared = code.named(f"fmul double {radius}, {radius}")
        for name, x in (("%radius", radius), ("%squared", squared)):
            real = f"fptrunc double {x} to float" if code.size == 4 else f"fadd double {x}, 0x8000000000000000"
            code.line(f"  {name} = {real}")
            self.radius.append(code.splat(name))
        for part in (self, self.then):
            if part is not None:
                part.prepare()
        self.take_group()
        code.line("  br label %end")
        code.label("end")
        code.line("  ret void")

    def _find_place(self) -> None:
        """Which trajectory it is, and where its numbers are; threads without one end here.

        As places.hpp has it; a thread takes replicate k of the four of team `q` of block `b` there.
        """
        code, a, number = self.code, self.arguments, self.code.number
        team = 1 << code.log2_team
        quadruples = _BLOCK_THREADS >> code.log2_team
        trajectories = quadruples * _ABREAST
        block, thread = (code.named(f"zext i32 %{name} to i64") for name in ("block", "thread"))
        all_ = number("add", number("mul", block, _BLOCK_THREADS), thread)
        warp, lane = number("udiv", all_, _WARP), number("urem", all_, _WARP)
        teams = _WARP // _ABREAST
        k = number("udiv", lane, teams)
        of_all = number("add", number("mul", warp, teams), number("urem", lane, teams))
        b, q = number("udiv", of_all, quadruples), number("urem", of_all, quadruples)
        trajectory = number("mul", q, _ABREAST)
        c = number("lshr", trajectory, a["log2_replicates"])
        group, set_ = number("urem", b, a["config_groups"]), number("udiv", b, a["config_groups"])
        config = number("add", number("add", a["first_config"], number("mul", group, a["configs"])), c)
        first = number("add", a["first_replicate"], number("shl", set_, a["log2_replicates"]))
        in_set = number("sub", trajectory, number("shl", c, a["log2_replicates"]))
        there = [
            code.named(f"icmp ult i64 {x}, {stop}")
            for x, stop in (
                (b, a["blocks"]),
                (c, a["configs"]),
                (config, a["stop_config"]),
                (number("add", first, in_set), a["stop_replicate"]),
            )
        ]
        every = there[0]
        for one in there[1:]:
            every = code.named(f"and i1 {every}, {one}")
        code.line(f"  br i1 {every}, label %there, label %end")
        code.label("there")
        a["problem"] = number("udiv", config, a["configs_per_problem"])
        per_thread = -(-self.d // team)
        element = number("add", number("mul", b, per_thread * _ABREAST * _BLOCK_THREADS), number("mul", q, team))
        element = number("add", element, number("mul", k, _BLOCK_THREADS))
        for name in ("x", "low", "sum"):
            a[name] = self.element(a[name], element)
        states = number("mul", b, (self.first_of_part[-1] - self.d) * trajectories)
        a["states"] = self.element(a["states"], number("add", number("add", states, trajectory), k))
        a["draws"] = self.element(a["draws"], number("add", number("mul", warp, a["draw_block"]), lane))
        rates = number("mul", number("add", number("mul", b, a["configs"]), c), a["rates_row"])
        a["minus_lr"] = self.element(a["minus_lr"], rates)

    def _of_problem(self, name: str, column: int = 0) -> str:
        """Where a number of the problem at hand is, a double."""
        a, number = self.arguments, self.code.number
        row = {"parameters": "parameter"}.get(name, name)
        at = number("mul", a["problem"], a[f"{row}_row"])
        if column:
            at = number("add", at, number("mul", a[f"{row}_column"], column))
        return self.code.named(f"getelementptr double, ptr {a[name]}, i64 {at}")

    def prepare(self) -> None:
        """Compute what steps do not change."""
        self.now, self.known, self.ends = {}, {}, []
        self._within_fixed = False
        fixed = [key for key in self._numbers() if self.is_fixed(key[0])]
        self._within_fixed = True
        for key in fixed:
            self._number(*key)
        self._within_fixed = False
        self.known = self.now
        if self.projection == "box":
            self.ends = [
                (self.code.of_double(self._of_problem("lower", i)), self.code.of_double(self._of_problem("upper", i)))
                for i in range(self.d)
            ]

    def is_fixed(self, i: int) -> bool:
        """Whether steps do not change it; while that is computed, whether nothing computes it."""
        return super().is_fixed(i) and not (self._within_fixed and self.program.nodes[i].operands)

    def _computed(self, i: int, k: int) -> Real:
        node = self.program.nodes[i]
        if node.op == "constant":
            return self.code.constant(node.attribute.array[k])
        if node.op == "parameter":
            sizes = [prod(shape) for _, shape in self.program.parameters]
            names = [name for name, _ in self.program.parameters]
            first = dict(zip(names, itertools.accumulate(sizes, initial=0), strict=False))
            return self.code.of_double(self._of_problem("parameters", first[node.attribute] + k))
        return super()._computed(i, k)

    def begin_step(self, step: str) -> None:
        """Where its draws are, and how far it moves."""
        code, a = self.code, self.arguments
        self.draws = self.element(a["draws"], code.number("mul", step, a["draw_step"]))
        self.minus_lr = code.spread(self.element(a["minus_lr"], step))
        if any(node.op == "step" for node in self.program.nodes):
            self.t = code.whole(code.number("add", code.number("add", a["first_step"], step), 1))
            self.following = []

    def draw(self, i: int, row: str) -> Real:
        """Of the step at hand."""
        return self.code.load(self.after(self.draws, str(int(row) * _WARP * self.code.size)))

    def state(self, name: str, number: str) -> str:
        """Of a number of the point's, or of the state behind it."""
        i, team = int(number), 1 << self.code.log2_team
        if i >= self.d:
            at = (i - self.d) * (_BLOCK_THREADS >> self.code.log2_team) * _ABREAST
            return self.after(self.arguments["states"], str(at * self.code.size))
        at = i // team * _ABREAST * _BLOCK_THREADS + i % team
        return self.after(self.arguments[name], str(at * self.code.size))
