import json

import pytest

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.audit_file import audit_remarks

FINDING = {"target": "pathology", "probe": "outside", "value": 0.75, "low": 0.71, "high": 0.79, "whole": None}


AUDITED = "the audit of this dataset named 1 errors, 0 warnings"


def write(path, **fields):
    found = {"fingerprint": "f", "shortcuts": [], "leaks": [], "problems": [{"severity": "error"}]} | fields
    path.write_text(json.dumps(found))
    return path


def test_leaks_and_shortcuts_become_sentences(tmp_path):
    leak = {"what": "subject", "name": "a", "splits": ["train", "test"]}
    told = FINDING | {"severity": "warning", "advice": "blacken it"}
    harmless = FINDING | {"severity": "info", "advice": ""}
    remarks = audit_remarks(write(tmp_path / "a.json", shortcuts=[told, harmless], leaks=[leak]), "f", "pathology")
    assert remarks == [
        AUDITED,
        "the audit found 1 leaks between splits, the first: subject a in train and test",
        "shortcut: pathology can be told from outside with AUC 0.75 (0.71 to 0.79), from the whole image with "
        "an undefined AUC: blacken it",
    ]


def test_probes_that_found_nothing_are_said_too(tmp_path):
    quiet = FINDING | {"severity": "info", "advice": ""}
    remarks = audit_remarks(write(tmp_path / "a.json", shortcuts=[quiet]), "f", "pathology")
    assert remarks == [AUDITED, "shortcut probes found nothing that tells the label without the breast"]
    assert audit_remarks(write(tmp_path / "b.json"), "f", "pathology") == [AUDITED]


def test_what_was_told_of_another_task_stays_out(tmp_path):
    told = FINDING | {"severity": "warning", "advice": "blacken it"}
    assert audit_remarks(write(tmp_path / "a.json", shortcuts=[told]), "f", "density") == [AUDITED]
    of_split = write(tmp_path / "b.json", shortcuts=[told | {"target": "split"}])
    assert len(audit_remarks(of_split, "f", "density")) == 2


@pytest.mark.parametrize(
    ("text", "match"),
    [(None, "no such file"), ("{", "not an audit"), ("[]", "not an audit"), ('{"shortcuts": []}', "not an audit")],
)
def test_what_is_no_audit_is_refused(tmp_path, text, match):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(DatasetError, match=match):
        audit_remarks(tmp_path / "a.json", "f", "pathology")


def test_the_audit_of_another_dataset_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="of another dataset"):
        audit_remarks(write(tmp_path / "a.json"), "g", "pathology")
