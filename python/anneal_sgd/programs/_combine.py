"""Programs made of programs: several outputs side by side, gradients with noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._canonical import ordered
from ._ir import NOISE_PLACE, Node, Program
from ._numbers import Numbers


def combined(**outputs: tuple[Program, str]) -> Program:
    """One program with outputs of several, which are of one dimension and agree on the parameters that they share."""
    nodes: list[Node] = []
    parameters: dict[str, tuple[int, ...]] = {}
    ends = {}
    for name, (program, output) in outputs.items():
        offset = len(nodes)
        nodes += [Node(n.op, tuple(k + offset for k in n.operands), n.attribute, n.shape) for n in program.nodes]
        parameters.update(program.parameters)
        ends[name] = offset + program.output(output)
    dimension = next(iter(outputs.values()))[0].dimension
    return Program(dimension, tuple(parameters.items()), tuple(nodes), tuple(ends.items()))


def alone(program: Program, output: str) -> Program:
    """One output of it, as "value"."""
    return ordered(combined(value=(program, output)))


def substituted(program: Program, exact: Program, names: Sequence[str]) -> Program:
    """`program` with outputs of `exact` in place of its parameters of their names."""
    nodes: list[Node] = list(exact.nodes)
    copies: list[int] = []
    for node in program.nodes:
        if node.op == "parameter" and node.attribute in names:
            copies.append(exact.output(node.attribute))
            continue
        copies.append(len(nodes))
        nodes.append(Node(node.op, tuple(copies[k] for k in node.operands), node.attribute, node.shape))
    parameters = tuple((name, shape) for name, shape in program.parameters if name not in names)
    outputs = tuple((name, copies[k]) for name, k in program.outputs)
    return Program(program.dimension, parameters, tuple(nodes), outputs)


def of_state(program: Program, parts: Sequence[str]) -> Program:
    """`program` with part k of a method's state in place of the parameter of its name."""
    nodes = tuple(
        Node("state", (), parts.index(node.attribute), node.shape)
        if node.op == "parameter" and node.attribute in parts
        else node
        for node in program.nodes
    )
    parameters = tuple((name, shape) for name, shape in program.parameters if name not in parts)
    return Program(program.dimension, parameters, nodes, program.outputs)


def summed(exact: Program, noise: Program) -> Program:
    """`exact` with the value of `noise` added to its gradient."""
    both = combined(value=(exact, "value"), gradient=(exact, "gradient"), noise=(noise, "value"))
    gradient, added = both.output("gradient"), both.output("noise")
    total = Node("add", (added, gradient), None, (both.dimension,))
    return _ending(both, total)


def noisy(exact: Program, kind: str, shape: tuple[int, ...]) -> Program:
    """`exact` with `noise_std * draw` added to its gradient; "noise_std" becomes a parameter of that shape."""
    both = combined(value=(exact, "value"), gradient=(exact, "gradient"))
    n, d = len(both.nodes), both.dimension
    std = Node("parameter", (), "noise_std", shape)
    draw = Node("draw", (), (NOISE_PLACE, kind), (d,))
    total = Node("fma", (n, n + 1, both.output("gradient")), None, (d,))
    program = Program(d, (*both.parameters, ("noise_std", shape)), (*both.nodes, std, draw), both.outputs)
    return _ending(program, total)


def with_method(problem: Program, method: Program) -> Program:
    """What a method makes of a problem, as one program for the core.

    `problem`: with outputs "value" and "gradient". `method`: in canonical form, with the output "direction", which the
    learning rate multiplies, or "next", the point after the step; "state k", "begin k" of parts of its state. Its
    parameters "gradient k" and "value k" are those of the problem at its output "point k", at the point where there is
    none. Draws of evaluation 0 are the problem's own; each further one has the places after those before it, and the
    method's own draws have the places after all.
    """
    merged = _Merged(problem, method)
    outputs = {"value": merged.of_problem("value")}
    outputs |= {name: merged.of_problem(name) for name in ("start", "projection") if problem.has(name)}
    for name, k in method.outputs:
        if not name.startswith("point "):
            outputs["gradient" if name == "direction" else name] = merged.copies[k]
    return ordered(Program(problem.dimension, problem.parameters, tuple(merged.nodes), tuple(outputs.items())))


class _Merged:
    """Nodes of a problem and of a method; `copies`: of the method's, by number."""

    def __init__(self, problem: Program, method: Program) -> None:
        self.problem = problem
        self.nodes: list[Node] = []
        self.plain = self._inlined(None, 0)
        step = _needed(problem, "gradient")
        places = [n.attribute[0] for i, n in enumerate(problem.nodes) if n.op == "draw" and i in step]
        self.places = 2 + max(places, default=NOISE_PLACE)  # of an evaluation, the one of noise by name among them
        names = [name.split() for name, _ in method.parameters]
        evaluations = max((1 + int(name[1]) for name in names), default=1)
        found: dict[int, list[int]] = {}
        self.copies: list[int] = []
        for node in method.nodes:
            if node.op == "parameter":
                kind, number = node.attribute.split()
                k = int(number)
                if k not in found:
                    found[k] = self._evaluation(
                        k, self.copies[method.output(f"point {k}")] if method.has(f"point {k}") else None
                    )
                value = found[k][problem.output(kind)]
                self.copies.append(self._vector(value) if kind == "gradient" else value)
            else:
                attribute = node.attribute
                if node.op == "draw":
                    attribute = (attribute[0] + evaluations * self.places - 1, attribute[1])
                self.copies.append(len(self.nodes))
                self.nodes.append(Node(node.op, tuple(self.copies[i] for i in node.operands), attribute, node.shape))

    def _vector(self, gradient: int) -> int:
        """A gradient that is one number for all coordinates, as a vector."""
        if self.nodes[gradient].shape != ():
            return gradient
        d, n = self.problem.dimension, len(self.nodes)
        if d == 1:
            self.nodes.append(Node("embed", (gradient,), (0, 1, 1), (1,)))
        else:
            self.nodes += [Node("constant", (), Numbers(np.zeros(d)), (d,)), Node("add", (n, gradient), None, (d,))]
        return len(self.nodes) - 1

    def of_problem(self, output: str) -> int:
        return self.plain[self.problem.output(output)]

    def _evaluation(self, k: int, point: int | None) -> list[int]:
        return self.plain if k == 0 and point is None else self._inlined(point, k * self.places)

    def _inlined(self, point: int | None, places: int) -> list[int]:
        copies: list[int] = []
        for node in self.problem.nodes:
            if node.op == "point" and point is not None:
                copies.append(point)
                continue
            attribute = (node.attribute[0] + places, node.attribute[1]) if node.op == "draw" else node.attribute
            copies.append(len(self.nodes))
            self.nodes.append(Node(node.op, tuple(copies[i] for i in node.operands), attribute, node.shape))
        return copies


def _needed(program: Program, output: str) -> set[int]:
    needed = {program.output(output)}
    for i in range(program.output(output), -1, -1):
        if i in needed:
            needed.update(program.nodes[i].operands)
    return needed


def _ending(program: Program, gradient: Node) -> Program:
    outputs = (("value", program.output("value")), ("gradient", len(program.nodes)))
    return Program(program.dimension, program.parameters, (*program.nodes, gradient), outputs)
