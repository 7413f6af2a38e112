"""predict: the scores of subjects under the networks of their views, and fused over them. `run` is the verb."""

from ensemble_mammo.stages.predict.options import PredictOptions, Scores
from ensemble_mammo.stages.predict.run import predict
from ensemble_mammo.stages.predict.written import as_json

__all__ = ["PredictOptions", "Scores", "as_json", "predict"]
