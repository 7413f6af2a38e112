import pytest
import torch
from torch import nn

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.learning.collage import judged_side_by_side
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.records.recipe import NetworkRecipe


class Squares(nn.Module):
    """Features of 8 x 8 squares that see nothing beyond them: a patch is judged alike in any company."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 8, stride=8)
        self.fc = nn.Linear(6, 3)

    def forward_features(self, x):
        return self.conv(x).relu()

    def forward_head(self, x):
        return self.fc(x.mean((2, 3)))

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


@pytest.mark.parametrize("number", [1, 2, 3, 5, 7, 12, 16])
def test_each_patch_keeps_its_own_logits_and_its_place(number):
    torch.manual_seed(0)
    network, batch = Squares(), torch.rand(number, 1, 24, 16)
    assert torch.allclose(judged_side_by_side(network, batch), network(batch), atol=1e-6)


def test_what_lies_beside_a_patch_is_seen_by_a_network_with_a_wide_view():
    torch.manual_seed(0)
    network = create_network(NetworkRecipe("test_efficientnet"), 3).eval()
    batch = torch.rand(4, 1, 64, 64)
    with torch.inference_mode():
        first = judged_side_by_side(network, batch)
        batch[1] = 0
        second = judged_side_by_side(network, batch)
    assert not torch.allclose(first[0], second[0], rtol=1e-6, atol=0)
    assert first.shape == (4, 3)


def test_a_patch_that_is_no_whole_number_of_places_is_refused():
    network = create_network(NetworkRecipe("test_efficientnet"), 3).eval()
    with pytest.raises(RecipeError, match=r"train\.collage: a patch of 40 x 40 pixels has .* multiples of the network"):
        judged_side_by_side(network, torch.rand(4, 1, 40, 40))
