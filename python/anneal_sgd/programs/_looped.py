"""Steps as loops over the numbers of vectors, for points and programs of many.

Operations on number after number go through one loop where they may, level by level: a value that the loop of a level
makes is read by the same loop at the same number, and from memory by loops of later levels. Within a level come matrix
products and marks of extremes, then loops by length, then single numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ._ir import ELEMENTWISE, REDUCTIONS
from ._steps import ACCUMULATORS, Steps, applied
from ._vectors import Real, fma, maximum, minimum, select_less

_APART = ("first_max", "first_min", "matvec")
_ROWS_TOGETHER = 8  # of a matrix: sums that registers hold
_SINGLE = 0  # in place of a length: of one number taken for several


class _Source(NamedTuple):
    """Whose numbers a value has: number r is number first + r * step of another, which is no slice."""

    node: int
    first: int
    step: int


@dataclass
class _Level:
    """What can be done at once."""

    apart: list[int] = field(default_factory=list)
    loops: dict[int, list[int]] = field(default_factory=dict)
    """By length: operations on number after number, reductions, and numbers put into vectors."""
    single: list[int] = field(default_factory=list)


class Looped(Steps):
    """For points and programs of many numbers."""

    then: Looped | None
    levels: list[_Level]
    place: dict[int, tuple[int, int]]  # level and length (_SINGLE, or -1: apart) of what is computed
    slots: dict[int, int]  # by node: the row of the scratch memory where its numbers begin
    single: dict[int, Real]  # of the step at hand
    own_loop: bool  # whether the point is moved in a loop of its own
    norms: int  # row of the accumulators of the point's squared norm
    changed: list[tuple[int, int]]  # parts of the state, and what they become
    copies: dict[int, int]  # rows of copies of what moves x or the state, and is a part of these that moves itself

    def prepare(self) -> None:
        """Plan levels and memory."""
        self._plan()
        self._reserve()

    def _plan(self) -> None:
        nodes = self.program.nodes
        needed = {self.moving, *self.kept}
        for i in range(max(needed), -1, -1):
            if i in needed and not self.is_fixed(i):
                needed.update(nodes[i].operands)
        self.needed = sorted(i for i in needed if not self.is_fixed(i) and nodes[i].operands)
        self.levels, self.place = [], {}
        for i in self.needed:
            node = nodes[i]
            if node.op in ("slice", "element"):
                continue
            apart = node.op in _APART
            length = self._length(i)
            level = max(self._available(o, -1 if apart else length) for o in node.operands)
            while len(self.levels) <= level:
                self.levels.append(_Level())
            now = self.levels[level]
            self.place[i] = level, -1 if apart else length
            if apart:
                now.apart.append(i)
            elif length == _SINGLE:
                now.single.append(i)
            else:
                now.loops.setdefault(length, []).append(i)

    def _length(self, i: int) -> int:
        """Of the loop that an operation belongs to."""
        node = self.program.nodes[i]
        shape = node.shape if node.op in ELEMENTWISE else self.program.nodes[node.operands[0]].shape
        return shape[0] if shape else _SINGLE

    def _source(self, i: int) -> _Source:
        first, step = 0, 1 if self.program.nodes[i].shape else 0
        while not self.is_fixed(i) and self.program.nodes[i].op in ("slice", "element"):
            node = self.program.nodes[i]
            if node.op == "element":
                first = node.attribute
            else:
                start, _, by = node.attribute
                first, step = start + first * by, step * by
            i = node.operands[0]
        return _Source(i, first, step)

    def _is_direct(self, i: int) -> bool:
        """Whether it is no part of another value."""
        return self.is_fixed(i) or self.program.nodes[i].op not in ("slice", "element")

    def _available(self, i: int, length: int) -> int:
        """The first level at which a loop of that length, single operations or what is apart can read it."""
        source = self._source(i).node
        if source not in self.place:
            return 0
        level, made_in = self.place[source]
        if made_in == -1:
            return level
        if made_in == _SINGLE or self.program.nodes[source].op in REDUCTIONS:
            return level if length == _SINGLE else level + 1
        same_loop = made_in == length and self._is_direct(i) and self.program.nodes[source].op != "embed"
        return level if same_loop or length == _SINGLE else level + 1

    def _reserve(self) -> None:
        """Rows of scratch memory for what loops hand to others, and where the point is moved."""
        moving = self._source(self.moving).node
        level, made_in = self.place.get(moving, (0, -1))
        loop = self.levels[level].loops.get(self.d, []) if made_in == self.d else []
        reads = [o for i in loop for o in self.program.nodes[i].operands]
        ordered = all(self._is_direct(o) or self.program.nodes[self._source(o).node].op != "point" for o in reads)
        elementwise = self._is_direct(self.moving) and self.program.nodes[moving].op in ELEMENTWISE
        self.own_loop = not (loop and ordered and elementwise and not self.kept)
        readers: dict[int, list[tuple[int, int, bool]]] = {}
        for i in self.needed:
            if i in self.place:
                for o in self.program.nodes[i].operands:
                    readers.setdefault(self._source(o).node, []).append((*self.place[i], self._is_direct(o)))
        if self.own_loop:
            for i in (self.moving, *self.kept):
                readers.setdefault(self._source(i).node, []).append((len(self.levels), self.d, False))
        self.slots = {}
        for i, where in self.place.items():
            node = self.program.nodes[i]
            if node.op in REDUCTIONS:
                if node.op.startswith("sum"):
                    self.slots[i] = self.code.take_rows(min(ACCUMULATORS, self.size(node.operands[0])))
            elif node.shape and (
                node.op not in ELEMENTWISE or any(one != (*where, True) for one in readers.get(i, []))
            ):
                self.slots[i] = self.code.take_rows(self.size(i))
        self.copies = {}
        if self.projection == "ball":
            self.norms = self.code.take_rows(min(ACCUMULATORS, self.d))
        self.changed = [(k, i) for k, i in enumerate(self.kept) if not self._is_part(k, i)]
        for i in dict.fromkeys((self.moving, *(i for _, i in self.changed))):
            if self.program.nodes[self._source(i).node].op in ("point", "state"):
                self.copies[i] = self.code.take_rows(self.size(i))

    def _is_part(self, k: int, i: int) -> bool:
        """Whether a step leaves part k of the state as it is."""
        node = self.program.nodes[i]
        return node.op == "state" and node.attribute == k

    # --- a step

    def take_group(self) -> None:
        """Loops over steps."""
        self._zero_all()
        if self.then is not None:
            self.then._zero_all()

        def of_step(step: str, _: list[Real]) -> list[Real]:
            self.begin_step(step)
            self._take_step()
            if self.then is not None:
                self.then._take_step()
            return []

        self.code.loop("step", self.arguments["steps"], [], of_step)

    def _zero_all(self) -> None:
        """What numbers are put into."""
        for i, slot in self.slots.items():
            if self.program.nodes[i].op == "embed":
                self._fill(f"zeros{i}", slot, self.size(i))

    def _take_step(self) -> None:
        self.single = {}
        if self.projection == "ball":
            self._fill("norms", self.norms, min(ACCUMULATORS, self.d))
        for number, level in enumerate(self.levels):
            for i in level.apart:
                (self._multiply if self.program.nodes[i].op == "matvec" else self._mark)(i)
            for length, members in level.loops.items():
                self._loop(f"level{number}.{length}", length, members)
            for i in level.single:
                self._compute_single(i)
        if self.own_loop:
            self._move_all()
        if self.projection == "ball":
            factor = self.ball_factor(self._folded_slot(self.norms, self.d))
            self.code.loop("ball", str(self.d), [], lambda r, _: self._scale(r, factor))

    def _loop(self, name: str, length: int, members: Sequence[int]) -> None:
        code, nodes = self.code, self.program.nodes
        extremes = [i for i in members if nodes[i].op in ("max", "min")]
        for i in members:
            if nodes[i].op in ("sum", "sum_product"):
                self._fill(f"sums{i}", self.slots[i], min(ACCUMULATORS, length))
        moves = not self.own_loop and self.moving in members

        def of_turn(r: str, carried: list[Real]) -> list[Real]:
            here: dict[int, Real] = {}
            extreme = dict(zip(extremes, carried, strict=True))
            for i in members:
                node = nodes[i]
                operands = [self._number(o, r, here) for o in node.operands]
                if i in extreme:
                    extreme[i] = operands[0] if length == 1 else self._further(node.op, extreme[i], operands[0])
                elif node.op in REDUCTIONS:
                    self._add(self.slots[i], r, operands)
                elif node.op == "embed":
                    start, step, _ = node.attribute
                    code.store(self._slot(i, self._index(r, start, step)), operands[0])
                else:
                    here[i] = applied(node, operands)
                    if i in self.slots:
                        code.store(self._slot(i, r), here[i])
            if moves:
                self._move(r, here[self.moving])
            return [extreme[i] for i in extremes]

        start = [code.constant(-math.inf if nodes[i].op == "max" else math.inf) for i in extremes]
        found = code.loop(name, str(length), start, of_turn)
        self.single.update(zip(extremes, found, strict=True))
        for i in members:
            if nodes[i].op in ("sum", "sum_product"):
                self.single[i] = self._folded_slot(self.slots[i], length)

    def _move_all(self) -> None:
        """The point and the state, in loops of their own; what is a part of these itself is copied first."""
        code = self.code

        def moved(i: int, r: str) -> Real:
            if i in self.copies:
                return code.load(self._scratch(self._index(r, self.copies[i], 1)))
            return self._number(i, r, {})

        def copy(i: int, slot: int) -> None:
            def turn(r: str, _: list[Real]) -> list[Real]:
                code.store(self._scratch(self._index(r, slot, 1)), self._number(i, r, {}))
                return []

            code.loop(f"copy{i}", str(self.size(i)), [], turn)

        def keep(part: int, i: int) -> None:
            def turn(r: str, _: list[Real]) -> list[Real]:
                code.store(self.state("x", self._index(r, self.first_of_part[part], 1)), moved(i, r))
                return []

            code.loop(f"keep{part}", str(self.size(i)), [], turn)

        for i, slot in self.copies.items():
            copy(i, slot)
        for part, i in self.changed:
            keep(part, i)
        code.loop("move", str(self.d), [], lambda r, _: self._move(r, moved(self.moving, r)))

    def _further(self, op: str, extreme: Real, x: Real) -> Real:
        return (maximum if op.endswith("max") else minimum)(extreme, x)

    def _compute_single(self, i: int) -> None:
        node = self.program.nodes[i]
        operands = [self._number(o, "0", {}) for o in node.operands]
        if node.op == "embed":
            self.code.store(self._slot(i, str(node.attribute[0])), operands[0])
        else:
            self.single[i] = applied(node, operands)

    def _move(self, r: str, moving: Real) -> list[Real]:
        code = self.code
        x, low = self.state("x", r), self.state("low", r)
        moved, lost = self.moved(moving, code.load(x), code.load(low))
        if self.projection == "box":
            ends = [code.spread(self.element(self.arguments[name], r)) for name in ("lower", "upper")]
            moved = self.in_box(moved, (ends[0], ends[1]))
        code.store(x, moved)
        code.store(low, lost)
        if self.projection == "ball":
            self._add(self.norms, r, [moved, moved])
        elif self.projection != "own":
            self._sum_iterate(r, moved)
        return []

    def _scale(self, r: str, factor: Real) -> list[Real]:
        x = self.state("x", r)
        moved = self.code.load(x) * factor
        self.code.store(x, moved)
        self._sum_iterate(r, moved)
        return []

    def _sum_iterate(self, r: str, x: Real) -> None:
        if self.summing:
            at = self.state("sum", r)
            self.code.store(at, self.code.load(at) + x)

    # --- numbers

    def _number(self, i: int, r: str, here: dict[int, Real]) -> Real:
        """Number r of a value; `here`: those that the loop at work has made."""
        if i in here:
            return here[i]
        source, first, step = self._source(i)
        if source in self.single:
            return self.single[source]
        code, node, index = self.code, self.program.nodes[source], self._index(r, first, step)
        if node.op == "point":
            return code.load(self.state("x", index))
        if node.op == "state":
            return code.load(self.state("x", self._index(index, self.first_of_part[node.attribute], 1)))
        if node.op == "step":
            return self.number_of_step(source)
        if self.is_fixed(source):
            if node.op == "constant" and node.shape == ():
                return code.constant(node.attribute.array[0])
            view = self.placed.views[source]
            return code.spread(self.row(self.arguments["registers"], self._index(index, view.row, view.step)))
        if node.op == "draw":
            view = self.placed.views[source]
            return self.draw(source, self._index(index, view.row, view.step))
        return code.load(self._slot(source, index))

    def _index(self, r: str, first: int, step: int) -> str:
        """`first + r * step`."""
        if step == 0:
            return str(first)
        scaled = r if step == 1 else self.code.named(f"mul i64 {r}, {step}")
        return scaled if first == 0 else self.code.named(f"add i64 {scaled}, {first}")

    # --- scratch memory

    def _slot(self, i: int, r: str) -> str:
        return self._scratch(self._index(r, self.slots[i], 1))

    def _scratch(self, row: str) -> str:
        bytes_before = self.code.named(f"mul i64 {row}, {self.lanes * self.code.size}")
        return self.after(self.arguments["scratch"], bytes_before)

    def _fill(self, name: str, slot: int, count: int) -> None:
        zero = self.code.constant(0.0)

        def of_turn(r: str, _: list[Real]) -> list[Real]:
            self.code.store(self._scratch(self._index(r, slot, 1)), zero)
            return []

        self.code.loop(name, str(count), [], of_turn)

    def _add(self, slot: int, r: str, operands: list[Real]) -> None:
        """A number, or a product, to the accumulator of its turn."""
        code = self.code
        at = self._scratch(self._index(code.named(f"and i64 {r}, {ACCUMULATORS - 1}"), slot, 1))
        before = code.load(at)
        code.store(at, before + operands[0] if len(operands) == 1 else fma(operands[0], operands[1], before))

    def _folded_slot(self, slot: int, count: int) -> Real:
        rows = range(slot, slot + min(ACCUMULATORS, count))
        return self.folded([self.code.load(self._scratch(str(row))) for row in rows])

    # --- what is apart

    def _mark(self, i: int) -> None:
        code, node = self.code, self.program.nodes[i]
        operand, n = node.operands[0], self.size(i)
        zero, one = code.constant(0.0), code.constant(1.0)

        def further(r: str, carried: list[Real]) -> list[Real]:
            x = self._number(operand, r, {})
            return [x if n == 1 else self._further(node.op, carried[0], x)]

        start = code.constant(-math.inf if node.op == "first_max" else math.inf)
        [extreme] = code.loop(f"extreme{i}", str(n), [start], further)

        def marked(r: str, carried: list[Real]) -> list[Real]:
            x, found = self._number(operand, r, {}), carried[0]
            here = select_less(x, extreme, zero, select_less(extreme, x, zero, one))
            mark = select_less(zero, found, zero, here)
            code.store(self._slot(i, r), mark)
            return [found + mark]

        code.loop(f"marks{i}", str(n), [zero], marked)

    def _multiply(self, i: int) -> None:
        rows = self.size(i)
        whole, rest = divmod(rows, _ROWS_TOGETHER)
        if whole:
            self.code.loop(
                f"rows{i}",
                str(whole),
                [],
                lambda r, _: self._multiply_rows(i, self._index(r, 0, _ROWS_TOGETHER), _ROWS_TOGETHER),
            )
        if rest:
            self._multiply_rows(i, str(whole * _ROWS_TOGETHER), rest)

    def _multiply_rows(self, i: int, row: str, count: int) -> list[Real]:
        """Products in order, fused into one sum each."""
        code, node = self.code, self.program.nodes[i]
        operand, columns = node.operands[0], self.size(node.operands[0])
        first = self._index(row, 0, columns)
        numbers = self.element(self.arguments["numbers"], self._index(first, self.placed.numbers[i], 1))

        def of_column(j: str, sums: list[Real]) -> list[Real]:
            x = self._number(operand, j, {})
            at = self.element(numbers, j)
            return [fma(code.spread(self.element(at, str(k * columns))), x, total) for k, total in enumerate(sums)]

        sums = code.loop(f"columns{i}.{count}", str(columns), [code.constant(0.0)] * count, of_column)
        for k, total in enumerate(sums):
            code.store(self._slot(i, self._index(row, k, 1)), total)
        return []
