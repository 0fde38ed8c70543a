"""Ready experiments: what the command line runs, as functions that return their results."""

from .validate import RateReport, RateRow, validate_rates

__all__ = ["RateReport", "RateRow", "validate_rates"]
