"""Steps whose point stays in vector registers, the numbers of the program written one after another."""

from __future__ import annotations

from ._steps import ACCUMULATORS, OF_SEVERAL, Steps, applied
from ._vectors import Real, fma, maximum, minimum, select_less


class Unrolled(Steps):
    """For points of few numbers."""

    then: Unrolled | None
    x: list[Real]
    state_now: list[Real]
    ends: list[tuple[Real, Real]]
    known: dict[tuple[int, int], Real]  # of all steps, by node and number
    now: dict[tuple[int, int], Real]  # of the step at hand

    def prepare(self) -> None:
        """Spread what steps do not change."""
        self.known, self.now, code = {}, {}, self.code
        for i, k in self._numbers():
            if self.is_fixed(i):
                self.known[i, k] = self._fixed(i, k)
        self.ends = []
        if self.projection == "box":
            lower, upper = self.arguments["lower"], self.arguments["upper"]
            for i in range(self.d):
                at = str(i * code.size)
                self.ends.append((code.spread(self.after(lower, at)), code.spread(self.after(upper, at))))

    def take_group(self) -> None:
        """Load, take steps, store."""
        code, d = self.code, self.d
        names = ("x", "low", "sum") if self.summing else ("x", "low")
        places = [self.state(name, str(i)) for name in names for i in range(d)]
        behind = self.first_of_part[-1] - d
        places += [self.state("x", str(d + i)) for i in range(behind)]

        def of_step(step: str, state: list[Real]) -> list[Real]:
            self.begin_step(step)
            sums = state[2 * d : len(state) - behind]
            self.x, low, self.state_now = state[:d], state[d : 2 * d], state[len(state) - behind :]
            self.now = {}
            after, kept = [], []
            for i in range(d):
                x, lost = self.moved(self._number(self.moving, i), self.x[i], low[i])
                after.append(self.in_box(x, self.ends[i]) if self.ends else x)
                kept.append(lost)
            if self.projection == "ball":
                factor = self.ball_factor(self._sum(after, after))
                after = [x * factor for x in after]
            if self.then is not None:
                after = self.then.projected(after)
            summed = [a + b for a, b in zip(sums, after, strict=False)]
            return [*after, *kept, *summed, *(self._number(i, k) for i in self.kept for k in range(self.size(i)))]

        for place, x in zip(
            places, code.loop("step", self.arguments["steps"], [code.load(p) for p in places], of_step), strict=True
        ):
            code.store(place, x)

    def projected(self, x: list[Real]) -> list[Real]:
        """Where this takes a point that is not in memory."""
        self.x, self.now = x, {}
        return [self._number(self.moving, i) for i in range(self.d)]

    def _sum(self, numbers: list[Real], factors: list[Real] | None = None) -> Real:
        """Of numbers, or of products."""
        sums = [self.code.constant(0.0)] * min(len(numbers), ACCUMULATORS)
        for k, x in enumerate(numbers):
            before = sums[k % ACCUMULATORS]
            sums[k % ACCUMULATORS] = before + x if factors is None else fma(x, factors[k], before)
        return self.folded(sums)

    def _numbers(self) -> list[tuple[int, int]]:
        """(node, number) of all that a step needs, each after what it needs itself."""
        stack = [self._own(i, k) for i in reversed(self.kept) for k in range(self.size(i) - 1, -1, -1)]
        stack += [self._own(self.moving, i) for i in range(self.d - 1, -1, -1)]
        order: dict[tuple[int, int], None] = {}
        while stack:
            key = stack[-1]
            missing = [k for k in self._needs(*key) if k not in order]
            if missing:
                stack.extend(reversed(missing))
                continue
            stack.pop()
            order[key] = None
        return list(order)

    def _own(self, i: int, k: int) -> tuple[int, int]:
        """Number k of a value as (node, number), which one number taken for several has only one of."""
        return i, k if self.program.nodes[i].shape != () else 0

    def _needs(self, i: int, k: int) -> list[tuple[int, int]]:
        node = self.program.nodes[i]
        if self.is_fixed(i) or not node.operands:
            return []
        first = node.operands[0]
        size = self.size(first)
        if node.op == "slice":
            start, _, step = node.attribute
            return [self._own(first, start + k * step)]
        if node.op == "element":
            return [self._own(first, node.attribute)]
        if node.op == "embed":
            start, step, _ = node.attribute
            place, rest = divmod(k - start, step)
            return [self._own(first, place)] if rest == 0 and 0 <= place < size else []
        if node.op in OF_SEVERAL:
            return [self._own(o, r) for r in range(size) for o in node.operands]
        return [self._own(o, k) for o in node.operands]

    def _number(self, i: int, k: int) -> Real:
        """Number k of a value, and before it all that it takes."""
        stack = [self._own(i, k)]
        while stack:
            key = stack[-1]
            if key in self.now or key in self.known:
                stack.pop()
                continue
            missing = [n for n in self._needs(*key) if n not in self.now and n not in self.known]
            if missing:
                stack.extend(reversed(missing))
                continue
            stack.pop()
            self.now[key] = self._computed(*key)
        key = self._own(i, k)
        return self.now[key] if key in self.now else self.known[key]

    def _computed(self, i: int, k: int) -> Real:
        code, node = self.code, self.program.nodes[i]
        operands = [self.now[n] if n in self.now else self.known[n] for n in self._needs(i, k)]
        if node.op == "point":
            return self.x[k]
        if node.op == "state":
            first: int = self.first_of_part[node.attribute]
            return self.state_now[first - self.d + k]
        if node.op == "step":
            return self.number_of_step(i)
        if node.op == "draw":
            view = self.placed.views[i]
            return self.draw(i, str(view.row + k * view.step))
        if node.op in ("slice", "element"):
            return operands[0]
        if node.op == "embed":
            return operands[0] if operands else code.constant(0.0)
        if node.op == "sum":
            return self._sum(operands)
        if node.op == "sum_product":
            return self._sum(operands[::2], operands[1::2])
        if node.op in ("max", "min"):
            return self._extreme(node.op, operands)
        if node.op in ("first_max", "first_min"):
            return self._marks(i, operands)[k]
        if node.op == "matvec":
            total = code.constant(0.0)
            for factor, x in zip(node.attribute.array[k], operands, strict=True):
                total = fma(code.constant(factor), x, total)
            return total
        return applied(node, operands)

    def _extreme(self, op: str, numbers: list[Real]) -> Real:
        extreme = numbers[0]
        for x in numbers[1:]:
            extreme = (maximum if op.endswith("max") else minimum)(extreme, x)
        return extreme

    def _marks(self, i: int, numbers: list[Real]) -> list[Real]:
        """1 at the first extreme, 0 elsewhere; all are computed at once."""
        zero, one = self.code.constant(0.0), self.code.constant(1.0)
        extreme = self._extreme(self.program.nodes[i].op, numbers)
        found, marks = zero, []
        for k, x in enumerate(numbers):
            here = select_less(x, extreme, zero, select_less(extreme, x, zero, one))
            mark = select_less(zero, found, zero, here)
            found = found + mark
            marks.append(mark)
            self.now[i, k] = mark
        return marks

    def _fixed(self, i: int, k: int) -> Real:
        node = self.program.nodes[i]
        if node.op == "constant":
            return self.code.constant(node.attribute.array[k])
        view = self.placed.views[i]
        return self.code.spread(self.row(self.arguments["registers"], str(view.row + k * view.step)))
