"""What was given becomes a study: systems read, levels fused, true classes and validation joined by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.calls import Acting
from ensemble_mammo.merit.inputs.truth import ANY, Truth, truth_from_counts, truth_from_dataset
from ensemble_mammo.merit.results import PredictionFile
from ensemble_mammo.records.origin import Origin, read_origin
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.report.acting import acting
from ensemble_mammo.stages.report.matching import common_exams
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.read import SystemRead, levels_of, read_systems, unlabelled_exams
from ensemble_mammo.stages.report.study import Judged, Study, judged

VALIDATION = "validation"
"""What files of validation are called where a report lists files by system."""


@dataclass(frozen=True)
class Gathered:
    """A study and what stands behind it."""

    study: Study
    "what the sections look at"
    rows: Mapping[str, Predictions]
    "level -> its rows, those without a true class too"
    exams: int
    "exams predicted at any level"
    files: tuple[PredictionFile, ...]
    "what was read"
    notes: tuple[str, ...]
    "what a reader must know; no ids"


def gather(predictions: Sequence[str | Path | Predictions], truth: Truth, options: ReportOptions) -> Gathered:
    """Read, fuse and join what was given.

    Raises:
        PredictionError: predictions and true classes do not fit each other, or are damaged.
    """
    systems = read_systems(predictions, truth.task, options.columns, truth)
    first, *others = systems
    given = systems[first].predictions
    origins = [read_origin(folder) for folder in systems[first].folders]
    if any(origin.out_of_fold for origin in origins):
        truth = replace(truth, learned=frozenset())
    labels = truth.placed(given)
    levels = {name: levels_of(one.predictions, truth.task, options.fusion) for name, one in systems.items()}
    rows = {name: own for name, (own, _) in levels.items()}
    predicted: list[Predictions] = list(given)
    notes = [note for one in systems.values() for note in one.notes] + levels[first][1]
    if others:
        rows, said = common_exams(rows)
        notes += [f"all other figures are of {first}, on the exams that all systems have", *said]
        predicted = [p for one in systems.values() for p in one.predictions]
        given = list(rows[first].values())
    unlabelled = unlabelled_exams(given, labels, options)
    notes += [
        f"LEAKAGE: {origin.seen} of the predicted subjects were in the training of these networks: no test figures"
        for origin in origins
        if origin.seen
    ]
    notes += [
        f"images were given to the networks at contrast {origin.contrast:g}, in place of their recipes' own"
        for origin in origins
        if origin.contrast is not None
    ]
    if truth.ordered:
        notes.append("true classes come from the order of the rows; no id confirms them")
    notes += [*labels.remarks, *options.remarks, *_truth_notes(given, predicted, labels, len(unlabelled))]
    held, validation_files = _validation(labels, options, given)
    files = tuple(replace(file, system=name) for name, one in systems.items() for file in one.files)
    _refuse_test_files(files, validation_files)
    thresholds = acting(truth.task, options, rows[first], held, len(systems))
    tested = {name: _judged(own, labels, thresholds) for name, own in rows.items()}
    study = Study(
        truth.task,
        labels,
        options,
        tuple(p for p in given if p.level in tuple(View)),
        tested[first],
        held,
        tested if others else {},
        systems[first].folders,
        bool(origins) and all(origin.out_of_fold for origin in origins),
        _fold_of(origins),
        thresholds,
    )
    exams = len({key for p in given for key in p.keys})
    return Gathered(study, rows[first], exams, files + validation_files, tuple(notes))


def _fold_of(origins: Sequence[Origin]) -> Mapping[str, int]:
    """The folds of the subjects where all folders say the same."""
    first = origins[0].fold_of if origins else {}
    return first if all(origin.fold_of == first for origin in origins) else {}


def _judged(
    rows: Mapping[str, Predictions], labels: Truth, thresholds: Mapping[str, Acting] | None = None
) -> dict[str, Judged]:
    cuts = {level: one.cut for level, one in (thresholds or {}).items()}
    return {level: judged(p, labels, cuts.get(level)) for level, p in rows.items()}


def _validation(
    labels: Truth, options: ReportOptions, given: Sequence[Predictions]
) -> tuple[dict[str, Judged], tuple[PredictionFile, ...]]:
    """The judged levels of validation files.

    Raises:
        PredictionError: several systems, subjects of the test among them, or rows without a true class.
    """
    if not options.validation:
        return {}, ()
    systems = read_systems(options.validation, labels.task, options.columns)
    if len(systems) > 1:
        raise PredictionError(f"--validation: give the files of one system, found {', '.join(systems)}")
    (read,) = systems.values()
    truth = _validation_truth(labels, options, read)
    _refuse_test_subjects(read, given)
    rows, _ = levels_of(read.predictions, labels.task, options.fusion)
    unlabelled_exams(list(rows.values()), truth, options)
    files = tuple(replace(file, system=VALIDATION) for file in read.files)
    return _judged(rows, truth), files


def _validation_truth(labels: Truth, options: ReportOptions, read: SystemRead) -> Truth:
    if options.validation_counts:
        return truth_from_counts(options.validation_counts, labels.task).placed(read.predictions)
    if not all(p.identified for p in read.predictions):
        raise PredictionError(
            "--validation: these files carry no ids; give their true classes in file order as --validation-counts "
            "A=14,B=51,…, or ids (predictions_<view>.ids.csv beside each file)"
        )
    dataset = options.validation_data or options.dataset
    return truth_from_dataset(dataset, labels.task) if dataset is not None else labels


def _refuse_test_subjects(read: SystemRead, given: Sequence[Predictions]) -> None:
    """Thresholds fitted on the subjects that are judged would flatter."""
    if not all(p.identified for p in (*read.predictions, *given)):
        return
    tested = {subject for p in given for subject in p.subject_ids}
    both = sorted({subject for p in read.predictions for subject in p.subject_ids} & tested)
    if both:
        raise PredictionError(
            f"--validation: {len(both)} of its subjects are among those judged, the first {both[0]!r}; give the "
            "predictions of other subjects, such as those of the split val"
        )


def _refuse_test_files(tested: Sequence[PredictionFile], validation: Sequence[PredictionFile]) -> None:
    """Files without ids can be told apart by their bytes alone."""
    known = {file.sha256 for file in tested}
    same = [file.name for file in validation if file.sha256 in known]
    if same:
        raise PredictionError(
            f"--validation: {same[0]} holds the very predictions that are judged; give those of other subjects, such "
            "as of the split val"
        )


def _truth_notes(
    given: Sequence[Predictions], all_given: Sequence[Predictions], labels: Truth, unlabelled: int
) -> list[str]:
    notes = []
    if unlabelled:
        notes.append(f"predicted exams left out because they have no true class: {unlabelled}")
    predicted = {subject for p in given for subject in p.subject_ids}
    if seen := len(labels.learned & predicted):
        notes.append(
            f"of the {len(predicted)} subjects {seen} are of the dataset's splits train and val: figures of networks "
            "that learned from this dataset are no test figures"
        )
    unused = len(labels.subjects() - labels.learned - {subject for p in all_given for subject in p.subject_ids})
    if unused:
        notes.append(f"subjects with a true class but no prediction: {unused}")
    if labels.task.breast_to_subject == "maximum" and all(level == ANY for level, _, _ in labels.labels):
        notes.append("the true class of an exam was taken for each of its views and breasts")
    return notes
