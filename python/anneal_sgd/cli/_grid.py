"""``anneal-sgd grid``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from rich.console import Console

from .. import methods, schedules
from ._shared import check_files, experiment_options, print_lines, print_table, run_experiment

if TYPE_CHECKING:
    from ..datasets import Model
    from ..experiments import GridReport, GridRow


@click.command()
@click.option(
    "--data",
    "source",
    default="synthetic-logistic",
    show_default=True,
    help="synthetic-logistic, digits, breast_cancer, or a .csv, .tsv, .parquet, .npz, .npy or svmlight file. "
    "Columns that are constant in the rows to train on are left out, which is said on stderr.",
)
@click.option(
    "--target", help="What to predict: a column, by name or (.npy) number, or an array of an .npz (default y)."
)
@click.option("--sample-weight", help="How much each row counts: a column, or an array of an .npz. Default: all alike.")
@click.option("--encode", is_flag=True, help="Make a column of 0 and 1 of every value of text and categories.")
@click.option(
    "--model",
    default="auto",
    show_default=True,
    help="least_squares, logistic, softmax, hinge, mlp or linear_model; auto goes by the target.",
)
@click.option(
    "--loss", help="Your own, such as 'abs(z - y) ** 1.3', of an output z and target y, for linear_model or mlp."
)
@click.option(
    "--schedule",
    "schedule_names",
    multiple=True,
    help="A schedule, such as cosine, polynomial:2, cosine:floor=0.1, file:lr.csv; repeatable. Default: constant, "
    "inverse_sqrt, "
    "linear, cosine, polynomial:3.",
)
@click.option("--lr-min", default=1e-4, show_default=True, help="The first learning rate of the fine grid.")
@click.option("--lr-max", default=1e2, show_default=True, help="The last one.")
@click.option("--points-per-decade", default=10, show_default=True, help="Of the fine grid.")
@click.option(
    "--largest-resolution", default=100.0, show_default=True, help="Ratio of neighbours on the coarsest grid."
)
@click.option("--horizon", default=5000, show_default=True, help="Steps of a run.")
@click.option("--replicates", default=128, show_default=True, help="Runs per learning rate.")
@click.option("--batch-size", default=16, show_default=True, help="Rows of a step.")
@click.option("--sampling", default="with_replacement", show_default=True, help="Or reshuffling, or sequential.")
@click.option(
    "--test-frac",
    default=0.2,
    show_default=True,
    help="Share of the rows that are held out, of every class alike, for test loss and accuracy.",
)
@click.option("--l2", type=float, help="Regularisation. Default: 1 / rows.")
@click.option("--intercept", is_flag=True, help="Fit one.")
@click.option(
    "--method",
    "method_name",
    default="sgd",
    show_default=True,
    help="A method, such as adam, adam:beta1=0.8, 'clipped(sgd(momentum=0.9), threshold=2)', "
    "'sgd(momentum=following(linear, 0.5, 0.9))'.",
)
@click.option("--momentum", default=0.0, show_default=True, help="Heavy ball.")
@click.option("--nesterov", is_flag=True, help="Nesterov's form of it.")
@click.option("--weight-decay", default=0.0, show_default=True, help="Added to the gradient, not to the loss.")
@click.option(
    "--iterate",
    default="last",
    show_default=True,
    help="Of which the metric is: last, average, tail_average, ema or polynomial_average.",
)
@click.option("--tail-frac", default=0.5, show_default=True, help="Share of the steps, of tail_average.")
@click.option("--ema-decay", default=0.999, show_default=True, help="Of ema.")
@click.option("--average-degree", default=3.0, show_default=True, help="Of polynomial_average.")
@click.option(
    "--metric",
    help="What is minimised: suboptimality, loss, test_loss or test_accuracy (its complement). Default: suboptimality, "
    "or loss for mlp and linear_model, whose suboptimality is above the minimum that searches find.",
)
@click.option("--tolerance", default=0.5, show_default=True, help="Relative excess that the answer allows.")
@click.option(
    "--runs-per-point",
    type=int,
    multiple=True,
    help="Also look at the pick of so few runs per learning rate; repeatable. Default: 1, 3, 10.",
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same JSON.")
@experiment_options("grid", "pictures")
def grid(
    source: str,
    target: str | None,
    sample_weight: str | None,
    encode: bool,
    model: str,
    loss: str | None,
    schedule_names: Sequence[str],
    lr_min: float,
    lr_max: float,
    points_per_decade: int,
    largest_resolution: float,
    horizon: int,
    replicates: int,
    batch_size: int,
    sampling: str,
    test_frac: float,
    l2: float | None,
    intercept: bool,
    method_name: str,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    iterate: str,
    tail_frac: float,
    ema_decay: float,
    average_degree: float,
    metric: str | None,
    tolerance: float,
    runs_per_point: Sequence[int],
    seed: int,
    threads: int | None,
    json_file: Path | None,
    output: Path | None,
) -> int:
    """How coarse may a tuning grid be? Runs a fine grid of learning rates and measures what coarser ones lose.

    Prints, for every schedule and a few resolutions, what the best point of a coarser grid loses, at worst and in the
    mean over where the grid begins, also where it is picked by a few runs per learning rate, and how many grid points
    per factor of ten, and runs in all, keep within the tolerance; beside it the same by test loss and accuracy.
    """
    from ..datasets import load, make_problem
    from ..experiments.grid import DEFAULT_SCHEDULES, GridReport, grid_robustness, run_meta

    chosen = [schedules.by_name(name) for name in schedule_names] or list(DEFAULT_SCHEDULES)
    method = methods.by_name(method_name)
    check_files(json_file, output)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        table = load(source, target=target, seed=seed, encode=encode, sample_weight=sample_weight)
        problem = make_problem(
            table,
            model=cast("Model", model),
            loss=loss,
            test_frac=test_frac,
            seed=seed,
            l2=l2,
            batch_size=batch_size,
            sampling=sampling,
            intercept=intercept or model == "mlp",
            **({"minimum": "solve"} if loss and model != "mlp" and metric == "suboptimality" else {}),
        )
    for warning in said:
        click.echo(f"anneal-sgd: {warning.message}", err=True)
    arguments: dict[str, Any] = {
        "schedules": chosen,
        "base_lr_range": (lr_min, lr_max),
        "points_per_decade": points_per_decade,
        "largest_resolution": largest_resolution,
        "horizon": horizon,
        "replicates": replicates,
        "metric": metric,
        "tolerance": tolerance,
        "runs_per_point": runs_per_point or None,
        "momentum": momentum,
        "nesterov": nesterov,
        "weight_decay": weight_decay,
        "method": method,
        "iterate": iterate,
        "tail_frac": tail_frac,
        "ema_decay": ema_decay,
        "average_degree": average_degree,
        "seed": seed,
    }
    of_data = {"data": source, "target": target, "sample_weight": sample_weight, "encode": encode, "model": model}
    meta = {**run_meta(problem, **arguments), **of_data, "test_frac": test_frac}
    run_experiment(
        "grid",
        partial(grid_robustness, problem, **arguments, threads=threads),
        GridReport,
        meta,
        show=_print_grid,
        plot=_plot,
        json_file=json_file,
        output=output,
    )
    return 0


def _plot(report: GridReport, output: Path) -> None:
    from ..experiments.plots import plot_grid

    plot_grid(report, output)


def _print_grid(report: GridReport, console: Console) -> None:
    meta = report.meta
    iterate = "" if meta["iterate"] == "last" else f"{meta['iterate']} of the iterates, "
    print_lines(
        console,
        f"{meta['problem']}, {meta['method']}, {iterate}T = {meta['horizon']:,}, {meta['replicates']} replicates",
    )
    print_table(
        console,
        f"Excess of {report.rows[0].minimised()} of the pick on grids of ratio r, % (95 % intervals)",
        (
            *("schedule", "best lr", "r", "worst over offsets", "mean over offsets"),
            *(f"mean, {runs} run{'s' if runs > 1 else ''}" for runs in meta["runs_per_point"]),
            *(f"worst, by {other.minimised()}" for other in report.rows[0].held_out),
        ),
        (cells for row in report.rows for cells in _cells(row)),
    )
    print_lines(
        console,
        "At the worst offset a point on the left of the best, where no schedule helps, and one on the right decide.",
        f"Picked by the mean of {meta['replicates']} runs per learning rate, or of fewer where the column says so.",
    )
    print_table(
        console,
        "Every metric at 10 and 100 times its own best learning rate, over its best",
        (
            "schedule",
            *(
                heading
                for row in (report.rows[0], *report.rows[0].held_out)
                for heading in (f"best {row.minimised()}", "10 times", "100 times")
            ),
        ),
        (_right_cells(row) for row in report.rows),
    )
    print_lines(
        console,
        *(_slope(row, of_last=not iterate) for row in report.rows),
        *report.answer(),
        *(
            f"{row.schedule}: its best learning rate is an end of the grid; widen --lr-min, --lr-max"
            for row in report.rows
            if row.at_end()
        ),
    )


def _cells(row: GridRow) -> list[list[str]]:
    """Lines of the table: a few resolutions."""
    means = [(row.mean_excess, row.mean_low, row.mean_high)]
    means += [(few.mean_excess, few.mean_low, few.mean_high) for few in row.picks]
    shown = dict.fromkeys(_nearest(row.resolution, r) for r in (2.0, 5.0, 10.0, 30.0, 100.0))
    return [
        [
            row.schedule if i == 0 else "",
            f"{row.best_base_lr:.3g}" if i == 0 else "",
            f"{row.resolution[k]:.2g}" if row.resolution[k] < 10 else f"{row.resolution[k]:.0f}",
            _percent(row.worst_excess[k], row.worst_low[k], row.worst_high[k]),
            *(_percent(mean[k], low[k], high[k]) for mean, low, high in means),
            *(_percent(other.worst_excess[k], other.worst_low[k], other.worst_high[k]) for other in row.held_out),
        ]
        for i, k in enumerate(shown)
    ]


def _right_cells(row: GridRow) -> list[str]:
    """The best of every metric, and how much larger it is to the right."""
    cells = [row.schedule]
    for one in (row, *row.held_out):
        more = (one.times_best(factor) for factor in (10.0, 100.0))
        cells += [f"{one.best:.4g}", *("–" if math.isnan(times) else f"{times:.3f}" for times in more)]
    return cells


def _slope(row: GridRow, *, of_last: bool) -> str:
    """How the metric grows to the right of the best, and for suboptimality what a fixed quadratic would do."""
    if math.isnan(row.right_slope):
        return f"{row.schedule}: the grid ends, or {row.minimised()} diverges, within 100 times the best learning rate"
    interval = f"{row.right_low:.3f}–{row.right_high:.3f}"
    if math.isnan(row.right_low):
        interval = "no interval: the grid ends too near to the best"
    law = f"; 1/(p+1) = {1 / (row.tail_degree + 1):.3f}" if row.metric == "suboptimality" and of_last else ""
    where = "from 10 to 100 times its best learning rate"
    return f"{row.schedule}: slope of {row.minimised()} {where} {row.right_slope:.3f} ({interval}){law}"


def _percent(value: float, low: float, high: float) -> str:
    digits = 0 if 100 * value >= 9.95 else 1
    return f"{100 * value:.{digits}f} ({100 * low:.{digits}f}–{100 * high:.{digits}f})"


def _nearest(values: Sequence[float], wanted: float) -> int:
    return min(range(len(values)), key=lambda k: abs(values[k] / wanted - 1.0))
