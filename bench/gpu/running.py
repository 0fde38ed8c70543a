"""Stages of commands. Each runs to its limit at most, is written down before the next begins, and stops no other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGE_SECONDS = 450.0  # with both graces eight minutes
GRACE_SECONDS = 15.0  # after Ctrl-C, in which pytest and the benchmark write what they have


@dataclass(frozen=True)
class Step:
    """One command, and what it tells."""

    name: str
    command: tuple[str, ...]
    seconds: float
    """The most that it may take."""
    read: Callable[[str], dict[str, Any]] | None = None
    """Figures, of the text of `result`, or what the command prints; ValueError or LookupError where there are none."""
    result: Path | None = None
    """A file that the command writes."""


@dataclass(frozen=True)
class Stage:
    """Steps that answer one question."""

    name: str
    what: str
    steps: tuple[Step, ...]


def run_stage(stage: Stage, output: Path, told: dict[str, Any], environment: dict[str, str]) -> bool:
    """Whether all steps went well. Writes NAME.txt and NAME.json in the folder, the latter after every step."""
    began = time.monotonic()
    report: dict[str, Any] = {"stage": stage.name, "what": stage.what, "machine": told, "steps": []}
    with (output / f"{stage.name}.txt").open("w+", encoding="utf-8", errors="replace") as log:
        for step in stage.steps:
            print(f"{stage.name}: {step.name} ...", flush=True)
            left = STAGE_SECONDS - (time.monotonic() - began)
            row = run_step(step, log, min(step.seconds, left), environment)
            report["steps"].append(row)
            report["seconds"] = round(time.monotonic() - began, 1)
            report["passed"] = len(report["steps"]) == len(stage.steps) and not any(
                s["problem"] for s in report["steps"]
            )
            write(output / f"{stage.name}.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
            print(f"{stage.name}: {step.name}: {row['problem'] or 'good'}, {row['seconds']:.0f} s", flush=True)
    return bool(report["passed"])


def run_step(step: Step, log: Any, seconds: float, environment: dict[str, str]) -> dict[str, Any]:
    """What became of it: `problem` is empty where all is well."""
    began = time.monotonic()
    if step.result is not None:
        step.result.unlink(missing_ok=True)
    log.write(f"$ {' '.join(step.command)}\n")
    log.flush()
    place = log.tell()
    problem = _run(step.command, log, seconds, environment)
    log.seek(place)
    printed = log.read()
    found: dict[str, Any] = {}
    if step.read is not None:
        try:
            found = step.read(printed if step.result is None else step.result.read_text(encoding="utf-8"))
        except (ValueError, LookupError, OSError) as error:
            problem = problem or f"nothing to read: {type(error).__name__}: {error}"
    taken = time.monotonic() - began
    return {"name": step.name, "seconds": round(taken, 1), "problem": problem, "found": found}


def _run(command: Sequence[str], log: Any, seconds: float, environment: dict[str, str]) -> str:
    """The problem, in words; empty if there was none."""
    if seconds <= 0:
        return "no time was left"
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        for number in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
        return f"stopped after {seconds:.0f} s"
    return f"exit status {status}" if status else ""


def write(path: Path, text: str) -> None:
    """All of it or nothing."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
