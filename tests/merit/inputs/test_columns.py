import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.columns import Columns, columns_of, ids_of_name, read_columns
from ensemble_mammo.merit.inputs.csv_tables import read_table
from ensemble_mammo.records.task import TASKS

PATHOLOGY, DENSITY = TASKS["pathology"], TASKS["density"]


def read(tmp_path, text, columns, task=PATHOLOGY, level=""):
    path = tmp_path / "scores.csv"
    path.write_text(text, encoding="utf-8")
    return read_columns(read_table(path), task, columns_of(columns), level)


def rows(reading):
    return {
        p.level: {key: [round(s, 6) for s in scores.tolist()] for key, scores in zip(p.keys, p.scores, strict=True)}
        for p in reading.predictions
    }


def test_columns_are_read_from_a_text():
    found = columns_of("subject=patient_id, view=view,score=cancer prob,label=cancer,score_range=1:10")
    assert found == Columns("patient_id", view="view", score="cancer prob", label="cancer", score_range=(1, 10))
    assert columns_of("subject=a,scores=pA+pB+pC+pD").scores == ("pA", "pB", "pC", "pD")
    assert columns_of("score_range=-3..3,score=s,subject=a").score_range == (-3, 3)
    assert columns_of("score_range=1-10,score=s,subject=a").score_range == (1, 10)
    pattern = r"(?P<subject>\d{2,5})=(?P<side>R|L)"
    assert columns_of(f"image=file,score=p,pattern={pattern},label=y").pattern == pattern
    assert columns_of(f"pattern={pattern}").names == ()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("subject", "'subject' is not FIELD=COLUMN"),
        ("subject=a,score", "'score' is not FIELD=COLUMN"),
        ("subjet=a,score=p", "'subjet' is not one of subject, .*did you mean 'subject'"),
        ("subject=a,subject=b,score=p", "subject is given twice"),
        ("subject=a", "no score column named"),
        ("score=p", "nothing says the subject"),
        ("subject=a,score=p,scores=b+c", "not both"),
        ("subject=a,scores=b+c,score_range=1:10", "score_range goes with score"),
        ("subject=a,score=p,score_range=10:1", "score_range 10:1 is not LOW:HIGH"),
        ("subject=a,score=p,score_range=high", "is not LOW:HIGH"),
        ("image=a,score=p,pattern=(?P<subject>", "is no regular expression"),
        ("image=a,score=p,pattern=(?P<woman>.+)", "has the groups woman; expected .* named subject, exam, side"),
        ("image=a,score=p,pattern=.+", "has no named group"),
    ],
)
def test_columns_that_cannot_be_are_refused(text, match):
    with pytest.raises(PredictionError, match=match):
        columns_of(text)


def test_views_are_understood_in_the_usual_ways(tmp_path):
    text = "who,v,p\na,R-CC,0.1\na,CC_L,0.2\na,RMLO,0.3\na,left mlo,0.4\na,R,0.5\na,,0.6\n"
    found = read(tmp_path, text, "subject=who,view=v,score=p")
    assert {level: own["a", "1"][1] for level, own in rows(found).items()} == {
        "CC_R": 0.1,
        "CC_L": 0.2,
        "MLO_R": 0.3,
        "MLO_L": 0.4,
        "right": 0.5,
        "subject": 0.6,
    }


def test_view_and_side_stand_in_two_columns_and_other_projections_are_passed_over(tmp_path):
    text = "patient_id,exam,laterality,view,p,cancer\n1,e1,L,CC,0.1,0\n1,e1,R,MLO,0.8,1\n1,e1,R,AT,0.3,1\n2,,R,,0.4,\n"
    found = read(tmp_path, text, "subject=patient_id,exam=exam,view=view,side=laterality,score=p,label=cancer")
    assert rows(found) == {
        "CC_L": {("1", "e1"): [0.9, 0.1]},
        "MLO_R": {("1", "e1"): [0.2, 0.8]},
        "right": {("2", "1"): [0.6, 0.4]},
    }
    assert found.labels == {("CC_L", "1", "e1"): 0, ("MLO_R", "1", "e1"): 1}
    assert found.notes == ("scores.csv: 1 rows of projections other than CC and MLO were passed over",)


def test_rows_that_say_no_level_are_of_the_subject_or_of_the_level_told(tmp_path):
    text = "id,p\na,0.25\nb,0.5\n"
    assert list(rows(read(tmp_path, text, "subject=id,score=p"))) == ["subject"]
    assert list(rows(read(tmp_path, text, "subject=id,score=p", level="left"))) == ["left"]


def test_names_of_images_give_ids(tmp_path):
    text = "file,p\nimg/0_L-CC.png,0.5\n20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm,0.7\n145_2_C_MLO_R.png,0.9\n"
    found = read(tmp_path, text, "image=file,score=p")
    assert rows(found) == {
        "CC_R": {("6c613a14b80a8591", "1"): [0.3, 0.7]},
        "CC_L": {("img/0", "1"): [0.5, 0.5]},
        "MLO_R": {("145", "2"): [0.1, 0.9]},
    }
    named = read(tmp_path, "who,file,p\na,x-LCC.png,0.5\n", "subject=who,image=file,score=p")
    assert rows(named) == {"CC_L": {("a", "1"): [0.5, 0.5]}}
    assert ids_of_name("12/right/CC", r"(?P<subject>\d+)/(?P<side>\w+)/(?P<projection>\w+)").side == "right"


def test_a_column_a_class_and_labels_as_the_task_has_them(tmp_path):
    text = "id,d,a,b,c,truth\nx,0.4,0.1,0.2,0.3,ACR B\ny,0.1,0.2,0.3,0.4,4\n"
    found = read(tmp_path, text, "subject=id,scores=a+b+c+d,label=truth", DENSITY)
    assert rows(found)["subject"]["x", "1"] == [0.1, 0.2, 0.3, 0.4]
    assert found.labels == {("subject", "x", "1"): 1, ("subject", "y", "1"): 3}


def test_scores_of_another_range_are_brought_to_0_to_1_and_said(tmp_path):
    found = read(tmp_path, "id,p\na,1\nb,10\nc,5.5\n", "subject=id,score=p,score_range=1:10")
    assert [own[1] for own in rows(found)["subject"].values()] == [0.0, 1.0, 0.5]
    assert "scores of 1 to 10 were brought to 0 to 1 linearly; they are no probabilities" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "columns", "match"),
    [
        ("id,p\na,0.5\n", "subject=id,score=q", "line 1: column q missing; found id, p; expected the columns named"),
        ("id;p\na;0.5\n", "subject=id,score=p", "columns stand apart by semicolons, expected commas"),
        ("id,p\na,7\n", "subject=id,score=p", "line 2: p 7 is outside 0 to 1; state another range as score_range=1:10"),
        ("id,p\na,11\n", "subject=id,score=p,score_range=1:10", "line 2: p 11 is outside 1 to 10$"),
        ("id,p\n,0.5\nb,\n", "subject=id,score=p", "line 2: id says no subject; line 3: p is empty"),
        ("id,v,p\na,CC,0.5\n", "subject=id,view=v,score=p", "line 2: view 'CC' says no side"),
        ("id,v,p\na,up,0.5\n", "subject=id,view=v,score=p", "line 2: view 'up' is not one of"),
        ("id,p,y\na,0.5,maybe\n", "subject=id,score=p,label=y", "line 2: label 'maybe' is not one of benign"),
        ("f,p\nnone,0.5\n", "image=f,score=p", "line 2: 'none' does not fit the pattern"),
        ("id,p\n", "subject=id,score=p", "holds no row of scores"),
        ("id,p,p\na,1,1\n", "subject=id,score=p", "column p stands there twice"),
        ("id,a,b\na,0.5,0.6\n", "subject=id,scores=a+b", r"line 2: scores add up to 1\.1"),
        ("id,a,b\na,0.5,\n", "subject=id,scores=a+b", "line 2: '0.5 ' are not numbers"),
        ("id,a,b\na,1.5,-0.5\n", "subject=id,scores=a+b", "line 2: scores must be finite and not negative"),
        ("id,a\na,1\n", "subject=id,scores=a", "1 score columns for the 2 classes of task pathology"),
    ],
)
def test_tables_that_do_not_fit_are_refused_with_lines(tmp_path, text, columns, match):
    with pytest.raises(PredictionError, match=match):
        read(tmp_path, text, columns)


def test_one_score_is_not_enough_for_several_classes(tmp_path):
    with pytest.raises(PredictionError, match="one score column for the 4 classes of task density"):
        read(tmp_path, "id,p\na,0.5\n", "subject=id,score=p", DENSITY)
