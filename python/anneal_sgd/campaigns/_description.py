"""What a reader of a campaign's results needs besides the numbers: stores keep it, results and reports show it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

_DERIVED = ("base_lr", "record_at")


@dataclass(frozen=True)
class Description:
    """A campaign in words and numbers, as JSON takes them.

    >>> from anneal_sgd import problems, schedules
    >>> from anneal_sgd.campaigns import Campaign
    >>> campaign = Campaign(
    ...     problems.AbsoluteValue(slope=1.0), schedules.Linear(), base_lr=[0.1, 0.2], horizon=10, replicates=500
    ... )
    >>> told = campaign.description()
    >>> told.schedules, told.axes, Description.from_json(told.to_json()) == told
    (('linear',), (('base_lr', (0.1, 0.2)),), True)
    """

    name: str
    problems: tuple[str, ...]
    """The first of them."""
    programs: tuple[str, ...]
    """What problems of one's own, and a method of one's own, compute, a line for every operation: each once."""
    schedules: tuple[str, ...]
    tail_degrees: tuple[float | None, ...]
    """Of the schedules; None where it is infinite or there is none."""
    horizons: tuple[int, ...]
    lr_name: str
    """ "base_lr" or "rho"."""
    rates: tuple[float, ...]
    axes: tuple[tuple[str, tuple[Any, ...]], ...]
    """Dimensions of the configs and what stands along them."""
    cell_axes: tuple[tuple[str, tuple[Any, ...]], ...]
    """Those of records and metrics."""
    varying: dict[str, tuple[Any, ...]]
    """Parameters in which a sequence of problems differs."""
    records: int | tuple[int, ...] | None
    """The recorded steps; None where they are fractions of the horizon."""
    metrics: tuple[str, ...]
    options: dict[str, Any]
    """Those of `simulate`; "method" where it is not SGD."""
    replicates: int
    """Of every config; the most, where a precision is asked for."""
    precision: dict[str, float]
    """That was asked for: relative_stderr, or relative_error and confidence; empty where a number was."""
    stream_version: int
    bound_applies: bool
    """Whether the last-iterate bound is one of what was measured."""
    text: str | None
    """The specification it was made from."""
    base_lr: tuple[tuple[tuple[float, ...], ...], ...] | None
    """Where rates are misspecifications: (schedules, horizons, rates)."""
    record_at: tuple[int | tuple[int, ...], ...] | None
    """Where records are fractions: (horizons,), or (horizons, fractions)."""

    @classmethod
    def from_json(cls, text: str) -> Description:
        """What `to_json` wrote."""
        return cls(**tuples(json.loads(text)))

    def to_json(self) -> str:
        """Every field, by name, in alphabetical order."""
        return json.dumps(asdict(self), sort_keys=True)

    def specification(self, *, indent: int | None = None) -> str:
        """The text it was made from, or, of a campaign made in Python, what one would say, as JSON."""
        if self.text:
            return self.text
        told = {name: value for name, value in asdict(self).items() if name not in (*_DERIVED, "text")}
        return json.dumps(told, sort_keys=True, indent=indent)


def tuples(value: Any) -> Any:
    """The value with tuples for lists."""
    if isinstance(value, dict):
        return {name: tuples(inner) for name, inner in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list) else value
