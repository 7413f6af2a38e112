import csv
import math
import re

import pytest

from ensemble_mammo.errors import OutputError
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.pages.exports import latex, markdown, table_csv, write_tables
from ensemble_mammo.merit.sections import Table
from tests.merit.pages.reports import report_made

NAN = math.nan
ODD = Table(
    "odd",
    "50 % of all & more",
    {"who": "who_is", "value": "value", "count": "n"},
    [
        ["a_b {x} #1 ~ ^ \\", Interval(0.80469, 0.7344, 0.8672), 12],
        ["<tag> | pipe*", Interval(NAN, NAN, NAN), None],
        ["−, ≥ 3", 0.25, 3],
    ],
    "Read with $care.",
    frozenset({1}),
)


@pytest.fixture(scope="module")
def found():
    return report_made()


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def number_of(text):
    return None if text in ("", "nan") else float(text)


def test_exactly_these_files_are_written_and_named(found, tmp_path):
    written = write_tables(tmp_path, found, ("latex", "markdown"))
    studied = {
        f"{name}.{end}"
        for name in ("two-classes_thresholds", "subgroups_devices", "errors_second-look", "provenance_audit")
        for end in ("csv", "tex", "md")
    }
    own = {f"{name}.{end}" for name in ("headline", "figures", "class-figures") for end in ("tex", "md")}
    assert {path.name for path in written} == studied | own | {"figures.csv"}
    assert sorted(written) == sorted((tmp_path / "tables").iterdir())
    assert all(path.suffix == ".csv" for path in write_tables(tmp_path / "plain", found))


def test_the_csv_of_figures_has_the_numbers_of_report_json(found, tmp_path):
    write_tables(tmp_path, found)
    rows, held = rows_of(tmp_path / "tables" / "figures.csv"), found.as_json()
    assert list(rows[0]) == ["level", "figure", "value", "low", "high", "exams", "subjects"]
    assert len(rows) == sum(len(figures) for figures in held["figures"].values())
    for row in rows:
        expected = held["figures"][row["level"]][row["figure"]]
        assert {key: number_of(row[key]) for key in ("value", "low", "high")} == expected
        assert int(row["exams"]) == held["counts"][row["level"]]["exams"]
        assert int(row["subjects"]) == held["counts"][row["level"]]["subjects"]


def test_the_csv_of_each_section_has_the_numbers_of_report_json(found, tmp_path):
    write_tables(tmp_path, found)
    for section, made in found.as_json()["sections"].items():
        for name, table in made["tables"].items():
            rows = rows_of(tmp_path / "tables" / f"{section}_{name}.csv")
            assert len(rows) == len(table["rows"])
            for row, expected in zip(rows, table["rows"], strict=True):
                assert (row.get("marked") == "1") == expected.get("marked", False)
                for key in expected.keys() - {"marked"}:
                    one = expected[key]
                    if isinstance(one, dict):
                        parts = (row[key], row[f"{key}_low"], row[f"{key}_high"])
                        assert [number_of(part) for part in parts] == [one["value"], one["low"], one["high"]]
                    elif isinstance(one, (int, float)):
                        assert number_of(row[key]) == one
                    else:
                        assert row[key] == (one or "")


def test_a_csv_keeps_full_precision_and_tells_nothing_from_undefined():
    lines = table_csv(ODD).splitlines()
    assert lines[0] == "who,value,value_low,value_high,count,marked"
    assert lines[1].endswith(",0.80469,0.7344,0.8672,12,")
    assert lines[2] == "<tag> | pipe*,nan,nan,nan,,1"
    assert lines[3] == '"−, ≥ 3",0.25,,,3,'


def test_latex_has_rules_caption_label_and_escapes_everything():
    text = latex(ODD, "tab:odd")
    assert r"\begin{tabular}{lrr}" in text
    assert r"\caption{50 \% of all \& more. Read with \$care.}" in text
    assert r"\label{tab:odd}" in text
    assert (
        r"a\_b \{x\} \#1 \textasciitilde{} \textasciicircum{} \textbackslash{} & 0.805 (0.734--0.867) & 12 \\" in text
    )
    assert r"\textless{}tag\textgreater{} | pipe* & undefined &  \\" in text
    assert r"$-$, $\geq$ 3 & 0.250 & 3 \\" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body.splitlines() if line.endswith(r"\\")} == {2}


def test_markdown_stays_one_table():
    lines = markdown(ODD).splitlines()
    assert lines[0] == "**50 % of all & more**"
    assert lines[2:4] == [r"| who\_is | value | n |", "|---|---:|---:|"]
    assert r"| \<tag\> \| pipe\* | undefined |  |" in lines
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in lines[2:7])


def test_latex_and_markdown_round_the_numbers_of_report_json(found, tmp_path):
    write_tables(tmp_path, found, ("latex", "markdown"))
    one = found.as_json()["figures"]["subject"]["accuracy"]
    value, low, high = (f"{one[key]:.3f}" for key in ("value", "low", "high"))
    for name in ("headline", "figures"):
        assert f"{value} ({low}--{high})" in (tmp_path / "tables" / f"{name}.tex").read_text(encoding="utf-8")
        assert f"{value} ({low}–{high})" in (tmp_path / "tables" / f"{name}.md").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_is_said(found, tmp_path):
    (tmp_path / "tables").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        write_tables(tmp_path, found)
