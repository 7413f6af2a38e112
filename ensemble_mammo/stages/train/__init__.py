"""train: a network of one view, or a pooled one, from rows of a dataset and a recipe. `run` is the verb."""

from ensemble_mammo.stages.train.options import TrainOptions, TrainResult
from ensemble_mammo.stages.train.run import train

__all__ = ["TrainOptions", "TrainResult", "train"]
