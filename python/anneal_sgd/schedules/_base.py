"""What all schedules share."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core, _validate
from .._arrays import FloatArray


@dataclass(frozen=True)
class Stretch:
    """Part of a schedule, from the step `begin` to where the next one begins: see `_core.SchedulePiece`."""

    shape: _core.Schedule
    begin: float
    start: float
    length: float
    runs: float = 1.0
    stride: float = 0.0
    scale: float = 1.0
    reversed: bool = False

    def piece(self) -> _core.SchedulePiece:
        """The core's."""
        times = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "shape"}
        return _core.SchedulePiece(self.shape, **times)


class Schedule:
    """What all schedules share; use one of its classes, or `Tabulated` for a shape of your own.

    TypeError: a subclass with a shape of its own, which simulations would not see.

    >>> from anneal_sgd.schedules import Linear
    >>> isinstance(Linear(), Schedule)
    True
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """TypeError: a formula of one's own."""
        super().__init_subclass__(**options)
        _validate.refuse_formula(
            cls, Schedule, "use schedules.Tabulated(h) for a shape of your own, h a function or values"
        )

    @property
    def name(self) -> str:
        """A short text that identifies the schedule: `by_name` reads it back, but for tables."""
        raise NotImplementedError

    @property
    def tail_degree(self) -> float:
        """p in $h(u) ~ c (1 - u)^p$ as $u -> 1$."""
        raise NotImplementedError

    @property
    def _identity(self) -> str:
        """What tells this schedule from others in a campaign, whatever name it was given."""
        return self.name

    @property
    def _counts_steps(self) -> bool:
        """Whether something is given in steps, so that h at a fraction depends on the horizon."""
        return False

    def _plain(self, horizon: float) -> _core.Schedule:
        """The compiled twin of a schedule that is one formula or table."""
        raise NotImplementedError

    def _laid(self, begin: float, length: float) -> list[Stretch]:
        """What the schedule consists of where its horizon is `length` steps from `begin` on."""
        return [Stretch(self._plain(length), begin, begin, length)]

    def _core(self, horizon: int) -> _core.Schedule:
        """The compiled twin for that horizon; the last one is kept."""
        kept: tuple[int, _core.Schedule] | None = self.__dict__.get("_kept")
        if kept is None or kept[0] != horizon:
            laid = self._laid(0.0, float(horizon))
            whole = laid == [Stretch(laid[0].shape, 0.0, 0.0, float(horizon))]
            kept = horizon, laid[0].shape if whole else _core.Schedule(pieces=[one.piece() for one in laid])
            self.__dict__["_kept"] = kept
        return kept[1]

    @overload
    def __call__(self, u: float, horizon: int | None = None) -> float: ...
    @overload
    def __call__(self, u: NDArray[Any] | Sequence[Any], horizon: int | None = None) -> FloatArray: ...
    def __call__(self, u: ArrayLike, horizon: int | None = None) -> float | FloatArray:
        """h at the fractions u in [0, 1] of the horizon: float64 of u's shape, a float for one number.

        `horizon` matters only where something is given in steps, as in `InverseSqrt()` or by `warmup_steps`.
        ValueError: u outside [0, 1] or not finite; no horizon where one is needed.

        >>> from anneal_sgd.schedules import Linear
        >>> Linear()(0.25), Linear()([0, 0.5, 1]).tolist()
        (0.75, [1.0, 0.5, 0.0])
        """
        fractions = _validate.real_array("u", u, _validate.FRACTION)
        steps = self._checked_horizon(horizon)
        h = self._core(steps).at(fractions.ravel(), steps)
        return float(h[0]) if fractions.ndim == 0 else h.reshape(fractions.shape)

    def values(self, horizon: int, first: int = 0, stop: int | None = None) -> FloatArray:
        """`out[i]`: h at the 0-based step `first + i`, float64 of shape (stop - first,); all steps by default.

        Bit for bit what a simulation of that horizon uses. ValueError: unless 0 <= first <= stop <= horizon < 2**32.

        >>> from anneal_sgd.schedules import Linear
        >>> Linear().values(4).tolist(), Linear().values(4, first=3).tolist()
        ([1.0, 0.75, 0.5, 0.25], [0.25])
        """
        steps = _validate.integer("horizon", horizon, lowest=1, highest=_validate.LARGEST_UINT32)
        begin = _validate.integer("first", first, lowest=0, highest=steps)
        end = steps if stop is None else _validate.integer("stop", stop, lowest=begin, highest=steps)
        return self._core(steps).values(steps, begin, end)

    def to_callable(self, horizon: int, base_lr: float = 1.0) -> StepFunction:
        """The learning rate as a function of the step, `base_lr * h`, as optax and others take it.

        For steps 0 .. horizon - 1 it has the bits of a simulation in float64; from the horizon on it stays at h(1). It
        takes an integer, or an array of them. (Inside `jax.jit` index `jnp.asarray(base_lr * schedule.values(horizon))`
        instead.) ValueError: a parameter out of its range, or a step that is no integer >= 0.

        >>> from anneal_sgd.schedules import Linear
        >>> rate = Linear().to_callable(4, base_lr=0.5)
        >>> rate(0), rate(3), rate(9), rate(np.array([1, 2])).tolist()
        (0.5, 0.125, 0.0, [0.375, 0.25])
        """
        steps = _validate.integer("horizon", horizon, lowest=1, highest=_validate.LARGEST_UINT32)
        self._core(steps)  # what does not fit the horizon is told now
        return StepFunction(self, steps, _validate.real("base_lr", base_lr, _validate.POSITIVE))

    def to_torch(self, optimizer: Any, horizon: int) -> Any:
        """A `torch.optim.lr_scheduler.LambdaLR` that multiplies the optimizer's learning rates by h.

        To be stepped after every step of the optimizer. ImportError: there is no torch. ValueError: as `to_callable`.

        >>> scheduler = Linear().to_torch(optimizer, 1000)  # doctest: +SKIP
        """
        torch_schedulers = importlib.import_module("torch.optim.lr_scheduler")
        return torch_schedulers.LambdaLR(optimizer, self.to_callable(horizon))

    def _checked_horizon(self, horizon: int | None) -> int:
        if horizon is None and self._counts_steps:
            raise ValueError(f"horizon must be given for {self.name}, of which something counts steps")
        if horizon is None:
            return 1
        return _validate.integer("horizon", horizon, lowest=1, highest=_validate.LARGEST_UINT32)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the compiled twin, which is made anew."""
        return {key: value for key, value in self.__dict__.items() if key != "_kept"}


@dataclass(frozen=True)
class StepFunction:
    """A learning rate as a function of the step: what `Schedule.to_callable` makes."""

    schedule: Schedule
    horizon: int
    base_lr: float

    @overload
    def __call__(self, count: int) -> float: ...
    @overload
    def __call__(self, count: NDArray[Any] | Sequence[int]) -> FloatArray: ...
    def __call__(self, count: int | NDArray[Any] | Sequence[int]) -> float | FloatArray:
        """The learning rate of that step, or of each of them."""
        steps = _validate.array("count", count)
        if steps.dtype.kind not in "iu" or np.any(steps < 0):
            raise ValueError(f"count must be an integer >= 0, or integers, got {_validate.shown(count)}")
        distinct, where = np.unique(steps, return_inverse=True)
        h = np.array([self._h(t) for t in distinct.tolist()])[where].reshape(steps.shape)
        return float(self.base_lr * h) if steps.ndim == 0 else self.base_lr * h

    def _h(self, t: int) -> float:
        if t >= self.horizon:
            return self.schedule(1.0, self.horizon)
        return float(self.schedule.values(self.horizon, t, t + 1)[0])
