"""prepare: an archive becomes a dataset of 16-bit images with a manifest. `run` is the verb."""

from ensemble_mammo.stages.prepare.options import PrepareOptions
from ensemble_mammo.stages.prepare.run import prepare

__all__ = ["PrepareOptions", "prepare"]
