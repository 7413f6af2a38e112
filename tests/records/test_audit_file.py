import json

import pytest

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.audit_file import audit_remarks

FINDING = {"target": "pathology", "probe": "outside", "value": 0.75, "low": 0.71, "high": 0.79, "whole": None}


def write(path, **fields):
    found = {"fingerprint": "f", "shortcuts": [], "leaks": []} | fields
    path.write_text(json.dumps(found))
    return path


def test_leaks_and_shortcuts_become_sentences(tmp_path):
    leak = {"what": "subject", "name": "a", "splits": ["train", "test"]}
    told = FINDING | {"severity": "warning", "advice": "blacken it"}
    harmless = FINDING | {"severity": "info", "advice": ""}
    remarks = audit_remarks(write(tmp_path / "a.json", shortcuts=[told, harmless], leaks=[leak]), "f")
    assert remarks == [
        "the audit found 1 leaks between splits, the first: subject a in train and test",
        "shortcut: pathology can be told from outside with AUC 0.75 (0.71 to 0.79), from the whole image with "
        "an undefined AUC: blacken it",
    ]


def test_probes_that_found_nothing_are_said_too(tmp_path):
    quiet = FINDING | {"severity": "info", "advice": ""}
    remarks = audit_remarks(write(tmp_path / "a.json", shortcuts=[quiet]), "f")
    assert remarks == ["shortcut probes found nothing that tells the label without the breast"]
    assert audit_remarks(write(tmp_path / "b.json"), "f") == []


@pytest.mark.parametrize(
    ("text", "match"),
    [(None, "no such file"), ("{", "not an audit"), ("[]", "not an audit"), ('{"shortcuts": []}', "not an audit")],
)
def test_what_is_no_audit_is_refused(tmp_path, text, match):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(DatasetError, match=match):
        audit_remarks(tmp_path / "a.json", "f")


def test_the_audit_of_another_dataset_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="of another dataset"):
        audit_remarks(write(tmp_path / "a.json"), "g")
