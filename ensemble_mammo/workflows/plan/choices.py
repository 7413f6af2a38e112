"""The values of a planned recipe, each with its reason: the rules put to a dataset and a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble_mammo.records.task import TASKS
from ensemble_mammo.workflows.plan import rules
from ensemble_mammo.workflows.plan.dry_run import DryRun
from ensemble_mammo.workflows.plan.fingerprint import Fingerprint
from ensemble_mammo.workflows.plan.machine import Machine


@dataclass(frozen=True)
class Choice:
    """One value of a plan."""

    key: str
    "the field of the recipe, with dots; `train.stages.0.epochs` is of the first stage"
    value: Any
    "as TOML has it"
    reason: str
    "why, in one line"


@dataclass(frozen=True)
class Sizes:
    """What several rules go by."""

    folds: int
    "of the cross-validation; 0: trained once"
    pooled: bool
    "one network for all views"
    images: int
    "that one training sees, mirrored ones of the other breast included"
    subjects: int
    "that one training sees"


def sizes_of(facts: Fingerprint) -> Sizes:
    """Folds, pooled or not, and how much one training sees."""
    folds = rules.folds_of(facts.rarest[1], facts.folds, facts.crossvalidated)
    pooled = bool(facts.layers) or facts.smallest_view < rules.POOLED_BELOW
    share = rules.trained_share(folds)
    images = facts.learned if pooled else 2 * facts.smallest_view
    return Sizes(folds, pooled, max(1, round(images * share)), max(1, round(facts.subjects * share)))


def of_the_data(facts: Fingerprint, sizes: Sizes, gpu: bool, rows: int = 0) -> list[Choice]:
    """All that does not depend on how fast the machine is.

    Args:
        facts: of the dataset.
        sizes: of one training.
        gpu: whether there is one.
        rows: of the input; 0: as the rules have it.
    """
    return [
        *_network(facts, sizes),
        *_input(facts, sizes, gpu, rows),
        *_augment(facts, sizes),
        *_loss(facts, sizes),
        *_schedule(sizes),
        *_kept(facts, sizes),
    ]


def _network(facts: Fingerprint, sizes: Sizes) -> list[Choice]:
    few = f"{facts.smallest_view} images of the smallest view"
    asked = f"{rules.POOLED_BELOW} are asked for a network of one view"
    why = f"{few}, {asked}" if sizes.pooled else f"{few}: a network a view ({asked})"
    if facts.layers:
        why = f"joined from {len(facts.collections)} collections: one network, a last layer for each"
    choices = [
        Choice("task", facts.task, f"{facts.learned} images of {facts.subjects} subjects have its labels"),
        Choice("pooled", sizes.pooled, why),
        Choice("recommended_images", 0, "the plan is made for what there is"),
        Choice("network.name", rules.NETWORK, "the one whose ImageNet weights need no internet"),
        Choice("network.pretrained", "package", "ImageNet: from scratch so few images teach next to nothing"),
        Choice("network.dropout", 0.3, "as density/joint"),
    ]
    if facts.layers:
        choices.append(Choice("network.layers", list(facts.layers), "by the first that a collection has labels of"))
    return choices


def _input(facts: Fingerprint, sizes: Sizes, gpu: bool, rows: int) -> list[Choice]:
    ordinal = TASKS[facts.task].ordinal
    wanted = rules.rows_of_input(ordinal, facts.height, sizes.images, gpu)
    kind = f"{facts.task} is coarse: no more was gained" if ordinal else "lesions are small"
    why = f"{kind}; prepared images have {facts.height} rows"
    if rows and rows < wanted:
        why = f"{wanted} rows do not fit into memory"
    height = rows or wanted
    low, high = facts.aspects
    spread = f"median aspect {facts.aspect:.2f} (5 % to 95 %: {low:.2f} to {high:.2f}), whole cells of {rules.STRIDE}"
    return [
        Choice("input.height", height, why),
        Choice("input.width", rules.columns_of_input(height, facts.aspect), spread),
        Choice("input.fit", "pad", "the aspect is kept; a wider breast becomes smaller"),
        Choice("input.mean", 0.498, "(x * 255 - 127) / 128, as the ImageNet weights were trained"),
        Choice("input.std", 0.502, "likewise; absolute intensity is kept, it is most of density"),
    ]


def _augment(facts: Fingerprint, sizes: Sizes) -> list[Choice]:
    kept = facts.preparation.get("orientation") == "kept"
    flip = sizes.pooled and kept
    why = "a pooled network takes both sides: a mirrored CC_L is a CC_R" if flip else "it would make another projection"
    if sizes.pooled and not kept:
        why = "all chest walls are on the left already"
    return [
        Choice("augment.zoom", 0.1, "breasts and compression differ; as in all density recipes"),
        Choice("augment.shift", 0.05, "where the crop ends is chance"),
        Choice("augment.rotation_deg", 10.0, "positioning differs by some degrees"),
        Choice("augment.flip_horizontal", flip, why),
        Choice("augment.contrast", 0.2, "exposure and processing differ; .1 to .25 made no difference that was seen"),
        Choice("augment.brightness", 0.05, "likewise"),
    ]


def _loss(facts: Fingerprint, sizes: Sizes) -> list[Choice]:
    balance = f"{facts.imbalance:.1f} images of the most frequent class to one of the rarest"
    if TASKS[facts.task].ordinal:
        why = "in order: A and C are nearer to B than D" if facts.task == "density" else "classes in an order"
        soft = [
            Choice("loss.soft_targets", 0.1, f"{why}; a neighbour's share"),
            Choice("loss.class_weights", "none", f"{balance}; weights cost accuracy where soft targets do not"),
        ]
        collections = Choice("loss.balance", 0.5, "a small collection weighs more, by the square root of the ratio")
        return [*soft, collections] if facts.layers else soft
    weighted = facts.imbalance >= rules.RARE
    smoothed = sizes.images < rules.SMOOTHED_BELOW
    return [
        Choice("loss.class_weights", "balanced" if weighted else "none", f"{balance}; balanced from {rules.RARE:g} on"),
        Choice(
            "loss.label_smoothing",
            0.1 if smoothed else 0.0,
            f"{sizes.images} training images; smoothed below {rules.SMOOTHED_BELOW}",
        ),
        *([Choice("loss.balance", 0.5, "a small collection weighs more")] if facts.layers else []),
    ]


def _schedule(sizes: Sizes) -> list[Choice]:
    epochs = rules.epochs_of(sizes.images)
    head, step = rules.head_epochs_of(epochs), rules.images_a_step(sizes.images)
    groups = rules.groups_freed(sizes.subjects)
    freed = "all" if groups == rules.GROUPS_ALL else f"top:{groups}"
    shown = f"{sizes.images} training images: {epochs * sizes.images} shown, {rules.SHOWN} aimed at"
    below = (
        "all learns" if freed == "all" else f"stem and first blocks stay: {groups} of {rules.GROUPS_ALL} groups learn"
    )
    return [
        Choice("train.epochs", epochs, f"{shown} ({rules.LEAST_EPOCHS} to {rules.MOST_EPOCHS} epochs)"),
        Choice("train.optimizer", "adamw", "as in all density recipes"),
        Choice("train.weight_decay", 0.05, "as density/joint"),
        Choice("train.decay", "cosine", "the last, slow epochs gave much of the figure"),
        Choice("train.clip_norm", 5.0, "as density/joint"),
        Choice("train.stages.0.trainable", "head", "the new last layer first, so that it spoils no features"),
        Choice("train.stages.0.learning_rate", rules.rate_of(rules.HEAD_RATE, step), f"for steps of {step} images"),
        Choice("train.stages.0.epochs", head, f"an eighth of {epochs}"),
        Choice("train.stages.1.trainable", freed, f"{sizes.subjects} training subjects; {below}"),
        Choice("train.stages.1.learning_rate", rules.rate_of(rules.STEP_RATE, step), f"for steps of {step} images"),
    ]


def _kept(facts: Fingerprint, sizes: Sizes) -> list[Choice]:
    judged = 0 if sizes.folds else facts.splits["val"]
    best = judged >= rules.VALIDATED_FROM
    why = f"{judged} validation images choose" if best else "few validation images choose by chance, and cost subjects"
    choices = [Choice("train.keep", "best-loss" if best else "last", why)]
    if not sizes.pooled:
        choices.append(Choice("train.mirrored", True, "the other breast's images double what a view learns from"))
    return choices


def of_the_machine(
    facts: Fingerprint, sizes: Sizes, machine: Machine, tried: DryRun, recipe: Mapping[str, Any]
) -> Sequence[Choice]:
    """What the dry run and the memory decide: images at once, accumulation, precision, cache.

    Args:
        facts: of the dataset.
        sizes: of one training.
        machine: its memory.
        tried: what was measured.
        recipe: the values chosen so far, by their keys.
    """
    step = rules.images_a_step(sizes.images)
    rows, columns = recipe["input.height"], recipe["input.width"]
    cache = rules.cache_of(_kept_images(facts, sizes), rows, columns, machine.free_disk_gb)
    rate = f"{tried.best.images_per_second:.0f} images/s on {machine.name}"
    return [
        Choice("train.batch_size", tried.best.batch, f"{tried.why_batch}; {rate}"),
        Choice("train.accumulate", step // tried.best.batch, f"steps of {step} images, which the rates are made for"),
        Choice("train.precision", tried.best.precision, tried.why_precision),
        Choice("train.cache_gb", cache, f"all images at this size; {machine.free_disk_gb:.0f} GB of the disk are free"),
    ]


def _kept_images(facts: Fingerprint, sizes: Sizes) -> int:
    """How many fitted images a training reads: mirror images too, where it turns the other breast's over."""
    turned = not sizes.pooled and facts.preparation.get("orientation") == "kept"
    return facts.images * (2 if turned else 1)
