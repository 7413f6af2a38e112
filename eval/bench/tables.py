"""Time to read and check large tables: RSNA's train.csv (54,706 rows) and VinDr-Mammo's (20,000 images and findings).

python eval/bench/tables.py [TRAIN_CSV]

Without the released train.csv one of the same size is made.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ensemble_mammo.archives.rsna import read_rsna_table
from ensemble_mammo.archives.vindr import read_vindr_breasts
from ensemble_mammo.archives.vindr_findings import read_vindr_findings

RSNA_ROWS, VINDR_ROWS = 54_706, 20_000


def made_rsna(folder: Path) -> Path:
    head = "patient_id,image_id,laterality,view,age,cancer,BIRADS,implant,density,machine_id"
    views = ("L,CC", "R,CC", "L,MLO", "R,MLO")
    rows = (
        f"{i // 4},{i},{views[i % 4]},{30 + i % 50},{int(i % 47 == 0)},{i % 3},0,{'ABCD'[i % 4]},{i % 9}"
        for i in range(RSNA_ROWS)
    )
    path = folder / "train.csv"
    path.write_text("\n".join([head, *rows]))
    return path


def made_vindr(folder: Path) -> tuple[Path, Path]:
    breasts, findings = folder / "breast-level_annotations.csv", folder / "finding_annotations.csv"
    rows = ["study_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split"]
    boxes = ["study_id,image_id,finding_categories,finding_birads,xmin,ymin,xmax,ymax"]
    for i in range(VINDR_ROWS):
        name = f"{i // 4},{i:032x}"
        rows.append(f"{name},L,CC,3518,2800,BI-RADS {1 + i % 5},DENSITY {'ABCD'[i % 4]},training")
        boxes.append(f"{name},\"['Mass']\",BI-RADS 4,{i % 2000 + 0.25},{i % 3000},2400.5,3300")
    breasts.write_text("\n".join(rows))
    findings.write_text("\n".join(boxes))
    return breasts, findings


def seconds(work: Callable[[], object]) -> float:
    """The least of three runs."""
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return min(taken)


def main(released: str = "") -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Path(released) if released else made_rsna(folder)
        rows = len(read_rsna_table(path).rows)
        what = "released" if released else "made"
        print(f"RSNA train.csv ({what}), {rows:,} rows: {seconds(lambda: read_rsna_table(path)):.2f} s")
        breasts, findings = made_vindr(folder)
        images = read_vindr_breasts(breasts)
        taken = seconds(lambda: read_vindr_breasts(breasts))
        print(f"VinDr breast-level table (made), {VINDR_ROWS:,} rows: {taken:.2f} s")
        taken = seconds(lambda: read_vindr_findings(findings, images))
        print(f"VinDr table of findings (made), {VINDR_ROWS:,} rows: {taken:.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
