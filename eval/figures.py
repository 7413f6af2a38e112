"""Print the figures of a report.json as the CSV that eval/reference keeps: level, figure, value, low, high, exams.

python eval/figures.py RUNS/report/report.json > eval/reference/NAME.csv
"""

import csv
import json
import sys
from pathlib import Path


def main(path: Path) -> None:
    report = json.loads(path.read_text(encoding="utf-8"))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["level", "figure", "value", "low", "high", "exams", "subjects"])
    for level, figures in report["figures"].items():
        counts = report["counts"][level]
        for name, one in figures.items():
            numbers = ["" if one[key] is None else f"{one[key]:.6f}" for key in ("value", "low", "high")]
            writer.writerow([level, name, *numbers, counts["exams"], counts["subjects"]])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
