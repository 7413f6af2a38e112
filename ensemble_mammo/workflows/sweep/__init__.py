"""sweep: a recipe trained at every point of a grid, each judged alike, in one table. `run` is the verb."""

from ensemble_mammo.workflows.sweep.options import SweepOptions
from ensemble_mammo.workflows.sweep.points import Axis, Point, axes_of, points_of
from ensemble_mammo.workflows.sweep.result import Outcome, Sweep
from ensemble_mammo.workflows.sweep.run import outcome_of, require_judgeable, sweep

__all__ = [
    "Axis",
    "Outcome",
    "Point",
    "Sweep",
    "SweepOptions",
    "axes_of",
    "outcome_of",
    "points_of",
    "require_judgeable",
    "sweep",
]
