"""heatmap: where a patch classifier sees lesions in whole mammograms. `run` is the verb."""

from ensemble_mammo.lesions.heatmap.options import LesionMapOptions, LesionMaps
from ensemble_mammo.lesions.heatmap.run import heatmap

__all__ = ["LesionMapOptions", "LesionMaps", "heatmap"]
