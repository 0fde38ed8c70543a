"""What results keep of a metric of one's own."""

from __future__ import annotations

from dataclasses import dataclass

from ..programs import Program


@dataclass(frozen=True)
class OwnMetric:
    """A metric of one's own, traced: what `result.spec.metric` has for it. Equal and hashable by content.

    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.Custom(lambda x: abs(x[0]), x0=2.0)
    >>> metric = {"square": lambda x: x[0] ** 2}
    >>> result = simulate(problem, schedules.Linear(), base_lr=0.1, horizon=2, replicates=1, metric=metric)
    >>> print(result.spec.metric[0].program)
    v0 = point (1,)
    v1 = element v0 0
    v2 = multiply v1, v1
    value = v2
    """

    name: str
    program: Program
    """In canonical form: its output "value" is what is recorded."""

    def __str__(self) -> str:
        """The name."""
        return self.name
