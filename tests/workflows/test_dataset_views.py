"""All views means all that a dataset has images of."""

import logging

from ensemble_mammo.records.subject import View
from ensemble_mammo.workflows.dataset import views_at
from tests.learning.tiny import tiny_dataset


def test_views_without_an_image_are_left_out_and_named(tmp_path, caplog):
    dataset = tiny_dataset(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert views_at(dataset, tuple(View)) == (View.CC_R,)
    assert "no image of CC_L, MLO_R, MLO_L" in caplog.text or "no image of" in caplog.text
    assert views_at(dataset, (View.CC_L,)) == (View.CC_L,)  # training then says what is missing
