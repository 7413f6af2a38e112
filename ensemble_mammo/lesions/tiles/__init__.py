"""tiles: squares of lesions and of normal tissue, for telling normal from abnormal."""

from ensemble_mammo.lesions.tiles.options import TileOptions
from ensemble_mammo.lesions.tiles.run import tiles

__all__ = ["TileOptions", "tiles"]
