"""A page that explains a campaign: tables and interactive plots, self-contained, and each plot as PNG and SVG.

Jinja is used here and nowhere else.
"""

from __future__ import annotations

import itertools
import json
import math
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._extras import need
from .._files import write_text
from ._curves import Curves, short
from ._figures import MOST_PANELS, Plot, plots, span_in_words
from ._pictures import write_pictures
from ._plotly import to_plotly
from ._result import CampaignResult
from ._robustness import LOSSES, Interval, RobustnessRow, robustness

if TYPE_CHECKING:
    from ._store import StorePath

MODULES = ("jinja2", "matplotlib", "plotly")  # of the extra "campaigns"
_MOST_ROWS = 400  # of the table of best learning rates
_NAV = {
    "robustness": "Costs",
    "exponents": "Exponents",
    "tolerance": "Tolerance",
    "rates": "Learning rates",
    "convergence": "Convergence",
}


def write_report(result: CampaignResult, folder: StorePath) -> Path:
    """Write `index.html`, and `figures/*.png` and `*.svg`, to a folder, which is made; returns the path of the page.

    The page needs no network. ImportError: plotly, jinja2 or matplotlib is missing.
    """
    jinja2 = need("campaigns", *MODULES)
    get_plotlyjs = need("campaigns", "plotly.offline").get_plotlyjs
    rows = robustness(result) if len(result.description.rates) > 1 else []
    drawn = plots(result, rows)
    target = Path(folder)
    (target / "figures").mkdir(parents=True, exist_ok=True)
    shown = [_shown(plot, result, target) for plot in drawn]
    told = result.description
    page = jinja2.Environment(
        loader=jinja2.PackageLoader("anneal_sgd.campaigns", "."), autoescape=True, undefined=jinja2.StrictUndefined
    ).get_template("report.html.j2")
    headings, best, count = _best(result)
    text = page.render(
        title=told.name or "Campaign",
        summary=_summary(result),
        complete=result.complete,
        missing=_missing(result),
        script=_safe(jinja2, get_plotlyjs()),
        ranking=[
            (f"{horizon:,}", [_ranked(row) for row in some]) for horizon, some in groupby(rows, key=lambda r: r.horizon)
        ],
        losses=[f"{100 * loss:.0f} %" for loss in LOSSES],
        lr_name=told.lr_name,
        ratio=" or ".join(dict.fromkeys(f"{row.ratio:.3g}" for row in rows)),
        edge=any(row.at_edge for row in rows),
        common=bool(told.options["common_random_numbers"]),
        span=span_in_words(rows),
        plots=[{**plot, "html": _safe(jinja2, plot["html"])} for plot in shown],
        best=best,
        best_headings=headings,
        best_note=f"The first {len(best)} of {count:,}; the export has all." if count > len(best) else
        "Of the learning rates that were tried, at the last recorded step.",
        source=[(k.replace("_", " "), v) for k, v in result.provenance().items() if k != "spec"],
        runs=[_run(run) for run in result.runs],
        spec=told.specification(indent=1),
        programs=told.programs,
    )  # fmt: skip
    path = target / "index.html"
    write_text(path, text)
    return path


def _safe(jinja2: Any, text: str) -> Any:
    """Markup of Plotly's own, which is not to be escaped."""
    import markupsafe

    return markupsafe.Markup(text)


def _shown(plot: Plot, result: CampaignResult, target: Path) -> dict[str, Any]:
    caption = f"{result.description.name or 'campaign'}: {_held(result)} replicates, seed "
    caption += f"{result.description.options['seed']}, anneal_sgd {_versions(result)}"
    files = write_pictures(plot, target / "figures", caption, json.dumps(result.provenance(), sort_keys=True))
    left_out = max(0, len(Curves(result).panels()) - MOST_PANELS) if plot.key in ("rates", "convergence") else 0
    html = to_plotly(plot).to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=f"plot-{plot.key}",
        config={"responsive": True, "displaylogo": False},
    )
    return {
        "key": plot.key,
        "title": plot.title,
        "note": plot.note,
        "left_out": left_out,
        "html": html,
        "short": _NAV[plot.key],
        "files": [f"figures/{file.name}" for file in files],
    }


def _versions(result: CampaignResult) -> str:
    return ", ".join(sorted({str(run["anneal_sgd"]) for run in result.runs}))


def _summary(result: CampaignResult) -> str:
    told = result.description
    shape = " × ".join(f"{name}: {len(values)}" for name, values in (*told.axes, *told.cell_axes)) or "one config"
    return f"{shape}; {_held(result)} replicates of every config; first problem: {told.problems[0]}"


def _held(result: CampaignResult) -> str:
    low, high = int(result.replicates.min()), int(result.replicates.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _missing(result: CampaignResult) -> str:
    wanted, held = result.description.replicates, result.replicates
    if result.description.precision:
        return "the precision that was asked for is not reached yet"
    return f"{int(np.sum(held < wanted)):,} of {held.size:,} means have fewer than {wanted:,} replicates"


def _ranked(row: RobustnessRow) -> list[str]:
    cells = [
        str(row.rank),
        row.schedule,
        _interval(row.cost),
        _interval(row.exponent, 3),
        _number(row.predicted_exponent, 3),
        _number(row.asymptotic_exponent, 3),
    ]
    for found, bound in zip(row.tolerated, row.predicted, strict=True):
        cells += [_interval(found), _number(bound)]
    return [*cells, _number(row.best_rate) + (" (edge)" if row.at_edge else "")]


def _number(x: float, decimals: int | None = None) -> str:
    if math.isnan(x):
        return "–"
    if math.isinf(x):
        return "> grid"
    return f"{x:.{decimals}f}" if decimals is not None else f"{x:.3g}"


def _interval(v: Interval, decimals: int | None = None) -> str:
    if math.isnan(v.value):
        return "–"
    if math.isinf(v.value):
        return "> grid" if math.isinf(v.low) else f"> {_number(v.low, decimals)}"
    return f"{_number(v.value, decimals)} ({_number(v.low, decimals)}–{_number(v.high, decimals)})"


def _best(result: CampaignResult) -> tuple[list[str], list[list[str]], int]:
    """Of the first problems, schedules and horizons: the best rate and its mean; and how many there are."""
    curves = Curves(result)
    in_rho = curves.lr_name == "rho"
    headings = [*(name for name, _ in curves.axes), "schedule", "horizon", *(["rho"] if in_rho else []), "base_lr"]
    headings += [f"mean {curves.value}", "stderr"]
    mean = np.where(curves.diverged, np.nan, curves.mean)[..., -1]
    base_lr = np.broadcast_to(result.base_lr, mean.shape[1:]) if in_rho else None
    order = np.argsort(result.description.rates)
    rows = []
    sizes = [len(values) for _, values in curves.axes]
    for i, s, h in itertools.islice(np.ndindex(mean.shape[:3]), _MOST_ROWS):
        places = np.unravel_index(i, sizes) if sizes else ()
        point = [short(values[k]) for (_, values), k in zip(curves.axes, places, strict=True)]
        cells = [*point, curves.schedules[s], f"{curves.horizons[h]:,}"]
        if np.isnan(mean[i, s, h]).all():
            rows.append([*cells, *["–"] * (len(headings) - len(cells))])
            continue
        best = int(np.nanargmin(mean[i, s, h]))
        rate = float(curves.rates[best])
        rates = [rate] if base_lr is None else [rate, float(base_lr[s, h, order[best]])]
        numbers = [f"{v:.4g}" for v in (*rates, mean[i, s, h, best])]
        rows.append([*cells, *numbers, f"{curves.error[i, s, h, best, -1]:.1g}"])
    return headings, rows, math.prod(mean.shape[:3])


def _run(run: dict[str, Any]) -> list[str]:
    def when(seconds: float | None) -> str:
        if seconds is None:
            return "interrupted"
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")

    steps = f"{run['trajectory_steps']:.4g}"
    backends = ", ".join(run["backends"])
    return [when(run["started"]), when(run["finished"]), steps, backends, run["executor"], run["host"]]
