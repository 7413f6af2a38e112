"""Whether a label can be told without looking at what it is about: cross-validated probes of a dataset."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.learning.frozen import FrozenNetwork, FrozenOptions
from ensemble_mammo.merit.probe import CHANCE, Probed, ProbeOptions, probe
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.task import TASKS, task_named
from ensemble_mammo.stages.audit.advice import advice
from ensemble_mammo.stages.audit.file_facts import ages, file_facts
from ensemble_mammo.stages.audit.seeing import jobs_of, lesion_boxes, seen

Numbers = NDArray[np.float32]
_log = logging.getLogger(__name__)
_LEARNT = ("", "train", "val")
"the splits whose labels are looked at"
_RULES = {"strips": "trees", "facts": "trees", "age": "trees", "blots": "trees", "collection": "trees"}
"few numbers that may matter jointly; the others are told apart by a logistic regression"
_HARMLESS = ("whole", "age", "blots")
"shown for comparison, never a warning"


@dataclass(frozen=True)
class ShortcutOptions:
    """What is probed, and how."""

    task: str = "pathology"
    "whose label"
    seed: int = 0
    "of folds, resamples and stray blots"
    folds: int = 5
    "folds of subjects"
    device: str = "auto"
    "of the frozen network: auto, cpu or cuda"
    height: int = 384
    "rows of the frozen network's input; 768 sees a little more in four times the time"
    resamples: int = 1000
    "bootstrap resamples of subjects"
    workers: int = 0
    "threads that read images; 0: one a core"
    most_images: int = 4000
    "of a larger dataset, subjects drawn at random with about so many images"
    network: str = FrozenOptions.network
    "the frozen network, by timm's name"
    pretrained: str = FrozenOptions.pretrained
    "where its weights come from: package, hub, or none (random: for tests)"


@dataclass(frozen=True)
class ProbeFinding:
    """What one probe told."""

    target: str
    "what was to be told: the task, 'split' or 'collection'"
    probe: str
    "from what: whole, outside, strips, blotted, thumbnail, facts, age, blots, collection"
    value: float
    "AUC, cross-validated by subject; nan where undefined"
    low: float
    "lower limit of its 95 % interval"
    high: float
    "upper limit"
    images: int
    "images scored"
    subjects: int
    "of so many subjects"
    severity: str
    "'warning' where the target is told from what should not tell it, else 'info'"
    advice: str = ""
    "what it means, and what to do"
    whole: float = np.nan
    "AUC of the same target from whole images"
    chance: float = CHANCE
    "AUC of what tells nothing"


@dataclass(frozen=True)
class _Target:
    name: str
    labels: list[str]
    probes: tuple[str, ...]
    innocent: tuple[str, ...] = ()


def probe_shortcuts(dataset: Dataset, options: ShortcutOptions | None = None) -> list[ProbeFinding]:
    """Probe a dataset for what tells its label, its splits and its collections.

    Labels are looked at in training and validation (and images of no split) alone, never in test.

    Args:
        dataset: as prepared.
        options: what is probed.

    Returns:
        A finding for each target and probe. An undefined one has nan and says why.

    Raises:
        DatasetError: no labels of the task, or an image is missing or damaged.
        WeightsError: the frozen network's weights cannot be had.
    """
    options = options or ShortcutOptions()
    dataset.require(task_named(options.task))
    rows = _drawn(dataset.table, options)
    learnt = rows["split"].isin(_LEARNT) & (rows[options.task] != "")
    boxes = lesion_boxes(dataset.lesions(), rows[learnt])
    targets = _targets(rows, options.task, learnt, (bool(boxes), dataset.preparation.crop))
    facts = file_facts(rows)
    features = _features(dataset, rows, targets, boxes, options) | _numbers(rows, facts)
    how = ProbeOptions(options.folds, options.resamples, options.seed)
    findings: list[ProbeFinding] = []
    for target in targets:
        findings += _found(target, features, facts, (rows["subject_id"].to_numpy(str), dataset.preparation, how))
    return _sources_weighed(findings, options.task)


def _drawn(table: pd.DataFrame, options: ShortcutOptions) -> pd.DataFrame:
    """All images, or those of subjects drawn at random."""
    if len(table) <= options.most_images:
        return table.reset_index(drop=True)
    subjects = np.random.default_rng(options.seed).permutation(sorted(set(table["subject_id"])))
    place = table["subject_id"].map({name: i for i, name in enumerate(subjects)})
    sizes = table.groupby(place).size().cumsum()
    kept = place < max(1, int((sizes <= options.most_images).sum()))
    _log.info("shortcuts: %d of %d images, of subjects drawn at random", int(kept.sum()), len(table))
    return table[kept].reset_index(drop=True)


def _targets(rows: pd.DataFrame, task: str, learnt: pd.Series, has: tuple[bool, bool]) -> list[_Target]:
    """The task's label, then the split and the collection, where there are several; `has` is (lesions, crop)."""
    lesions, cropped = has
    picture = ("whole", "outside", "strips", "thumbnail")
    # density is read from any part of the breast: hidden lesions, a coarse image, a strip at the chest wall all show it
    anywhere = ("thumbnail", "blotted", *(("strips",) if cropped else ()))
    found = [
        _Target(
            task,
            rows[task].where(learnt, "").tolist(),
            (*picture, *(("blotted", "blots") if lesions else ()), "facts", "age", "collection"),
            anywhere if TASKS[task].breast_to_subject == "mean" else (),
        )
    ]
    splits = rows["split"]
    if len(set(splits) - {""}) > 1:
        other = "test" if (splits == "test").any() else "val"
        found.append(_Target("split", splits.where(splits.isin(["train", other]), "").tolist(), (*picture, "facts")))
    if len(set(rows["collection"])) > 1:
        found.append(_Target("collection", rows["collection"].tolist(), picture))
    return found


def _features(
    dataset: Dataset,
    rows: pd.DataFrame,
    targets: Sequence[_Target],
    boxes: Mapping[str, tuple[Box, ...] | None],
    options: ShortcutOptions,
) -> dict[str, Numbers]:
    """What is seen in the images that any target needs."""
    wanted = np.any([[label != "" for label in target.labels] for target in targets], axis=0)
    blackened = dataset.preparation.outside == "black"
    jobs = [job for job in jobs_of(rows, dataset.root, blackened, boxes, options.seed) if wanted[job.place]]
    frozen = FrozenOptions(options.height, options.device, network=options.network, pretrained=options.pretrained)
    return seen(jobs, len(rows), FrozenNetwork(frozen), options.workers)


def _numbers(rows: pd.DataFrame, facts: Mapping[str, Numbers]) -> dict[str, Numbers]:
    """What the table says, as features."""
    numbers = {"facts": np.hstack(list(facts.values()))} if facts else {}
    if (rows["age"] != "").any():
        numbers["age"] = ages(rows)
    if "collection" in facts:
        numbers["collection"] = facts["collection"]
    return numbers


def _found(
    target: _Target,
    features: Mapping[str, Numbers],
    facts: Mapping[str, Numbers],
    context: tuple[NDArray[np.str_], Preparation, ProbeOptions],
) -> list[ProbeFinding]:
    """The findings of a target; `context` is (subjects, preparation, how)."""
    subjects, preparation, how = context
    findings: list[ProbeFinding] = []
    for name in (name for name in target.probes if name in features):
        made = _probed(target, features[name], subjects, how, _RULES.get(name, "linear"))
        told = made.told and name not in (*_HARMLESS, *target.innocent)
        strongest = _strongest(target, facts, subjects, how) if told and name == "facts" else ""
        said = [advice(target.name, name, made.told, preparation, strongest)] if not made.undefined else []
        if made.told and name in target.innocent:
            said = [f"{target.name} is read from any part of the breast: no shortcut"]
        text = "; ".join([*said, *filter(None, [made.reason])])
        severity = "warning" if told else "info"
        place = (made.auc.value, made.auc.low, made.auc.high, made.images, made.subjects)
        findings.append(ProbeFinding(target.name, name, *place, severity, text))
    whole = next((one.value for one in findings if one.probe == "whole"), np.nan)
    return [replace(one, whole=whole) for one in findings]


def _probed(target: _Target, features: Numbers, subjects: NDArray[np.str_], how: ProbeOptions, rule: str) -> Probed:
    """The probe on the rows that have the target's label and these features."""
    there = ~np.isnan(features).any(axis=1)
    labels = np.where(there, np.asarray(target.labels, str), "")
    kept = labels != ""
    return probe(features[kept], labels[kept].tolist(), subjects[kept].tolist(), how, rule)


def _strongest(target: _Target, facts: Mapping[str, Numbers], subjects: NDArray[np.str_], how: ProbeOptions) -> str:
    """The fact that tells most by itself, with its AUC."""
    single = {
        name: _probed(target, values, subjects, replace(how, resamples=0), "trees").auc.value
        for name, values in facts.items()
    }
    best = max(single, key=lambda name: single[name])
    return f"{best}, AUC {single[best]:.2f}"


def _sources_weighed(findings: Sequence[ProbeFinding], task: str) -> list[ProbeFinding]:
    """Collections can nearly always be told apart; that does harm only where the label goes with the collection."""
    harm = any(f.target == task and f.probe == "collection" and f.severity == "warning" for f in findings)
    if harm:
        return list(findings)
    text = "collection is told apart, but the label does not go with it: no shortcut"
    return [
        replace(f, severity="info", advice=text) if f.target == "collection" and f.severity == "warning" else f
        for f in findings
    ]
