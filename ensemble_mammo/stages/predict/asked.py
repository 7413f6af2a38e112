"""The networks that are asked, and the scores that they give batch after batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.learning.scores import Fitted, fitted_for, scores_of_fitted
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.predict.contrasts import Runs, runs_at
from ensemble_mammo.stages.predict.inputs import Batch, Wanted, read_batches
from ensemble_mammo.stages.predict.layers import asked_layers
from ensemble_mammo.stages.predict.options import PredictOptions


@dataclass(frozen=True)
class Scored:
    """The scores of one batch."""

    view: View
    "its projection"
    keys: tuple[tuple[str, str], ...]
    "subject and exam of each image that could be read"
    scores: Mapping[float | None, NDArray[np.float64]]
    "contrast (None: the recipe's own) -> [N, C]; the contrast of the plain tables first"
    left_out: tuple[str, ...]
    "a note on each image that could not be read"
    said: tuple[str, ...]
    "notes of the others"


class Asked:
    """The networks that are asked at each contrast."""

    def __init__(self, runs: Runs, options: PredictOptions) -> None:
        """Refuse contrasts and last layers that the runs cannot have.

        Raises:
            RunError: contrasts were asked for, and a network measures hand-made features.
            PredictionError: a run has not the last layer that is asked for.
        """
        self.options, self.own = options, runs
        self.runs = {at: asked_layers(own, options.layer) for at, own in runs_at(runs, options).items()}

    def fitted(self, image: Wanted, pixels: NDArray[np.uint16]) -> Fitted:
        """An image as the networks of its view take it; contrasts and last layers change nothing in that."""
        return fitted_for(self.own[image.view], pixels)

    def scored(self, batches: Sequence[Batch], worker: bool = False) -> Iterator[Scored]:
        """The scores of each batch; every image is read once."""
        for batch, read in zip(batches, read_batches(batches, self.fitted, self.options, worker), strict=True):
            view, layer = batch[0].view, batch[0].collection
            scores = {
                at: scores_of_fitted(runs_of(view, layer), read.fitted, self.options.flips)
                for at, runs_of in self.runs.items()
                if read.fitted
            }
            yield Scored(view, tuple(one.key for one in read.images), scores, read.left_out, read.said)
