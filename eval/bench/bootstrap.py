"""The bootstrap of a report against a plain loop of scikit-learn over the same resamples, in one run.

python eval/bench/bootstrap.py [SUBJECTS] [RESAMPLES]

The loop has five figures, ours all that a report's headline has (figures of each class and six AUCs among them).
"""

import sys
import time

import numpy as np
from sklearn.metrics import accuracy_score, cohen_kappa_score, precision_score, recall_score, roc_auc_score

from ensemble_mammo.merit.intervals import Cases, resampled


def loop(true: np.ndarray, scores: np.ndarray, resamples: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(resamples):
        drawn = rng.integers(0, len(true), len(true))
        told, own = scores[drawn].argmax(1), true[drawn]
        accuracy_score(own, told)
        recall_score(own, told, average="macro", zero_division=0)
        precision_score(own, told, average="macro", zero_division=0)
        cohen_kappa_score(own, told, weights="quadratic")
        roc_auc_score(own >= 2, scores[drawn, 2:].sum(1))


def main(subjects: int, resamples: int) -> None:
    rng = np.random.default_rng(1)
    true = rng.integers(0, 4, subjects)
    scores = rng.dirichlet(np.ones(4), subjects)
    scores[np.arange(subjects), true] += 0.5
    scores /= scores.sum(1, keepdims=True)
    cases = Cases(true, scores, [str(i) for i in range(subjects)], (2, 3))
    begin = time.perf_counter()
    resampled(cases, resamples, 0, "ABCD")
    ours = time.perf_counter() - begin
    begin = time.perf_counter()
    loop(true, scores, resamples)
    theirs = time.perf_counter() - begin
    print(
        f"{subjects} subjects, {resamples} resamples: ours {ours:.2f} s, loop {theirs:.2f} s, ratio {theirs / ours:.1f}"
    )
    begin = time.perf_counter()
    resampled(cases, 10_000, 0, "ABCD")
    print(f"{subjects} subjects, 10000 resamples: ours {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main(*(int(text) for text in (sys.argv[1:] + ["10000", "200"][len(sys.argv) - 1 :])))
