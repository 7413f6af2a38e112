"""patches: a set of small squares, cut around lesions and elsewhere in the breast."""

from ensemble_mammo.lesions.patches.options import SETS, PatchOptions, PatchSet
from ensemble_mammo.lesions.patches.run import patches

__all__ = ["SETS", "PatchOptions", "PatchSet", "patches"]
