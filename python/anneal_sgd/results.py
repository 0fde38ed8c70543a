"""What a simulation returns: statistics of the suboptimality with named dimensions, which can be merged and pickled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core, _validate
from ._arrays import FloatArray, IntArray, frozen
from ._cupy import to_host
from ._difference import Difference, paired, places
from ._ensemble import CELL_FIELDS
from ._html import by_parameters, shown
from ._spec import Spec
from ._statistics import STATISTICS, Statistics
from .methods import Method
from .problems import Problem
from .schedules import Schedule

if TYPE_CHECKING:
    import xarray

__all__ = ["Difference", "Result", "Spec"]


@dataclass(frozen=True, eq=False, repr=False)
class Result(Statistics):
    """Statistics of the suboptimality f(x) - f* over the replicates of every config, at every recorded step.

    Arrays have the named dimensions `dims`, in the order "iterate", "problem", "schedule", "base_lr", "record_at",
    "metric", each only where a sequence was given; without any they are 0-dimensional, and `float(result.mean)` works.
    `mean[c, k]` is the mean suboptimality, or other metric, of config c after `record_at[k]` steps. All are read-only.
    Diverged trajectories, those whose value is not finite, are counted in `diverged` and left out of everything but
    `quantile`: where there are any, `mean` is of those that did not diverge and looks better than the config is.

    `spec`: what was simulated; `backend`, `isa`: by what (they change no bit). `a + b` merges disjoint replicate ranges
    of one spec. Results are frozen and can be pickled.

    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.Quadratic(curvature=1.0, noise="rademacher", noise_std=1.0, x0=0.0)
    >>> def run(first, replicates):
    ...     return simulate(
    ...         problem,
    ...         schedules.Constant(),
    ...         base_lr=[0.5, 1.0],
    ...         horizon=2,
    ...         replicates=replicates,
    ...         first_replicate=first,
    ...         record_at=[0, 1, 2],
    ...     )
    >>> whole = run(0, 4096)
    >>> whole.dims, whole.mean[:, :2].tolist()
    (('base_lr', 'record_at'), [[0.0, 0.125], [0.0, 0.5]])
    >>> parts = run(0, 1024) + run(1024, 3072)
    >>> bool((parts.mean == whole.mean).all() and (parts.stderr == whole.stderr).all())
    True
    """

    spec: Spec
    backend: str
    isa: str
    samples: NDArray[Any] | None
    """Kept suboptimality, dims then replicates, in the dtype of the call: `samples[..., i]` is that of replicate
    `first_replicate + i`. None where not kept. On a GPU the array given as `out`, or CuPy's, not read-only."""
    _moments: _core.Moments
    iterates: NDArray[Any] | None = None
    """Kept points that the last record is of, dims without "record_at" and "metric", then replicates, then d
    coordinates, in the dtype of the call. None where not kept."""
    _bins: IntArray | None = None

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions of the arrays."""
        return self.spec.dims

    @property
    def coords(self) -> dict[str, NDArray[Any]]:
        """What stands along the dimensions: one 1-D array by the name of each.

        "problem" counts them, "base_lr" has learning rates, "record_at" steps, the others names. In addition every
        parameter in which the problems differ: of shape (problems,), or (problems, d) where it differs between the
        coordinates too.
        """
        coords: dict[str, NDArray[Any]] = {}
        problem, schedule = self.spec.problem, self.spec.schedule
        if isinstance(self.spec.iterate, tuple):
            coords["iterate"] = np.array(self.spec.iterate)
        if isinstance(problem, tuple):
            coords["problem"] = np.arange(len(problem))
            coords.update(type(problem[0])._varying(problem))
        if isinstance(schedule, tuple):
            coords["schedule"] = np.array([s.name for s in schedule])
        if isinstance(self.spec.base_lr, tuple):
            coords["base_lr"] = np.array(self.spec.base_lr)
        if isinstance(self.spec.record_at, tuple):
            coords["record_at"] = np.array(self.spec.record_at, dtype=np.int64)
        if isinstance(self.spec.metric, tuple):
            coords["metric"] = np.array([str(metric) for metric in self.spec.metric])
        return coords

    @property
    def thresholds(self) -> FloatArray:
        """What `exceedance` counts at: $2^e (1 + m / 16)$, e = -64 .. 63 and m = 0 .. 15, and $2^64$.

        float64, (2049,).
        """
        octaves = np.ldexp(1.0, np.arange(-64, 64))
        return frozen(np.append((octaves[:, None] * (1 + np.arange(16) / 16)).ravel(), 2.0**64))

    @cached_property
    def exceedance(self) -> IntArray | None:
        """How many trajectories reached each of `thresholds`, those that diverged included; dims, then thresholds.

        P(value >= thresholds[j]) is about exceedance[..., j] / replicates. Those of disjoint replicates add up exactly.
        None where the call had not `keep_exceedance=True`.

        >>> from anneal_sgd import problems, schedules, simulate
        >>> problem = problems.Quadratic(curvature=1.0, noise="uniform", noise_std=1.0, x0=0.0)
        >>> call = dict(base_lr=1.0, horizon=1, replicates=99_999, keep_exceedance=True)
        >>> result = simulate(problem, schedules.Constant(), **call)
        >>> half = float(result.exceedance[result.thresholds == 0.375][0]) / result.replicates
        >>> round(half, 2), float(result.quantile(0.9))  # of x^2 / 2, x uniform on [-sqrt(3), sqrt(3)]
        (0.5, 1.21875)
        """
        return None if self._bins is None else frozen(np.cumsum(self._bins[..., :0:-1], axis=-1)[..., ::-1])

    def quantile(self, q: ArrayLike) -> FloatArray:
        """Quantiles of the suboptimality, q in [0, 1] of any shape: float64, axes of q first, then `dims`.

        With samples it interpolates linearly between two neighbours in order (NumPy's default). Without them, from
        `exceedance`: the value of the trajectory at place floor(q (replicates - 1)) in order, to within 1/32 of itself
        between 2^-64 and 2^64; 0 for one below (NaN where there are negative ones), inf for one above. A diverged
        trajectory counts as +inf. ValueError: the call kept neither, or q outside [0, 1].

        >>> from anneal_sgd import problems, schedules, simulate
        >>> problem = problems.Quadratic(curvature=1.0, noise="uniform", noise_std=1.0, x0=0.0)
        >>> result = simulate(
        ...     problem, schedules.Constant(), base_lr=1.0, horizon=1, replicates=99_999, keep_samples=True
        ... )
        >>> result.quantile([0, 0.5, 1]).round(1).tolist()  # of x^2 / 2, x uniform on [-sqrt(3), sqrt(3)]
        [0.0, 0.4, 1.5]
        """
        fractions = _validate.real_array("q", q, _validate.FRACTION)
        if self.samples is None:
            return self._counted_quantile(fractions)
        samples = to_host(self.samples)
        ordered = np.where(np.isfinite(samples), samples, np.inf)
        ordered.sort(axis=-1)
        place = fractions.ravel() * (ordered.shape[-1] - 1)
        below = np.floor(place).astype(np.int64)
        low = ordered[..., below].astype(np.float64)
        high = ordered[..., np.minimum(below + 1, ordered.shape[-1] - 1)].astype(np.float64)
        share = place - below
        exact = (share == 0.0) | (low == high)
        with np.errstate(invalid="ignore"):  # inf - inf and 0 * inf, which are not used
            quantiles = np.where(exact, low, low + (high - low) * share)
        return np.asarray(np.moveaxis(quantiles, -1, 0).reshape(fractions.shape + self.spec.shape))

    def difference(self, a: object, b: object) -> Difference:
        """Mean differences of configs a less configs b, and their standard errors, from pairs of trajectories.

        Replicate i of every config sees the same noise, so that what two configs have in common drops out: the standard
        error is $std(s_a - s_b) / sqrt(n)$, s the kept samples, where independent runs have
        $hypot(stderr_a, stderr_b)$.

        `a`, `b`: what NumPy takes as an index of an array with the dimensions `dims`: a position, a tuple of one for
        each of the first dimensions, a slice, arrays of positions. The two broadcast against each other, and the arrays
        of the result have that shape: `difference(1, 0)`; `difference(slice(1, None), 0)`, all others less the first;
        `difference(*np.triu_indices(n, 1))`, all pairs along the first dimension; `difference((0, 3), (1, 5))`.

        With `common_random_numbers=False` iterates, records and metrics of one config still come in pairs.

        ValueError: the call did not keep samples, two configs saw different noise (`common_random_numbers=False`), an
        index that chooses nothing, or two that do not broadcast.

        >>> from anneal_sgd import problems, schedules, simulate
        >>> problem = problems.Quadratic(curvature=1.0, noise="gaussian", noise_std=1.0)
        >>> families = [schedules.Constant(), schedules.Linear(), schedules.Cosine()]
        >>> result = simulate(problem, families, base_lr=[0.1, 0.2], horizon=99, replicates=9999, keep_samples=True)
        >>> all_pairs = result.difference(*np.triu_indices(3, 1))  # of schedules, at both learning rates
        >>> all_pairs.mean.shape, all_pairs.mean.round(3).tolist()
        ((3, 2), [[0.019, 0.045], [0.018, 0.045], [-0.001, -0.0]])
        >>> linear_less_cosine = result.difference((1, 0), (2, 0))
        >>> apart = np.hypot(result.stderr[1, 0], result.stderr[2, 0])
        >>> float((apart / linear_less_cosine.stderr).round(1))  # times as precise as independent runs
        2.8
        """
        if self.samples is None:
            raise ValueError("samples must be kept for paired differences: simulate(..., keep_samples=True)")
        rows, others = places("a", a, self.spec.shape), places("b", b, self.spec.shape)
        try:
            np.broadcast_shapes(rows.shape, others.shape)
        except ValueError:
            got = f"{rows.shape} and {others.shape}"
            raise ValueError(f"a and b must choose configs of shapes that broadcast, got {got}") from None
        noise = self._noise()
        if (noise[rows] != noise[others]).any():
            raise ValueError(
                "common_random_numbers must be True for paired differences of configs, as it is by default, got False: "
                "those with noise of their own are independent, and the standard error is hypot(stderr_a, stderr_b)"
            )
        return paired(to_host(self.samples).reshape(-1, self.replicates), rows, others)

    def _noise(self) -> IntArray:
        """Which noise each mean is of, by its place in order: iterates, records and metrics of a config have one."""
        own = () if self.spec.common_random_numbers else ("problem", "schedule", "base_lr")
        shape = [n if name in own else 1 for name, n in zip(self.dims, self.spec.shape, strict=True)]
        return np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), self.spec.shape).ravel()

    def _counted_quantile(self, fractions: FloatArray) -> FloatArray:
        if self._bins is None:
            raise ValueError("samples must be kept for quantiles: simulate(..., keep_samples=True) or keep_exceedance")
        thresholds = self.thresholds
        middles = np.concatenate([[0.0], 0.5 * (thresholds[1:] + thresholds[:-1]), [np.inf]])
        below = np.cumsum(self._bins, axis=-1)  # trajectories up to the end of each bin
        place = np.floor(fractions * (self.replicates - 1))
        bins = np.stack([np.argmax(below > k, axis=-1) for k in place.ravel()])
        quantiles = np.where((bins == 0) & (self.min < 0), np.nan, middles[bins])
        return quantiles.reshape(fractions.shape + self.spec.shape)

    def to_xarray(self) -> xarray.Dataset:
        """An `xarray.Dataset`: a variable for every statistic, and what was kept; coordinates; the rest as attributes.

        `replicate` is the dimension of samples and iterates, `coordinate` that of iterates, and of parameters which
        differ between coordinates, `threshold` that of exceedance.
        ImportError: xarray is not installed; the extra `anneal_sgd[xarray]` brings it.

        >>> from anneal_sgd import problems, schedules, simulate
        >>> problem = problems.AbsoluteValue(slope=0.5)
        >>> result = simulate(problem, [schedules.Linear(), schedules.Cosine()], base_lr=0.5, horizon=9, replicates=2)
        >>> float(result.to_xarray()["mean"].sel(schedule="linear")) == float(result.mean[0])
        True
        """
        try:
            import xarray
        except ModuleNotFoundError:
            raise ImportError("to_xarray needs xarray: pip install 'anneal_sgd[xarray]'") from None
        variables: dict[str, Any] = {name: (self.dims, getattr(self, name)) for name in STATISTICS}
        coords: dict[str, Any] = self._coordinates()
        if self.samples is not None:
            variables["samples"] = ((*self.dims, "replicate"), to_host(self.samples))
            coords["replicate"] = self.first_replicate + np.arange(self.replicates)
        if self.iterates is not None:
            configs = tuple(name for name in self.dims if name not in ("record_at", "metric"))
            variables["iterates"] = ((*configs, "replicate", "coordinate"), self.iterates)
            coords["replicate"] = self.first_replicate + np.arange(self.replicates)
        if self.exceedance is not None:
            variables["exceedance"] = ((*self.dims, "threshold"), self.exceedance)
            coords["threshold"] = self.thresholds
        return xarray.Dataset(variables, coords=coords, attrs=self._attributes())

    def _coordinates(self) -> dict[str, tuple[tuple[str, ...], Any]]:
        return {
            name: ((name,) if name in self.dims else ("problem", "coordinate")[: values.ndim], values)
            for name, values in self.coords.items()
        }

    def _labels(self) -> dict[str, tuple[tuple[str, ...], Any]]:
        told = self._attributes()
        alone = [name for name in ("schedule", "horizon", "base_lr", "record_at", "metric") if name in told]
        return self._coordinates() | {name: ((), told[name]) for name in alone}

    @property
    def seed(self) -> int:
        """The seed of the call."""
        return self.spec.seed

    @property
    def horizon(self) -> int:
        """T, the number of steps."""
        return self.spec.horizon

    @property
    def dtype(self) -> str:
        """ "float32" or "float64", what the trajectories were computed in."""
        return self.spec.dtype

    @property
    def stream_version(self) -> int:
        """The version of the random stream (docs/stream.md) that the trajectories follow."""
        return self.spec.stream_version

    @cached_property
    def replicate_ranges(self) -> tuple[tuple[int, int], ...]:
        """The replicates of every config as ranges [first, stop), in order, adjacent ones joined."""
        joined: list[tuple[int, int]] = []
        for first, stop in self._moments.ranges.tolist():
            if joined and joined[-1][1] == first:
                joined[-1] = (joined[-1][0], stop)
            else:
                joined.append((first, stop))
        return tuple(joined)

    @property
    def first_replicate(self) -> int:
        """The smallest replicate number."""
        return self.replicate_ranges[0][0]

    @property
    def replicates(self) -> int:
        """The number of replicates of every config, diverged ones included."""
        return sum(stop - first for first, stop in self.replicate_ranges)

    def __add__(self, other: Result) -> Result:
        """One result of both replicate ranges, which must be disjoint and of the same spec.

        `[0, r) + [r, R)` has the bits of the single run where r is a multiple of 1024, and else its values up to
        rounding. Samples and iterates are kept where both results have them and the ranges are adjacent, else dropped;
        exceedance where both have it. ValueError: the specs differ (the message names the first difference), or the
        ranges overlap.
        """
        if not isinstance(other, Result):
            return NotImplemented
        for field in fields(Spec):
            mine, others = getattr(self.spec, field.name), getattr(other.spec, field.name)
            if mine != others:
                got = _first_difference(mine, others)
                raise ValueError(f"{field.name} must be the same to merge results, got {got}")
        moments = self._moments.merged(other._moments)
        isas = dict.fromkeys((*self.isa.split("+"), *other.isa.split("+")))
        backends = dict.fromkeys((*self.backend.split("+"), *other.backend.split("+")))
        samples, iterates = (_joined(self, other, name, axis) for name, axis in (("samples", -1), ("iterates", -2)))
        bins = None if self._bins is None or other._bins is None else self._bins + other._bins
        return Result(self.spec, "+".join(backends), "+".join(isas), samples, moments, iterates, bins)

    def __radd__(self, other: object) -> Result:
        """0 + result is the result, so that `sum(results)` works."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __repr__(self) -> str:
        """Dimensions, size and origin; without dimensions the mean as well, of what if not of the suboptimality."""
        shape = " x ".join(f"{name}: {n}" for name, n in zip(self.dims, self.spec.shape, strict=True))
        if not shape:
            metric = "" if self.spec.metric == "suboptimality" else f" {self.spec.metric}"
            shape = f"mean{metric} {float(self.mean):.6g} +- {float(self.stderr):.2g}"
        diverged = f", {self.diverged.sum()} diverged" if self.diverged.any() else ""
        return (
            f"<Result {shape}; {self.replicates} replicates of {self.horizon} steps{diverged}; "
            f"seed {self.seed}, {self.dtype}, {self.backend} {self.isa}>"
        )

    def _repr_html_(self) -> str:
        """What notebooks show: means, standard errors, and where they come from."""
        return shown("Result", self, self._axes(), self._attributes())

    def _metrics(self) -> tuple[str, ...]:
        metric = self.spec.metric
        return (metric,) if isinstance(metric, str) else tuple(map(str, metric))

    def _axes(self) -> dict[str, Sequence[Any]]:
        coords = self.coords
        axes: dict[str, Sequence[Any]] = {name: coords[name].tolist() for name in self.dims}
        if "problem" in axes:
            axes["problem"] = by_parameters(len(axes["problem"]), {n: v for n, v in coords.items() if n not in axes})
        return axes

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the moments as arrays."""
        arrays = {name: getattr(self._moments, name) for name in ("ranges", *CELL_FIELDS)}
        return _rebuilt, (self.spec, self.backend, self.isa, to_host(self.samples), arrays, self.iterates, self._bins)

    @cached_property
    def _total(self) -> _core.Moments:
        return self._moments.total()

    def _moment(self, name: str) -> NDArray[Any]:
        return np.asarray(getattr(self._total, name)).reshape(self.spec.shape)

    def _attributes(self) -> dict[str, Any]:
        attributes: dict[str, Any] = {
            "package_version": _core.__version__,
            "first_replicate": self.first_replicate,
            "replicates": self.replicates,
            "backend": self.backend,
            "isa": self.isa,
        }
        for field in fields(Spec):
            value = getattr(self.spec, field.name)
            if isinstance(value, tuple):  # a dimension
                continue
            if isinstance(value, Problem | Method):
                value = repr(value)
            elif isinstance(value, Schedule):
                value = value.name
            attributes[field.name] = int(value) if isinstance(value, bool) else value
        return attributes


def _first_difference(a: Any, b: Any) -> str:
    """In words, short for long sequences."""
    if not isinstance(a, tuple) and not isinstance(b, tuple):
        return f"{a!r} and {b!r}"
    if not (isinstance(a, tuple) and isinstance(b, tuple)) or len(a) != len(b):
        return " and ".join(f"{len(x)} in a sequence" if isinstance(x, tuple) else repr(x) for x in (a, b))
    where = next(i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)
    return f"{a[where]!r} and {b[where]!r} at index {where}"


def _joined(a: Result, b: Result, name: str, axis: int) -> NDArray[Any] | None:
    """What both have kept of adjacent replicates, along their axis."""
    if getattr(a, name) is None or getattr(b, name) is None:
        return None
    first, second = (a, b) if a.first_replicate < b.first_replicate else (b, a)
    if first.replicate_ranges[-1][1] != second.first_replicate:
        return None
    return frozen(np.concatenate([to_host(getattr(one, name)) for one in (first, second)], axis=axis))


def _rebuilt(
    spec: Spec,
    backend: str,
    isa: str,
    samples: NDArray[Any] | None,
    arrays: dict[str, NDArray[Any]],
    iterates: NDArray[Any] | None,
    bins: IntArray | None,
) -> Result:
    samples, iterates = (a if a is None else frozen(a) for a in (samples, iterates))
    return Result(spec, backend, isa, samples, _core.Moments(**arrays), iterates, bins)
