"""Schedules of other libraries beside their counterparts here: cases for `test_schedule_peers.py`.

`python tests/peer_schedules.py`, where optax, torch and transformers can be imported, writes the expected values to
tests/vectors/peer_schedules.txt.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anneal_sgd.schedules import (
    Constant,
    Cosine,
    Exponential,
    Held,
    InversePower,
    InverseSqrt,
    Joined,
    Linear,
    OneMinusSqrt,
    Polynomial,
    Repeated,
    Reversed,
    Schedule,
    Stairs,
    StepDecay,
    Tabulated,
    WarmupStableDecay,
    cosine_restarts,
    from_optax,
    from_torch,
    one_cycle,
)

VECTORS = Path(__file__).parent / "vectors" / "peer_schedules.txt"
HORIZON = 120
PEAK = 0.3


@dataclass(frozen=True)
class Case:
    """`peer(T)`: of optax a schedule, of torch and transformers a function from an optimizer to a scheduler.

    `own(T)`: the schedule here that has the same values, relative to `peak`.
    """

    package: str
    name: str
    peer: Callable[[int], Any]
    own: Callable[[int], Schedule]
    peak: float = PEAK

    @property
    def key(self) -> str:
        return f"{self.package}.{self.name}"

    def values(self, horizon: int) -> np.ndarray:
        """What the package says, in float64."""
        if self.package == "optax":
            jax = importlib.import_module("jax")
            before = jax.config.jax_enable_x64
            jax.config.update("jax_enable_x64", True)
            try:
                made = from_optax(self.peer(horizon), horizon)
            finally:
                jax.config.update("jax_enable_x64", before)
        else:
            optimizer = sgd()
            made = from_torch(optimizer, self.peer(horizon)(optimizer), horizon)
        return made.base_lr * made.table


def sgd():
    torch = importlib.import_module("torch")
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=PEAK)


def optax(name: str, *arguments: Any, **options: Any) -> Any:
    return getattr(importlib.import_module("optax"), name)(*arguments, **options)


def one_cycled(T: int, **options: Any) -> Callable[[Any], Any]:
    return torch("OneCycleLR", PEAK, T + 1, pct_start=(0.25 * T + 1) / (T + 1), cycle_momentum=False, **options)


def torch(name: str, *arguments: Any, **options: Any) -> Callable[[Any], Any]:
    schedulers = importlib.import_module("torch.optim.lr_scheduler")
    return lambda optimizer: getattr(schedulers, name)(optimizer, *arguments, **options)


def several(name: str, *makers: Callable[[Any], Any], **options: Any) -> Callable[[Any], Any]:
    """Of torch: a scheduler of schedulers."""
    cls = getattr(importlib.import_module("torch.optim.lr_scheduler"), name)
    if name == "ChainedScheduler":
        return lambda optimizer: cls([make(optimizer) for make in makers], optimizer=optimizer)
    return lambda optimizer: cls(optimizer, [make(optimizer) for make in makers], **options)


def transformers(name: str, *arguments: Any, **options: Any) -> Callable[[Any], Any]:
    schedules = importlib.import_module("transformers.optimization")
    return lambda optimizer: getattr(schedules, f"get_{name}")(optimizer, *arguments, **options)


WAVE = Joined([Cosine(), Reversed(Cosine())], at=[0.5])
TRIANGLE = Joined([Reversed(Linear(floor=0.1)), Linear(floor=0.1)], at=[0.5])

OPTAX = [
    Case("optax", "constant_schedule", lambda T: optax("constant_schedule", PEAK), lambda T: Constant()),
    Case("optax", "linear_schedule", lambda T: optax("linear_schedule", PEAK, 0.03, T), lambda T: Linear(floor=0.1)),
    Case(
        "optax",
        "linear_schedule, rising",
        lambda T: optax("linear_schedule", 0.03, PEAK, T),
        lambda T: Reversed(Linear(floor=0.1)),
        peak=PEAK,
    ),
    Case(
        "optax",
        "linear_schedule, later and shorter",
        lambda T: optax("linear_schedule", PEAK, 0.03, T // 2, T // 4),
        lambda T: Joined([Constant(), Held(Linear(floor=0.1), until_steps=T // 2)], at_steps=[T // 4]),
    ),
    Case(
        "optax",
        "polynomial_schedule",
        lambda T: optax("polynomial_schedule", PEAK, 0.03, 2.5, T),
        lambda T: Polynomial(2.5, floor=0.1),
    ),
    Case(
        "optax",
        "polynomial_schedule, power 1.7",
        lambda T: optax("polynomial_schedule", PEAK, 0.0, 1.7, T),
        lambda T: Polynomial(1.7),
    ),
    Case(
        "optax",
        "piecewise_constant_schedule",
        lambda T: optax("piecewise_constant_schedule", PEAK, {T // 3: 0.5, T // 2: 0.1}),
        lambda T: Joined([Constant()] * 3, at_steps=[T // 3, T // 2], scales=[1, 0.5, 0.05]),
    ),
    Case(
        "optax",
        "exponential_decay",
        lambda T: optax("exponential_decay", PEAK, T // 4, 0.5),
        lambda T: Exponential(0.5**4),
    ),
    Case(
        "optax",
        "exponential_decay, later",
        lambda T: optax("exponential_decay", PEAK, T // 4, 0.5, transition_begin=T // 2),
        lambda T: Joined([Constant(), Exponential(0.5**2)], at_steps=[T // 2]),
    ),
    Case(
        "optax",
        "exponential_decay, staircase",
        lambda T: optax("exponential_decay", PEAK, T // 4, 0.5, staircase=True),
        lambda T: Stairs(Exponential(0.5**4), every_steps=T // 4),
    ),
    Case(
        "optax",
        "cosine_decay_schedule",
        lambda T: optax("cosine_decay_schedule", PEAK, T, alpha=0.1),
        lambda T: Cosine(floor=0.1),
    ),
    Case(
        "optax",
        "cosine_decay_schedule, then held",
        lambda T: optax("cosine_decay_schedule", PEAK, T // 2, alpha=0.1),
        lambda T: Held(Cosine(floor=0.1), until_steps=T // 2),
    ),
    Case(
        "optax",
        "piecewise_interpolate_schedule, linear",
        lambda T: optax("piecewise_interpolate_schedule", "linear", 0.15, {T // 4: 2.0, T // 2: 0.5, T: 0.0}),
        lambda T: Tabulated([0.5, 1, 0.5, 0], at=[0, (T // 4) / T, (T // 2) / T, 1]),
    ),
    Case(
        "optax",
        "piecewise_interpolate_schedule, cosine",
        lambda T: optax("piecewise_interpolate_schedule", "cosine", 0.15, {T // 4: 2.0, T: 0.1}),
        lambda T: Cosine(floor=0.1, warmup_steps=T // 4, warmup_start=0.5, warmup_shape="cosine"),
    ),
    Case(
        "optax",
        "linear_onecycle_schedule",
        lambda T: optax("linear_onecycle_schedule", T, PEAK, 0.25, 0.75),
        lambda T: Tabulated([0.04, 1, 0.04, 4e-6], at=[0, int(0.25 * T) / T, int(0.75 * T) / T, 1]),
    ),
    Case(
        "optax",
        "cosine_onecycle_schedule",
        lambda T: optax("cosine_onecycle_schedule", T, PEAK, 0.25),
        lambda T: one_cycle(int(0.25 * T) / T),
    ),
    Case(
        "optax",
        "warmup_constant_schedule",
        lambda T: optax("warmup_constant_schedule", 0.03, PEAK, T // 5),
        lambda T: Constant(warmup_steps=T // 5, warmup_start=0.1),
    ),
    Case(
        "optax",
        "warmup_cosine_decay_schedule",
        lambda T: optax("warmup_cosine_decay_schedule", 0.03, PEAK, T // 5, T, 0.003),
        lambda T: Cosine(floor=0.01, warmup_steps=T // 5, warmup_start=0.1),
    ),
    Case(
        "optax",
        "warmup_exponential_decay_schedule",
        lambda T: optax("warmup_exponential_decay_schedule", 0.0, PEAK, T // 5, T, 0.01),
        lambda T: Exponential(0.01 ** ((T - T // 5) / T), warmup_steps=T // 5),
    ),
    Case(
        "optax",
        "sgdr_schedule",
        lambda T: optax(
            "sgdr_schedule",
            [
                {
                    "init_value": 0.03,
                    "peak_value": PEAK,
                    "warmup_steps": T // 10,
                    "decay_steps": T // 4,
                    "end_value": 0.0,
                },
                {"init_value": 0.0, "peak_value": 0.15, "warmup_steps": 0, "decay_steps": T - T // 4, "end_value": 0.0},
            ],
        ),
        lambda T: Joined(
            [Cosine(warmup_steps=T // 10, warmup_start=0.1), Cosine()], at_steps=[T // 4], scales=[1, 0.5]
        ),
    ),
    Case(
        "optax",
        "join_schedules",
        lambda T: optax(
            "join_schedules",
            [optax("linear_schedule", 0.0, PEAK, T // 6), optax("polynomial_schedule", PEAK, 0.0, 2, T - T // 6)],
            [T // 6],
        ),
        lambda T: Joined([Reversed(Linear()), Polynomial(2)], at_steps=[T // 6]),
    ),
]

TORCH = [
    Case("torch", "LambdaLR", lambda T: torch("LambdaLR", lambda t: 1 / (1 + t)), lambda T: InversePower(1)),
    Case(
        "torch", "LambdaLR, t^-0.3", lambda T: torch("LambdaLR", lambda t: (1 + t) ** -0.3), lambda T: InversePower(0.3)
    ),
    Case(
        "torch", "MultiplicativeLR", lambda T: torch("MultiplicativeLR", lambda t: 0.99), lambda T: Exponential(0.99**T)
    ),
    Case(
        "torch",
        "StepLR",
        lambda T: torch("StepLR", T // 4, 0.5),
        lambda T: Stairs(Exponential(0.5**4), every_steps=T // 4),
    ),
    Case(
        "torch",
        "MultiStepLR",
        lambda T: torch("MultiStepLR", [T // 3, T // 2]),
        lambda T: StepDecay(0.1, milestone_steps=(T // 3, T // 2)),
    ),
    Case(
        "torch",
        "ConstantLR",
        lambda T: torch("ConstantLR", 0.25, T // 4),
        lambda T: Joined([Constant(), Constant()], at_steps=[T // 4], scales=[0.25, 1]),
    ),
    Case(
        "torch",
        "LinearLR",
        lambda T: torch("LinearLR", 0.25, total_iters=T // 4),
        lambda T: Constant(warmup_steps=T // 4, warmup_start=0.25),
    ),
    Case("torch", "LinearLR, falling", lambda T: torch("LinearLR", 1.0, 0.1, T), lambda T: Linear(floor=0.1)),
    Case("torch", "ExponentialLR", lambda T: torch("ExponentialLR", 0.98), lambda T: Exponential(0.98**T)),
    Case("torch", "PolynomialLR", lambda T: torch("PolynomialLR", T, 2.0), lambda T: Polynomial(2)),
    Case(
        "torch",
        "CosineAnnealingLR",
        lambda T: torch("CosineAnnealingLR", T, eta_min=0.03),
        lambda T: Cosine(floor=0.1),
    ),
    Case(
        "torch",
        "CosineAnnealingLR, up and down",
        lambda T: torch("CosineAnnealingLR", T // 4, eta_min=0.03),
        lambda T: Repeated(Joined([Cosine(floor=0.1), Reversed(Cosine(floor=0.1))], at=[0.5]), 2),
    ),
    Case(
        "torch",
        "CosineAnnealingWarmRestarts",
        lambda T: torch("CosineAnnealingWarmRestarts", T // 4, eta_min=0.03),
        lambda T: cosine_restarts(4, floor=0.1),
    ),
    Case(
        "torch",
        "CosineAnnealingWarmRestarts, doubling",
        lambda T: torch("CosineAnnealingWarmRestarts", T // 10, 2),
        lambda T: Repeated(Cosine(), every_steps=T // 10, growth=2),
    ),
    Case(
        "torch",
        "SequentialLR",
        lambda T: several(
            "SequentialLR",
            torch("LinearLR", 0.25, total_iters=T // 5),
            torch("CosineAnnealingLR", T - T // 5),
            milestones=[T // 5],
        ),
        lambda T: Cosine(warmup_steps=T // 5, warmup_start=0.25),
    ),
    Case(
        "torch",
        "ChainedScheduler",
        lambda T: several("ChainedScheduler", torch("ConstantLR", 0.9, T // 4), torch("ExponentialLR", 0.99)),
        lambda T: Joined(
            [Exponential(0.99 ** (T // 4)), Exponential(0.99 ** (T - T // 4))],
            at_steps=[T // 4],
            scales=[0.9, 0.99 ** (T // 4)],
        ),
    ),
    Case(
        "torch",
        "CyclicLR",
        lambda T: torch("CyclicLR", 0.03, PEAK, T // 8, cycle_momentum=False),
        lambda T: Repeated(TRIANGLE, every_steps=T // 8 * 2),
    ),
    Case(
        "torch",
        "OneCycleLR",
        one_cycled,
        lambda T: one_cycle(0.25),
    ),
    Case(
        "torch",
        "OneCycleLR, linear",
        lambda T: one_cycled(T, anneal_strategy="linear"),
        lambda T: one_cycle(0.25, shape="linear"),
    ),
    Case(
        "torch",
        "OneCycleLR, three phases",
        lambda T: one_cycled(T, three_phase=True),
        lambda T: Joined(
            [Reversed(Cosine(floor=0.04)), Cosine(floor=0.04), Cosine(floor=1e-4)], at=[0.25, 0.5], scales=[1, 1, 0.04]
        ),
    ),
]

TRANSFORMERS = [
    Case("transformers", "constant_schedule", lambda T: transformers("constant_schedule"), lambda T: Constant()),
    Case(
        "transformers",
        "constant_schedule_with_warmup",
        lambda T: transformers("constant_schedule_with_warmup", T // 5),
        lambda T: Constant(warmup_steps=T // 5),
    ),
    Case(
        "transformers",
        "linear_schedule_with_warmup",
        lambda T: transformers("linear_schedule_with_warmup", T // 5, T),
        lambda T: Linear(warmup_steps=T // 5),
    ),
    Case(
        "transformers",
        "cosine_schedule_with_warmup",
        lambda T: transformers("cosine_schedule_with_warmup", T // 5, T),
        lambda T: Cosine(warmup_steps=T // 5),
    ),
    Case(
        "transformers",
        "cosine_schedule_with_warmup, two waves",
        lambda T: transformers("cosine_schedule_with_warmup", T // 5, T, 2.0),
        lambda T: Joined([Reversed(Linear()), Repeated(WAVE, 2)], at_steps=[T // 5]),
    ),
    Case(
        "transformers",
        "cosine_with_hard_restarts_schedule_with_warmup",
        lambda T: transformers("cosine_with_hard_restarts_schedule_with_warmup", T // 5, T, 3),
        lambda T: Joined([Reversed(Linear()), cosine_restarts(3)], at_steps=[T // 5]),
    ),
    Case(
        "transformers",
        "polynomial_decay_schedule_with_warmup",
        lambda T: transformers("polynomial_decay_schedule_with_warmup", T // 5, T, lr_end=3e-4, power=2.0),
        lambda T: Polynomial(2, floor=1e-3, warmup_steps=T // 5),
    ),
    Case(
        "transformers",
        "inverse_sqrt_schedule",
        lambda T: transformers("inverse_sqrt_schedule", T // 5),
        lambda T: InverseSqrt(warmup_steps=T // 5),
    ),
    Case(
        "transformers",
        "inverse_sqrt_schedule, with a time scale",
        lambda T: transformers("inverse_sqrt_schedule", T // 5, timescale=7),
        lambda T: InverseSqrt(warmup_steps=T // 5, timescale_steps=7),
    ),
    Case(
        "transformers",
        "inverse_sqrt_schedule, without warmup",
        lambda T: transformers("inverse_sqrt_schedule", 0),
        lambda T: InverseSqrt(timescale_steps=10_000),
    ),
    Case(
        "transformers",
        "cosine_with_min_lr_schedule_with_warmup",
        lambda T: transformers("cosine_with_min_lr_schedule_with_warmup", T // 5, T, min_lr_rate=0.1),
        lambda T: Cosine(floor=0.1, warmup_steps=T // 5),
    ),
    Case(
        "transformers",
        "cosine_with_min_lr_schedule_with_warmup_lr_rate",
        lambda T: transformers(
            "cosine_with_min_lr_schedule_with_warmup_lr_rate", T // 5, T, min_lr_rate=0.1, warmup_lr_rate=0.2
        ),
        lambda T: Joined(
            [Reversed(Linear(floor=0.2)), Held(Cosine(floor=0.1), until_steps=T - T // 5)], at_steps=[T // 5 - 1]
        ),
    ),
    *(
        Case(
            "transformers",
            f"wsd_schedule, {warmup} and {decay}",
            lambda T, warmup=warmup, decay=decay: transformers(
                "wsd_schedule", T // 5, T // 4, T, warmup_type=warmup, decay_type=decay
            ),
            lambda T, rise=rise, fall=fall: WarmupStableDecay(
                cooldown_steps=T // 4, cooldown=fall, warmup_steps=T // 5, warmup_shape=rise
            ),
        )
        for warmup, rise, decay, fall in [
            ("linear", "linear", "cosine", "cosine"),
            ("cosine", "cosine", "linear", "linear"),
            ("1-sqrt", "one_minus_sqrt", "1-sqrt", "one_minus_sqrt"),
        ]
    ),
    Case(
        "transformers",
        "wsd_schedule, to a floor",
        lambda T: transformers(
            "wsd_schedule", T // 5, T // 4, T, warmup_type="linear", decay_type="1-sqrt", min_lr_ratio=0.1
        ),
        lambda T: Joined(
            [Reversed(Linear(floor=0.1)), Constant(), OneMinusSqrt(floor=0.1)], at_steps=[T // 5, T - T // 4]
        ),
    ),
]

CASES = [*OPTAX, *TORCH, *TRANSFORMERS]


def vectors() -> tuple[str, dict[str, np.ndarray]]:
    """The first line of the file, which names versions, and the values by case."""
    first, *lines = VECTORS.read_text(encoding="ascii").splitlines()
    rows = (line.split(": ") for line in lines)
    return first, {key: np.array([float.fromhex(x) for x in values.split()]) for key, values in rows}


def write() -> None:
    """Ask the libraries for the values and write them down."""
    versions = [f"{name} {importlib.import_module(name).__version__}" for name in ("optax", "torch", "transformers")]
    lines = [f"# learning rates of {HORIZON} steps, as C99 hexadecimal floats, from {', '.join(versions)}"]
    lines += [f"{case.key}: {' '.join(x.hex() for x in case.values(HORIZON).tolist())}" for case in CASES]
    VECTORS.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    write()
