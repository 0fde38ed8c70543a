"""Figures from what tools write: nvidia-smi, pytest, compute-sanitizer, Nsight Compute, `anneal-sgd bench`."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

SMI_FIELDS = ("name", "driver_version", "compute_cap", "memory.total", "clocks.max.sm", "power.limit")


def devices(text: str) -> list[dict[str, str]]:
    """Of `nvidia-smi --query-gpu=SMI_FIELDS --format=csv,noheader`: a GPU a line."""
    lines = [[cell.strip() for cell in line.split(",")] for line in text.splitlines() if line.strip()]
    return [dict(zip(SMI_FIELDS, cells, strict=False)) for cells in lines]


def last_json(text: str) -> dict[str, Any]:
    """The object that the last line holds."""
    found = json.loads(text.strip().splitlines()[-1])
    if not isinstance(found, dict):
        raise ValueError(f"no object: {found!r}")
    return found


def benchmark(text: str) -> dict[str, Any]:
    """Of `anneal-sgd bench --json`: the cases with their contestants, ours first, and the tiny calls."""
    report = json.loads(text)
    kept = ("case", "what", "rate", "trajectory_steps_per_second", "limit_fraction", "disagreement", "compile_seconds")
    rows = [
        {**{name: row[name] for name in kept}, "slowest": row["work"] / max(row["seconds"]),
         "fastest": row["work"] / min(row["seconds"])}
        for row in report["rows"]
        if row["seconds"]
    ]  # fmt: skip
    wrong = [f"{row['case']}, {row['what']}: {row['disagreement']}" for row in report["rows"] if row["disagreement"]]
    return {"machine": report["machine"], "rows": rows, "tiny_calls": report["tiny_calls"], "not_in_agreement": wrong}


def tests(text: str) -> dict[str, Any]:
    """Of a JUnit file: how many tests passed, were skipped or failed, and which failed."""
    suites = ElementTree.fromstring(text).iter("testsuite")
    count = {"passed": 0, "skipped": 0, "failed": 0}
    failed = []
    for case in (case for suite in suites for case in suite.iter("testcase")):
        if case.find("failure") is not None or case.find("error") is not None:
            count["failed"] += 1
            failed.append(f"{case.get('classname')}::{case.get('name')}")
        else:
            count["skipped" if case.find("skipped") is not None else "passed"] += 1
    if not sum(count.values()):
        raise ValueError("no test ran")
    return {**count, "which_failed": failed[:50]}


def sanitizer(text: str) -> dict[str, Any]:
    """Of compute-sanitizer around pytest, in all processes: errors, and tests that passed under it."""
    errors = [int(number) for number in re.findall(r"^========= ERROR SUMMARY: (\d+) error", text, re.MULTILINE)]
    hazards = [int(number) for number in re.findall(r"^========= RACECHECK SUMMARY: (\d+) hazard", text, re.MULTILINE)]
    if not errors and not hazards:
        raise ValueError("no summary of compute-sanitizer")
    passed = re.findall(r"\b(\d+) passed", text)
    return {"errors": sum(errors) + sum(hazards), "tests_passed": int(passed[-1]) if passed else 0}


def profile(text: str) -> dict[str, float | str]:
    """Of `ncu --csv --print-units base --metrics ...`: the metrics of the one kernel, and its name."""
    rows = list(csv.DictReader(line for line in text.splitlines() if line.startswith('"')))
    found: dict[str, float | str] = {}
    for row in rows:
        found["kernel"] = row["Kernel Name"]
        if row["Metric Value"] != "n/a":  # a counter that this device has not
            found[row["Metric Name"]] = float(row["Metric Value"].replace(",", ""))
    if not found:
        raise ValueError("ncu profiled no kernel")
    return found
