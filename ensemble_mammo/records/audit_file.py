"""audit.json as a report reads it: what the audit of a dataset means for its figures."""

from __future__ import annotations

import json
from pathlib import Path

from ensemble_mammo.errors import DatasetError

AUDIT = "audit.json"


def audit_remarks(path: Path, fingerprint: str, task: str) -> list[str]:
    """The sentences that belong beside a dataset's figures: leaks, and labels told without looking at the breast.

    Args:
        path: the audit.json.
        fingerprint: of the dataset that the figures come from.
        task: whose figures they are; what was told of another task's label stays out.

    Raises:
        DatasetError: no such file, not an audit, or of another dataset.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        own, leaks = found["fingerprint"], found["leaks"]
        findings = [one for one in found["shortcuts"] if one["target"] in (task, "split", "collection")]
        gravities = [one["severity"] for one in found["problems"]]
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file; make it with `ensemble-mammo audit DATASET`") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not an audit of a dataset ({error!r})") from error
    if own != fingerprint:
        raise DatasetError(f"{path}: is of another dataset, or of this one before it changed; audit it again")
    remarks = [
        f"the audit of this dataset named {gravities.count('error')} errors, {gravities.count('warning')} warnings"
    ]
    remarks += [f"the audit found {len(leaks)} leaks between splits, the first: {_leak(leaks[0])}"] if leaks else []
    told = [one for one in findings if one["severity"] == "warning"]
    remarks += [
        f"shortcut: {one['target']} can be told from {one['probe']} with AUC {one['value']:.2f} ({one['low']:.2f} to "
        f"{one['high']:.2f}), from the whole image with {_auc(one['whole'])}: {one['advice']}"
        for one in told
    ]
    if findings and not told:
        remarks.append("shortcut probes found nothing that tells the label without the breast")
    return remarks


def _leak(leak: dict[str, object]) -> str:
    splits = leak.get("splits")
    return f"{leak.get('what')} {leak.get('name')} in {' and '.join(splits) if isinstance(splits, list) else splits}"


def _auc(value: float | None) -> str:
    return "an undefined AUC" if value is None else f"{value:.2f}"
