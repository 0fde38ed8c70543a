"""Ready experiments: what the command line runs, as functions that return their results."""

from .. import datasets
from ._families import Family
from ._picks import Picks
from .grid import GridRecommendation, GridReport, GridRow, grid_robustness, recommend_grid
from .minimax import MinimaxReport, MinimaxRow, minimax_robustness
from .validate import RateReport, RateRow, validate_rates

__all__ = [
    "Family",
    "GridRecommendation",
    "GridReport",
    "GridRow",
    "MinimaxReport",
    "MinimaxRow",
    "Picks",
    "RateReport",
    "RateRow",
    "datasets",
    "grid_robustness",
    "minimax_robustness",
    "recommend_grid",
    "validate_rates",
]
