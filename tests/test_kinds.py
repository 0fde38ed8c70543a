"""Every kind that the core lists has what goes with it: in the stub, in Python, on the page, among the cases.

The lists here are written by hand or read from a text: what comes from the core is compared with what does not.
"""

import ast
import enum
import inspect
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import anneal_sgd
from anneal_sgd import _core, problems, reference, schedules
from anneal_sgd.problems import _data, _network, _separable
from anneal_sgd.programs._ir import COMPOSED, DRAWS, LEAVES, OPERATIONS
from anneal_sgd.reference import averages, elementary, networks, separable
from anneal_sgd.reference.draws import _call_draws
from core_cases import SCHEDULES, TABLES
from test_network_conformance import MODELS, VARIANTS, pair

ROOT = Path(__file__).parent.parent
ENUMERATIONS = {name: kinds for name, kinds in vars(_core).items() if inspect.isclass(kinds) and kinds.__module__}
ENUMERATIONS = {name: [kind.name for kind in e] for name, e in ENUMERATIONS.items() if issubclass(e, enum.Enum)}


def every_kind():
    return [pytest.param(name, kind, id=f"{name}.{kind}") for name, kinds in ENUMERATIONS.items() for kind in kinds]


# --- the stub ---------------------------------------------------------------------------------------------------------


def test_stub_has_the_enumerations_of_the_core():
    tree = ast.parse((ROOT / "python/anneal_sgd/_core/__init__.pyi").read_text())
    stubs = {
        node.name: [line.targets[0].id for line in node.body if isinstance(line, ast.Assign)]
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "enum.Enum" for base in node.bases)
    }
    assert stubs == ENUMERATIONS


# --- Python -----------------------------------------------------------------------------------------------------------

X, Y = np.array([[1.0], [2.0], [-1.0], [-2.0]]), np.array([1.0, -1.0, 1.0, -1.0])
SETS = {"none": None, "box": ("box", -1.0, 1.0), "ball": ("ball", 1.0)}


def simulated(problem, **options):
    return anneal_sgd.simulate(problem, schedules.Linear(), base_lr=0.1, horizon=2, replicates=2, **options)


def class_name(kind):
    return "".join(word.capitalize() for word in kind.split("_"))


def is_of_a_problem(kind, attribute):
    found = (getattr(getattr(problems, name), attribute, None) for name in problems.__all__)
    return any(getattr(one, "name", None) == kind for one in found)


OFFERED = {  # whether the package offers a kind
    "ProblemKind": lambda kind: is_of_a_problem(kind, "_kind"),
    "NoiseKind": lambda kind: kind in get_args(_separable.Noise),
    "ProjectionKind": lambda kind: problems.AbsoluteValue(1.0, projection=SETS[kind])._common[3] == kind,
    "ScheduleKind": lambda kind: issubclass(
        schedules.Tabulated if kind == "knots" else getattr(schedules, class_name(kind)), schedules.Schedule
    ),
    "CooldownShape": lambda kind: schedules.WarmupStableDecay(cooldown=kind).tail_degree > 0,
    "Iterate": lambda kind: simulated(problems.AbsoluteValue(1.0), iterate=kind).count.all(),
    "Precision": lambda kind: (
        simulated(problems.AbsoluteValue(1.0), dtype=kind, keep_samples=True).samples.dtype == kind
    ),
    "Loss": lambda kind: is_of_a_problem(kind, "_loss"),
    "Activation": lambda kind: kind in get_args(_network.Activation) and problems.MLP(X, Y > 0, activation=kind),
    "Sampling": lambda kind: kind in get_args(_data.Sampling) and problems.LeastSquares(X, Y, sampling=kind),
    "Metric": lambda kind: simulated(
        problems.Custom(lambda x: x[0] ** 2, x0=1.0)
        if kind in ("value", "own")
        else problems.LogisticRegression(X, Y, l2=1.0, test=(X, Y)),
        metric={kind: lambda x: x[0]} if kind == "own" else kind,
    ).count.all(),
    "Operation": lambda kind: kind in OPERATIONS,
    "DrawKind": lambda kind: kind in DRAWS,
}


@pytest.mark.parametrize(("enumeration", "kind"), every_kind())
def test_python_offers_every_kind(enumeration, kind):
    assert OFFERED[enumeration](kind)


# --- docs/stream.md ---------------------------------------------------------------------------------------------------

DESCRIBED = {  # the section, and what describes a kind there
    "ProblemKind": ("One step", "^    .*  {}"),
    "NoiseKind": ("Draws: mean 0, variance 1", r"^\| {} \|"),
    "ProjectionKind": ("One step", r"\b{}\b"),
    "ScheduleKind": ("Schedules", r"[-;] {}\b"),
    "CooldownShape": ("Schedules", r"- warmup_stable_decay[^-]*\b{}\b"),
    "Iterate": ("Averages", r"\b{}\b"),
    "Precision": ("The stream: what every bit of a trajectory is", r"\b{}\b"),
    "Loss": ("Problems on data", r"^\| {} \|"),
    "Activation": ("Problems on data", r"\b{}\b"),
    "Sampling": ("Problems on data", r"^\*\*{}\*\*"),
    "Metric": ("Problems on data", r"^\*\*Recorded\*\*[\s\S]*\b{}\b"),
    "Operation": ("Programs", r"^\|[^|]*\b{}\b[^|]*\|"),
    "DrawKind": ("Programs", r"\b{}\b"),
}
WORDS = {"absolute_value": "absolute value", "with_replacement": "with replacement", "tail_average": "tail average"}
WORDS |= {"polynomial_average": "polynomial average"}
WORDS |= {"test_loss": "held-out loss", "test_accuracy": "accuracy"}
NOTHING = {("NoiseKind", "none"), ("ProjectionKind", "none"), ("Iterate", "last")}  # what is left out where they hold


@pytest.mark.parametrize(("enumeration", "kind"), every_kind())
def test_page_describes_every_kind(enumeration, kind):
    if (enumeration, kind) in NOTHING:
        return
    parts = re.split(r"^##? (.+)$", (ROOT / "docs/stream.md").read_text(), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    section, pattern = DESCRIBED[enumeration]
    section = "Programs" if (enumeration, kind) in {("Metric", "value"), ("Metric", "own")} else section
    words = pattern.format(WORDS.get(kind, kind))
    assert re.search(words, sections[section], re.MULTILINE | re.IGNORECASE)


# --- the conformance tests --------------------------------------------------------------------------------------------
# Kinds of separable problems, noise, projections and iterates are all crossed there, as the core lists them.


def test_conformance_has_every_schedule():
    every = [*SCHEDULES, *TABLES]
    assert {schedule["kind"] for schedule in every} == set(ENUMERATIONS["ScheduleKind"])
    assert {schedule.get("cooldown", "linear") for schedule in every} == set(ENUMERATIONS["CooldownShape"])


def test_conformance_has_every_kind_of_problems_on_data():
    every = [pair(model, "float32", 1, **of_problem)[0] for model in MODELS for of_problem, _ in VARIANTS.values()]
    assert {problem._loss.name for problem in every} == set(ENUMERATIONS["Loss"])
    assert {problem._activation for problem in every if len(problem._sizes) > 2} == set(ENUMERATIONS["Activation"])
    assert {problem.sampling for problem in every} == set(ENUMERATIONS["Sampling"])
    of_programs = {"value", "own"}
    assert {metric for problem in every for metric in problem._METRICS} == set(ENUMERATIONS["Metric"]) - of_programs


def test_every_operation_is_one_of_the_core():
    views = {"slice", "element"}  # other views of their operands
    assert set(OPERATIONS) - set(LEAVES) - set(COMPOSED) - views == set(ENUMERATIONS["Operation"])


# --- the reference ----------------------------------------------------------------------------------------------------

ONE = np.ones((1, 1), np.float32)
WORD = np.zeros((1, 4), np.uint32)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("kind", lambda: separable.suboptimality(separable.Problem("new", weight=1.0, x0=1.0), ONE)),
        ("kind", lambda: separable._gradient(separable.Problem("new", weight=1.0, x0=1.0), ONE)),
        ("projection", lambda: separable._project(separable.Problem("huber", 1.0, 1.0, projection="new"), ONE)),
        ("noise", lambda: _call_draws("new", WORD, np.float32)),
        ("kind", lambda: reference.schedule_value("new", [0.0], [1.0], 1)),
        ("iterate", lambda: averages.Averages("new", 0.5, [1], ONE)),
        ("sampling", lambda: reference.rows(3, seed=0, replicates=[0], first=0, count=1, sampling="new")),
        ("loss", lambda: networks._derivative("new", ONE, ONE[0])),
        ("loss", lambda: networks._loss("new", ONE, ONE[0])),
        ("activation", lambda: elementary.activated("new", ONE)),
        ("activation", lambda: elementary.through("new", ONE, ONE)),
    ],
)
def test_reference_takes_no_unknown_kind_for_another(name, call):
    with pytest.raises(ValueError, match=f"^{name} must"):
        call()
