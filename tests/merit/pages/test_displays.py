import io

import numpy as np
from PIL import Image

from ensemble_mammo.merit.pages.displays import confusion_png


def test_a_confusion_matrix_is_a_picture_and_the_same_each_time():
    counts = np.array([[5, 1], [0, 0]])
    png = confusion_png(counts, ["benign", "malignant"], "CC_R")
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
        assert np.asarray(picture.convert("L")).min() < 100
    assert confusion_png(counts, ["benign", "malignant"], "CC_R") == png
