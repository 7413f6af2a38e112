"""What the command line shows: tables on a terminal, JSON when asked for, a bar or a table while networks learn."""

from ensemble_mammo.console.data import audit_table, dataset_table, patch_table, tile_table
from ensemble_mammo.console.figures import report_table, reproduction_tables, scores_table, sweep_tables
from ensemble_mammo.console.training import runs_table, training_bar, trainings_shown, trainings_table

__all__ = [
    "audit_table",
    "dataset_table",
    "patch_table",
    "report_table",
    "reproduction_tables",
    "runs_table",
    "scores_table",
    "sweep_tables",
    "tile_table",
    "training_bar",
    "trainings_shown",
    "trainings_table",
]
