"""Programs made of programs: several outputs side by side, gradients with noise."""

from __future__ import annotations

from collections.abc import Sequence

from ._canonical import ordered
from ._ir import Node, Program
from ._lower import NOISE_PLACE


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


def _ending(program: Program, gradient: Node) -> Program:
    outputs = (("value", program.output("value")), ("gradient", len(program.nodes)))
    return Program(program.dimension, program.parameters, (*program.nodes, gradient), outputs)
