"""Ready experiments: what the command line runs, as functions that return their results."""

from .. import datasets
from .grid import GridRecommendation, GridReport, GridRow, grid_robustness, recommend_grid
from .validate import RateReport, RateRow, validate_rates

__all__ = [
    "GridRecommendation",
    "GridReport",
    "GridRow",
    "RateReport",
    "RateRow",
    "datasets",
    "grid_robustness",
    "recommend_grid",
    "validate_rates",
]
