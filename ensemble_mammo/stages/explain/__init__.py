"""explain: class activation maps over the pixels of the mammogram, and figures of what they are worth."""

from ensemble_mammo.stages.explain.options import ExplainOptions, MapFiles
from ensemble_mammo.stages.explain.run import explain

__all__ = ["ExplainOptions", "MapFiles", "explain"]
