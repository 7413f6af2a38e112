"""The spread over seeds, from the report.json of each: level, figure, mean, sd, min, max, seeds, then a column a seed.

python eval/seeds.py SEED0/report/report.json SEED1/report/report.json … > eval/reference/NAME.csv

sd: with n - 1; of the seeds alone, not of subjects (figures.py has those limits). All seeds must be judged on the same
exams. A figure that is undefined for some seed has no mean.
"""

import csv
import json
import statistics
import sys
from pathlib import Path


def main(paths: list[Path]) -> None:
    if len(paths) < 2 or len(set(paths)) < len(paths):
        sys.exit("give the report.json of two seeds or more, each once")
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    for path, report in zip(paths, reports, strict=True):
        for key in ("task", "counts"):
            if report[key] != reports[0][key]:
                sys.exit(f"{path}: {key} is {report[key]}, in {paths[0]} {reports[0][key]}; judge the same exams")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = [f"seed_{number}" for number in range(1, len(reports) + 1)]
    writer.writerow(["level", "figure", "mean", "sd", "min", "max", "seeds", *names])
    for level, figures in reports[0]["figures"].items():
        for name in figures:
            values = [report["figures"][level][name]["value"] for report in reports]
            spread = [""] * 4 if None in values else [f"{value:.6f}" for value in spread_of(values)]
            row = ["" if value is None else f"{value:.6f}" for value in values]
            writer.writerow([level, name, *spread, len(values), *row])


def spread_of(values: list[float]) -> list[float]:
    return [statistics.fmean(values), statistics.stdev(values), min(values), max(values)]


if __name__ == "__main__":
    main([Path(one) for one in sys.argv[1:]])
