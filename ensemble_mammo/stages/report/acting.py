"""The threshold of each level: as it was given, or chosen on validation for a wanted recall."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.calls import Acting
from ensemble_mammo.merit.thresholds import chosen_for
from ensemble_mammo.records.task import TASKS, Task
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.study import Judged
from ensemble_mammo.stages.report.wording import counted


def acting(
    task: Task, options: ReportOptions, levels: Iterable[str], validation: Mapping[str, Judged], systems: int = 1
) -> dict[str, Acting]:
    """level -> the threshold that its exams are called at; none where the task has not two classes.

    Args:
        task: what is told apart.
        options: with the threshold that was asked for.
        levels: those that are reported.
        validation: the levels of subjects outside the test, on which alone a threshold is chosen.
        systems: how many are reported.

    Raises:
        PredictionError: the task has more classes; or a threshold is to be chosen for several systems, or for a level
            whose validation exams are missing or of one side.
    """
    asked = options.asked
    if len(task.classes) != len(("negative", "positive")):
        if asked.is_plain:
            return {}
        fitting = ", ".join(name for name, one in TASKS.items() if len(one.classes) == len(("negative", "positive")))
        raise PredictionError(
            f"--threshold {options.threshold}: task {task.name} has {len(task.classes)} classes, and a threshold acts "
            f"on two ({fitting}); leave it out: exams are then called the class that scores highest"
        )
    if asked.recall is None:
        return {level: Acting(asked.value) for level in levels}
    if systems > 1:
        raise PredictionError(
            f"--threshold {options.threshold}: the validation files are of one system, and {systems} are reported; "
            "give a number, or report one system at a time"
        )
    return {level: _chosen(level, asked.recall, validation.get(level)) for level in levels}


def _chosen(level: str, recall: float, held: Judged | None) -> Acting:
    if held is None:
        raise PredictionError(
            f"--threshold recall={recall:g}: the validation files have no level {level}, on which its threshold would "
            "be chosen; give the predictions of the same views there, or a number"
        )
    ups, total = int(held.is_positive.sum()), len(held.true)
    if ups in (0, total):
        raise PredictionError(
            f"--threshold recall={recall:g}: {ups} of {counted(total, 'validation exam')} of {level} are positive, and "
            "a threshold is chosen on exams of both sides; give other validation files, or a number"
        )
    return chosen_for(held.is_positive, held.positive_score, recall, f"validation ({counted(total, 'exam')})")
