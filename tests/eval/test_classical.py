"""The classical models of eval/uci on the set that scikit-learn ships and on case tables made up here."""

import csv
import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV

from ensemble_mammo.errors import DatasetError

SCRIPT = Path(__file__).parents[2] / "eval" / "uci" / "classical.py"
HEADER = ("patient_id,{density},left or right breast,image view,abnormality id,abnormality type,{shape},{edges},"
          "assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path\n")  # fmt: skip


@pytest.fixture(scope="module")
def classical():
    spec = importlib.util.spec_from_file_location("classical", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["classical"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["classical"]


@pytest.fixture
def quick(classical, monkeypatch):
    """Two quick models of one setting each, three outer folds for CBIS, two inner ones."""
    monkeypatch.setattr(classical, "OUTER_CBIS", 3)
    monkeypatch.setattr(classical, "INNER", 2)
    kept = {"logistic regression": {"C": (1.0,)}, "decision tree": {"min_samples_leaf": (10,)}}
    monkeypatch.setattr(classical, "MODELS", {name: (classical.MODELS[name][0], grid) for name, grid in kept.items()})
    return classical


def lesion(patient, view, edges, *, pathology="BENIGN", shape="OVAL", density="2", mass=True):
    kind, word = ("Mass", "mass") if mass else ("Calc", "calcification")
    folder = f"{kind}-Training_{patient}_LEFT_{view}"
    return (f'{patient},{density},LEFT,{view},1,{word},{shape},{edges},4,{pathology},3,{folder}/1/2/000000.dcm,'
            f'"{folder}_1/1/2/000001.dcm\n",{folder}_1/1/2/000000.dcm\n')  # fmt: skip


def write_masses(folder, rows):
    head = HEADER.format(density="breast_density", shape="mass shape", edges="mass margins")
    (folder / "mass_case_description_train_set.csv").write_text(head + "".join(rows), encoding="utf-8")


def write_calcifications(folder, rows):
    head = HEADER.format(density="breast density", shape="calc type", edges="calc distribution")
    (folder / "calc_case_description_train_set.csv").write_text(head + "".join(rows), encoding="utf-8")


@pytest.fixture
def told_by_edges(tmp_path):
    """48 patients with two views each: margins tell, shapes do not; and 24 patients with calcifications."""
    masses = [
        lesion(f"P_{n:05}", view, ("CIRCUMSCRIBED", "SPICULATED")[n % 2], pathology=("BENIGN", "MALIGNANT")[n % 2],
               shape=("OVAL", "ROUND")[n // 2 % 2])
        for n in range(48) for view in ("CC", "MLO")
    ]  # fmt: skip
    write_masses(tmp_path, masses)
    calcifications = [
        lesion(f"P_{n:05}", "CC", "N/A" if n % 4 == 0 else "CLUSTERED-LINEAR", shape="PLEOMORPHIC", mass=False,
               pathology="BENIGN_WITHOUT_CALLBACK" if n % 4 == 0 else ("BENIGN", "MALIGNANT")[n % 2])
        for n in range(100, 124)
    ]  # fmt: skip
    write_calcifications(tmp_path, calcifications)
    return tmp_path


def test_wisconsin_counts_the_malignant_as_positive(classical):
    cases, held = classical.wisconsin(), load_breast_cancer()
    assert cases.malignant.sum() == 212 and len(cases.malignant) == 569 and cases.patients is None
    radius = list(held.feature_names).index("mean radius")
    assert cases.features[cases.malignant == 1, radius].mean() > cases.features[cases.malignant == 0, radius].mean()


def test_on_wisconsin_models_lie_far_above_the_majority(quick):
    cases = quick.wisconsin()
    found = quick.judged(cases, 3)
    assert set(found) == {"logistic regression", "decision tree"}
    majority = [
        np.mean(cases.malignant[test] == 0) for _, test in cases.folds(3).split(cases.features, cases.malignant)
    ]
    for table in found.values():
        assert len(table) == 3 and list(table["most_frequent"]) == pytest.approx(majority)
        assert table["most_frequent"].mean() == pytest.approx(357 / 569, abs=0.005)
    assert found["logistic regression"]["auc"].min() > 0.98 and found["decision tree"]["accuracy"].min() > 0.85


def test_every_model_of_the_table_learns_what_can_be_learned(classical, monkeypatch):
    monkeypatch.setattr(classical, "INNER", 2)
    first = {name: (model, {key: values[-1:] for key, values in grid.items()})
             for name, (model, grid) in classical.MODELS.items()}  # fmt: skip
    monkeypatch.setattr(classical, "MODELS", first)
    found = classical.judged(classical.wisconsin(), 3)
    assert {"SVM, linear", "SVM, RBF", "k nearest neighbours", "decision tree", "multilayer network"} <= set(found)
    for name, table in found.items():
        assert table["auc"].min() > 0.9 and table["accuracy"].mean() > 0.88, name


def test_figures_are_those_of_plain_counting(classical):
    class Fixed:
        def predict(self, x):
            return (x[:, 0] > 0).astype(int)

        def decision_function(self, x):
            return x[:, 0]

    x, y = np.array([[3.0], [1.0], [-1.0], [2.0], [-2.0], [-3.0]]), np.array([1, 1, 1, 0, 0, 0])
    pairs = np.mean([[p > n for n in x[y == 0, 0]] for p in x[y == 1, 0]])
    assert classical.figures(Fixed(), x, y) == pytest.approx(
        {"accuracy": 4 / 6, "sensitivity": 2 / 3, "specificity": 2 / 3, "auc": pairs}
    )
    assert pairs == pytest.approx(roc_auc_score(y, x[:, 0]))


def test_no_patient_stands_on_both_sides_of_any_fold(quick, told_by_edges, monkeypatch):
    lesions = quick.read_lesions(told_by_edges)
    masses = lesions[lesions["abnormality"] == "mass"]
    patients = masses["patient_id"].to_numpy()
    named = quick.encoded(masses, ("shape", "edges")).assign(number=[int(one[2:]) for one in patients])
    cases = quick.Cases(named.to_numpy(float), (masses["pathology"] == "MALIGNANT").to_numpy(int), patients)
    seen = []

    class Watched(GridSearchCV):
        def fit(self, x, y, groups):
            assert {f"P_{int(n):05}" for n in x[:, -1]} == set(groups)
            seen.append((set(groups), len(x)))
            for learn, test in self.cv.split(x, y, groups):
                assert not set(groups[learn]) & set(groups[test])
            return super().fit(x, y, groups=groups)

    def figures(model, x, y):
        assert not {f"P_{int(n):05}" for n in x[:, -1]} & seen[-1][0]
        return dict.fromkeys(quick.FIGURES, 0.0)

    monkeypatch.setattr(quick, "GridSearchCV", Watched)
    monkeypatch.setattr(quick, "figures", figures)
    quick.judged(cases, 3)
    assert len(seen) == 3 * len(quick.MODELS) and all(rows == 2 * len(groups) for groups, rows in seen)


def test_descriptors_become_a_column_a_word_and_the_unknown_its_own(classical, tmp_path):
    write_masses(tmp_path, [
        lesion("P_00001", "CC", "ILL_DEFINED-SPICULATED", shape="IRREGULAR"),
        lesion("P_00002", "CC", "N/A", density="0", pathology="BENIGN_WITHOUT_CALLBACK"),
    ])  # fmt: skip
    write_calcifications(tmp_path, [lesion("P_00003", "CC", "LINEAR", shape="PUNCTATE", mass=False)])
    lesions = classical.read_lesions(tmp_path).sort_values("patient_id")
    table = classical.encoded(lesions, ("density", "shape", "edges", "assessment"))
    assert {name: list(table[name]) for name in table} == {
        "density: 2": [1, 0, 1], "density: unknown": [0, 1, 0],
        "shape: IRREGULAR of a mass": [1, 0, 0], "shape: OVAL of a mass": [0, 1, 0],
        "shape: PUNCTATE of a calc": [0, 0, 1],
        "edges: ILL_DEFINED of a mass": [1, 0, 0], "edges: SPICULATED of a mass": [1, 0, 0],
        "edges: unknown of a mass": [0, 1, 0], "edges: LINEAR of a calc": [0, 0, 1],
        "assessment: 4": [1, 1, 1],
    }  # fmt: skip


def test_the_gain_of_the_edges_is_found_where_they_alone_tell(quick, told_by_edges, monkeypatch):
    monkeypatch.setattr(quick, "LESIONS", {"masses": ("mass",)})
    rows = list(quick.cbis_rows(quick.read_lesions(told_by_edges)))
    assert [(row["data"], row["columns"]) for row in rows[::2]] == [
        ("CBIS masses", "shape, density"), ("CBIS masses", "shape, density, edges"),
        ("CBIS masses", "shape, density, edges, assessment"),
        ("CBIS masses, called back", "shape, density"), ("CBIS masses, called back", "shape, density, edges"),
    ]  # fmt: skip
    without, edges, assessed = rows[0], rows[2], rows[4]
    assert (edges["rows"], edges["patients"], edges["malignant"], edges["folds"]) == (96, 48, 48, 3)
    assert float(edges["auc"]) == float(edges["sensitivity"]) == 1 and float(without["auc"]) < 0.7
    assert "gain_auc" not in without and float(edges["most_frequent"]) <= 0.5
    assert float(edges["gain_auc"]) == pytest.approx(1 - float(without["auc"]), abs=2e-4)
    assert float(assessed["gain_auc"]) == 0


def test_those_not_called_back_are_left_out_where_it_says_so(quick, told_by_edges, monkeypatch):
    monkeypatch.setattr(quick, "LESIONS", {"calcifications": ("calc",)})
    monkeypatch.setattr(quick, "judged", lambda cases, folds: {})
    monkeypatch.setattr(quick, "rows_of", lambda names, cases, *_: [names | {"cases": cases}])
    rows = list(quick.cbis_rows(quick.read_lesions(told_by_edges)))
    counts = [(row["data"], len(row["cases"].malignant), row["cases"].malignant.sum()) for row in rows]
    assert counts == [("CBIS calcifications", 24, 12)] * 3 + [("CBIS calcifications, called back", 18, 12)] * 2


def test_a_folder_without_tables_or_a_table_without_descriptors_is_refused(classical, tmp_path, capsys):
    with pytest.raises(SystemExit, match="no case description table"):
        classical.main(tmp_path)
    assert not capsys.readouterr().out
    write_masses(tmp_path, [lesion("P_00001", "CC", "SPICULATED")])
    path = tmp_path / "mass_case_description_train_set.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("mass margins", "margins"), encoding="utf-8")
    with pytest.raises(DatasetError, match="column mass_margins missing"):
        classical.read_lesions(tmp_path)


def test_without_tables_the_script_judges_the_wisconsin_set_alone(quick, monkeypatch, capsys):
    monkeypatch.setattr(quick, "OUTER", 3)
    quick.main(None)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["data"] for row in rows] == ["Wisconsin diagnostic"] * 2
    assert rows[0]["most_frequent"] == "0.6274" and rows[0]["patients"] == "" and rows[0]["rows"] == "569"


@pytest.mark.real
def test_the_released_tables_are_read_whole(classical, real_data):
    lesions = classical.read_lesions(real_data / "cbis-ddsm-csv")
    assert len(lesions) == 3568 and lesions["patient_id"].nunique() == 1566
    unknown = lesions[(lesions["abnormality"] == "calc") & (lesions["edges"] == "N/A")]
    assert len(unknown) == 439 and (unknown["pathology"] == "BENIGN_WITHOUT_CALLBACK").sum() == 434
    assert not classical.encoded(lesions, ("shape", "edges")).filter(like="BENIGN").columns.size
