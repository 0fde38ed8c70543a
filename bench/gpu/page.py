"""The page of what the stages found: Markdown that can go into bench/ as it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from gpu.stages import STALL, STALLS

OURS = "anneal_sgd"
ISSUE = "smsp__issue_active.avg.pct_of_peak_sustained_active"
ACTIVE = "sm__warps_active.avg.pct_of_peak_sustained_active"
RATES = {"gpu-abs-gaussian": ("1-D, Gaussian", 400e9), "gpu-abs-rademacher": ("1-D, Rademacher", 3e12)}
TIMES = 5.0  # the fastest peer
TINY = 100e-6  # seconds of `simulate`


def page(reports: Sequence[dict[str, Any]]) -> str:
    """Of all stages that have run."""
    told = reports[-1]["machine"]
    facts = {"": "name", "driver ": "driver_version", "compute capability ": "compute_cap", "up to ": "clocks.max.sm",
             "nvcc: ": "nvcc", "cores: ": "cores", "commit ": "commit", "on ": "date"}  # fmt: skip
    known = {**told, **told["device"]}
    shown = [f"{label}{known[fact]}" for label, fact in facts.items() if known.get(fact)]
    parts = ["# On a GPU", "    make gpu-check", ", ".join(shown) + "."]
    if any(report["machine"]["rehearsal"] for report in reports):
        parts.append("**A rehearsal on the CPU: no figure here is a GPU's.**")
    parts.append(_table(["stage", "outcome", "seconds"], map(_outcome, reports)))
    problems = [f"- {report['stage']}, {step['name']}: {step['problem']}"
                for report in reports for step in report["steps"] if step["problem"]]  # fmt: skip
    parts += ["## Problems", "\n".join(problems)] if problems else []
    found = {(report["stage"], step["name"]): step["found"] for report in reports for step in report["steps"]}
    for (stage, name), figures in found.items():
        parts += [f"## {stage}: {name}", *_shown(figures)] if _shown(figures) else []
    targets = list(_targets(found))
    parts += ["## Targets", _table(["target", "this run", "reached"], targets)] if targets else []
    profiles = {name: figures for (stage, name), figures in found.items() if stage == "profile" and ISSUE in figures}
    head = ["kernel of", "issue slots, %", "warps, %", "registers", "what its warps wait for most, cycles"]
    parts += ["## profile", _table(head, [_profiled(*item) for item in profiles.items()])] if profiles else []
    if any(report["stage"] == "profile" and not report["steps"][-1]["problem"] for report in reports):
        parts.append("![Instruction roofline of the hot kernels](gpu_roofline.png)")
    return "\n\n".join(parts) + "\n"


def _outcome(report: dict[str, Any]) -> list[str]:
    outcome = "good" if report["passed"] else "not good"
    return [f"{report['stage']}: {report['what']}", outcome, f"{report['seconds']:.0f}"]


def _shown(figures: dict[str, Any]) -> list[str]:
    """What one step found, other than a profile."""
    if "rows" in figures:
        head = ["case", "what", "units/s, median (min to max)", "of the counted limit", "compiled in"]
        calls = [f"{name}, 1 config, 64 replicates, 10 steps: {1e6 * seconds:.1f} us"
                 for name, seconds in figures["tiny_calls"].items()]  # fmt: skip
        return [_table(head, map(_contestant, figures["rows"])), *calls, *figures["not_in_agreement"]]
    if "failed" in figures:
        counts = ", ".join(f"{figures[name]} {name}" for name in ("passed", "skipped", "failed"))
        return [f"Tests: {counts}.", *figures["which_failed"]]
    if "errors" in figures:
        return [f"{figures['errors']} errors or hazards; {figures['tests_passed']} tests passed under it."]
    if any("events" in value for value in figures.values() if isinstance(value, dict)):
        return [_table(["case", "wall, us", "events, us", "units/s by events"],
                       [[name, f"{1e6 * v['wall']:.1f}", f"{1e6 * v['events']:.1f}", _scaled(v["work"] / v["events"])]
                        for name, v in figures.items()])]  # fmt: skip
    return []


def _contestant(row: dict[str, Any]) -> list[str]:
    spread = f"{_scaled(row['rate'])} ({_scaled(row['slowest'])} to {_scaled(row['fastest'])})"
    limit = "" if row["limit_fraction"] is None else f"{100 * row['limit_fraction']:.0f} %"
    compiled = f"{row['compile_seconds']:.1f} s" if row["compile_seconds"] >= 0.05 else ""
    return [row["case"], row["what"], spread, limit, compiled]


def _targets(found: dict[tuple[str, str], dict[str, Any]]) -> Iterable[list[str]]:
    runs = [figures for figures in found.values() if "rows" in figures]
    rows = {(row["case"], row["what"]): row["rate"] for run in runs for row in run["rows"]}
    for case, (name, limit) in RATES.items():
        if (case, OURS) in rows:
            rate = rows[case, OURS]
            yield [f"{name}: ≥ {_scaled(limit)} trajectory-steps/s", _scaled(rate), _yes(rate >= limit)]
        others = {what: rate for (other, what), rate in rows.items() if other == case and what != OURS}
        if others and (case, OURS) in rows:
            best = max(others, key=lambda what: others[what])
            times = rows[case, OURS] / others[best]
            yield [f"{name}: ≥ {TIMES:g} times the fastest peer", f"{times:.3g} ({best})", _yes(times >= TIMES)]
    for seconds in (run["tiny_calls"]["simulate"] for run in runs if "simulate" in run["tiny_calls"]):
        yield [f"tiny ensemble: ≤ {1e6 * TINY:.0f} us", f"{1e6 * seconds:.1f} us", _yes(seconds <= TINY)]


def _profiled(name: str, figures: dict[str, Any]) -> list[str]:
    waits = {reason: figures.get(STALL.format(reason), 0.0) for reason in STALLS if reason != "selected"}
    longest = sorted(waits, key=lambda reason: -waits[reason])[:3]
    numbers = [f"{figures.get(metric, math.nan):.0f}" for metric in (ISSUE, ACTIVE, "launch__registers_per_thread")]
    return [name, *numbers, ", ".join(f"{reason} {waits[reason]:.2g}" for reason in longest)]


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"


def _scaled(rate: float) -> str:
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if rate >= size:
            return f"{rate / size:.3g} {prefix}"
    return f"{rate:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
