"""report: figures of merit at every level, and the studies behind them. `run` is the verb."""

from ensemble_mammo.merit.results import Report
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.run import report

__all__ = ["Report", "ReportOptions", "report"]
