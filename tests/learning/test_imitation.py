import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ensemble_mammo.errors import DatasetError, RecipeError, RunError
from ensemble_mammo.learning.checkpoint import load_run
from ensemble_mammo.learning.heatmap import HeatmapOptions, chain_of, heatmap_of
from ensemble_mammo.learning.images import ViewImages
from ensemble_mammo.learning.imitation import (
    Teacher,
    answered,
    draw_crop,
    judge_imitation,
    taught,
    teacher_of,
)
from ensemble_mammo.learning.state import Samples, Setting
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import AugmentRecipe, LossRecipe
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.stages.train import TrainOptions, train
from tests.learning.heatmap.made import image_of, plain_loop, run_of
from tests.learning.imitated import HEIGHT, IMITATE, PATCH, mammograms, patch_run

HALF = PATCH // 2
CPU = TrainOptions(device="cpu")
PLAIN = HeatmapOptions(mode="dense", stride_px=32, padding_px=0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return mammograms(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return patch_run(tmp_path_factory.mktemp("patches") / "ANY")


@pytest.fixture(scope="module")
def done(dataset, patches, tmp_path_factory):
    return train(dataset, None, recipe_of(patches), tmp_path_factory.mktemp("runs"), CPU)


def recipe_of(folder, **changes):
    recipe = replace(IMITATE, network=replace(IMITATE.network, pretrained="run", weights_file=str(folder)))
    return replace(recipe, train=replace(recipe.train, **changes))


def teacher(seed=0):
    run = run_of("test_efficientnet", PATCH, seed)
    return Teacher(run, chain_of(run).steps[-1])


def setting_of(one):
    return Setting(one.run.recipe, torch.device("cpu"), torch.float32, torch.ones(3))


# ---- crops


@pytest.mark.parametrize("shape", [(400, 300), (180, 350), (70, 60), (40, 500)])
def test_a_crop_is_a_piece_of_the_padded_image_whose_patches_have_real_surroundings(shape):
    one = teacher()
    assert one.cell_px == HALF  # so that half a patch is one cell
    size = shape[0] * shape[1]
    pixels = ((1 + np.random.default_rng(0).permutation(size).reshape(shape)) / size).astype(np.float32)
    padded = np.pad(pixels, 300)
    begins, seen = set(), np.zeros(shape, bool)
    for draw in range(100):
        crop = draw_crop(pixels, np.random.default_rng(draw), one)
        found = crop.pixels[0, 0].numpy()
        assert found.dtype == np.float32 and not any(side % HALF for side in found.shape)
        (down,), (across,) = np.nonzero(found == found.max())
        (top,), (left,) = np.nonzero(padded == found.max())
        top, left = top - down, left - across
        piece = padded[top : top + found.shape[0], left : left + found.shape[1]]
        np.testing.assert_array_equal(found, piece)
        begins.add((top % HALF, left % HALF))
        for axis, (begin, cell) in enumerate(((top, crop.row), (left, crop.column))):
            first, number = begin - 300 + HALF + cell * HALF, crop.wanted.shape[axis]  # in the image padded for maps
            last = first + (number + 1) * HALF
            assert first >= 0 and last <= shape[axis] + PATCH  # patches reach half a patch beyond the image at most
            assert number <= 5 and cell == min(1, first // HALF)
            after = found.shape[axis] - cell * HALF - (number + 1) * HALF
            assert after >= 0 and (after >= HALF or last + HALF > shape[axis] + PATCH)
        for i, j in np.argwhere(crop.wanted):
            centre = top - 300 + (crop.row + i + 1) * HALF, left - 300 + (crop.column + j + 1) * HALF
            assert 0 <= centre[0] < shape[0] and 0 <= centre[1] < shape[1]
            seen[centre] = True
    if min(shape) > 2 * PATCH:  # else there is no room to begin elsewhere
        assert len(begins) > 20 and seen.any(1).mean() > 0.4


def test_patches_whose_centre_lies_outside_the_breast_are_not_compared():
    pixels = np.zeros((300, 300), np.float32)
    pixels[:, :130] = 0.5
    for draw in range(20):
        crop = draw_crop(pixels, np.random.default_rng(draw), teacher())
        rows, columns = crop.wanted.shape
        for i in range(rows):
            for j in range(columns):
                middle = crop.pixels[0, 0, (crop.row + i + 1) * HALF, (crop.column + j + 1) * HALF]
                assert crop.wanted[i, j] == (middle > 0)
    assert draw_crop(np.zeros((100, 90), np.float32), np.random.default_rng(0), teacher()).wanted.sum() == 0


# ---- what is compared


def crop_of(pixels):
    return draw_crop(pixels.astype(np.float32) / 65535, np.random.default_rng(3), teacher())


def test_the_teacher_says_what_patches_cut_out_by_hand_have():
    one = teacher()
    crop = crop_of(image_of(250, 230))
    own = crop.pixels[0, 0, crop.row * HALF :, crop.column * HALF :].numpy()
    own = (own * 65535).round().astype(np.uint16)
    loop = plain_loop([one.run], own, HALF, 0)[: crop.wanted.shape[0], : crop.wanted.shape[1]]
    np.testing.assert_allclose(taught(crop, one, "float32").numpy(), loop[crop.wanted], atol=1e-5)


def test_the_student_says_what_a_dense_heatmap_of_the_crop_has():
    one = teacher()
    crop = crop_of(image_of(250, 230))
    whole = (crop.pixels[0, 0].numpy() * 65535).round().astype(np.uint16)
    grid = heatmap_of([one.run], whole, None, PLAIN).values[crop.row :, crop.column :]
    grid = grid[: crop.wanted.shape[0], : crop.wanted.shape[1]]
    with torch.inference_mode():
        scores = answered(one.run.network, crop, setting_of(one), one).softmax(1).numpy()
    np.testing.assert_allclose(scores, grid[crop.wanted], atol=1e-5)


def test_validation_is_the_divergence_from_the_teacher_worked_out_by_hand(dataset, patches):
    one = teacher_of(recipe_of(patches), torch.device("cpu"))
    setting = Setting(replace(recipe_of(patches), input=one.run.recipe.input), torch.device("cpu"), torch.float32, None)
    rows = dataset.rows(split="val")
    samples = loop_samples(dataset, rows, setting)
    kept = {}
    judged = judge_imitation(one.run.network, samples, setting, one, kept)
    assert list(kept) == list(range(len(rows)))
    wanted = np.concatenate([said.numpy() for _, said in kept.values()])
    with torch.inference_mode():
        given = [answered(one.run.network, crop, setting, one).softmax(1) for crop, _ in kept.values()]
    given = torch.cat(given).numpy().astype(np.float64)
    assert judged.loss == pytest.approx(np.mean(np.sum(wanted * np.log(wanted / given), 1)), rel=1e-4)
    assert judged.accuracy == np.mean(wanted.argmax(1) == given.argmax(1))
    assert judged.correlation == pytest.approx(np.corrcoef(wanted[:, 1:].sum(1), given[:, 1:].sum(1))[0, 1], rel=1e-4)
    again = judge_imitation(one.run.network, samples, setting, one, {})
    assert again.loss == judged.loss and again.correlation == judged.correlation
    nothing = judge_imitation(one.run.network, loop_samples(dataset, rows[:0], setting), setting, one, {})
    assert math.isnan(nothing.loss) and math.isnan(nothing.correlation)


def loop_samples(dataset, rows, setting):
    return Samples(ViewImages(dataset.root, rows, setting.recipe.input), np.full(len(rows), -1))


# ---- training


def test_a_student_comes_nearer_to_its_teacher_without_labels(done, patches):
    first, last = done.history.iloc[0], done.history.iloc[-1]
    assert last["val_loss"] < 0.6 * first["val_loss"] and last["val_correlation"] > first["val_correlation"]
    assert 0 <= last["val_accuracy"] <= 1 and last["val_accuracy"] >= first["val_accuracy"]
    run = load_run(done.folder)
    assert run.recipe.input == load_run(patches).recipe.input  # not that of the recipe given
    assert run.recipe.train.imitate and run.recipe.network.weights_file == str(patches)
    assert done.info["images"] == {"train": {"images": 10}, "val": {"images": 3}}
    assert done.info["started_from"]["task"] == "patch" and done.info["val_correlation"] == last["val_correlation"]


def test_a_student_keeps_the_statistics_of_its_teacher(done, patches):
    own, other = (load_run(folder).network.state_dict() for folder in (done.folder, patches))
    means = [name for name in own if name.endswith("running_mean")]
    assert means and all(torch.equal(own[name], other[name]) for name in means)
    assert not torch.equal(own["conv_stem.weight"], other["conv_stem.weight"])


def test_a_resumed_training_gives_the_same_bits(dataset, patches, done, tmp_path):
    class Stop(Exception):
        pass

    def stop(advance):
        if advance.epoch == 3:
            raise Stop

    with pytest.raises(Stop):
        train(dataset, None, recipe_of(patches), tmp_path, replace(CPU, progress=stop))
    again = train(dataset, None, recipe_of(patches), tmp_path, CPU)
    one, other = (load_run(result.folder).network.state_dict() for result in (again, done))
    assert all(torch.equal(one[name], other[name]) for name in one)
    untimed = ["val_loss", "val_correlation", "train_loss", "learning_rate"]
    np.testing.assert_array_equal(again.history[untimed], done.history[untimed])


def test_steps_of_accumulated_crops_are_those_of_a_larger_batch(dataset, patches, tmp_path):
    weights = []
    for number, own in enumerate(({"batch_size": 4}, {"batch_size": 2, "accumulate": 2})):
        recipe = recipe_of(patches, epochs=1, images_an_epoch=8, optimizer="sgd", **own)
        result = train(dataset, None, recipe, tmp_path / str(number), CPU)
        weights.append(load_run(result.folder).network.state_dict()["conv_stem.weight"])
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)


# ---- what is refused


def test_a_recipe_that_imitates_is_one_of_pooled_patch_networks():
    with pytest.raises(ValueError, match="needs task = 'patch' and pooled = true"):
        replace(IMITATE, pooled=False)
    with pytest.raises(ValueError, match="needs task = 'patch' and pooled = true"):
        replace(IMITATE, task="pathology")
    with pytest.raises(ValueError, match="leave collage and the table loss out"):
        replace(IMITATE, train=replace(IMITATE.train, collage=0.5))
    for loss in (LossRecipe(label_smoothing=0.1), LossRecipe(class_weights="balanced"), LossRecipe(positive_weight=2)):
        with pytest.raises(ValueError, match="leave collage and the table loss out"):
            replace(IMITATE, loss=loss)


def test_without_a_run_to_imitate_there_is_no_training(dataset, tmp_path):
    with pytest.raises(RecipeError, match="no run to imitate; name a patch run with --start"):
        train(dataset, None, IMITATE, tmp_path, CPU)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"task": "pathology"}, "trained for the task 'pathology', expected 'patch'"),
        ({"centre": "image"}, "goes by each patch's own mean"),
        ({"width": 96}, "is no square patch"),
        ({"imitates": "elsewhere"}, "imitates a run itself; give that one, elsewhere"),
        ({"network": "test_convnext"}, "is not average pooling and one layer"),
    ],
)
def test_runs_that_no_single_pass_can_imitate_are_refused(changes, text, dataset, tmp_path):
    folder = patch_run(tmp_path / "ANY", **changes)
    with pytest.raises(RunError, match=text):
        train(dataset, None, recipe_of(folder), tmp_path / "out", CPU)
    assert not (tmp_path / "out").exists()


def test_mammograms_prepared_otherwise_than_the_patches_are_refused(patches, tmp_path):
    other = mammograms(tmp_path / "data", Preparation(height=HEIGHT, intensity="rank"))
    with pytest.raises(DatasetError, match=r"prepared otherwise than the images the run of .*ANY was trained on"):
        train(other, None, recipe_of(patches), tmp_path / "out", CPU)


def test_subjects_held_out_whom_the_imitated_run_knows_are_refused(dataset, tmp_path):
    folder = patch_run(tmp_path / "ANY", learned_from=("s013",))
    with pytest.raises(DatasetError, match="1 subjects of validation or test here, such as s013, are known"):
        train(dataset, None, recipe_of(folder), tmp_path / "out", CPU)


def test_a_dataset_without_training_images_is_refused(dataset, patches, tmp_path):
    none = dataclasses.replace(dataset, table=dataset.table.assign(split="val"))
    with pytest.raises(DatasetError, match=r"no training image of ANY \(14 images"):
        train(none, None, recipe_of(patches), tmp_path / "out", CPU)


def test_heatmaps_of_a_run_that_imitates_are_dense_and_share_all():
    one = run_of()
    one = replace(one, recipe=replace(recipe_of("runs/patch/ANY"), input=one.recipe.input))
    assert heatmap_of([one], image_of(64, 64), None, HeatmapOptions(mode="dense")).values.shape[-1] == 3
    with pytest.raises(RunError, match="its exact map is that of the run it imitates, runs/patch/ANY"):
        heatmap_of([one], image_of(64, 64))
    for shared in (0, 2):
        with pytest.raises(RunError, match="all of its 7 stages are shared; shared is"):
            heatmap_of([one], image_of(64, 64), None, HeatmapOptions(mode="dense", shared=shared))


def test_the_shipped_recipe_imitates_and_leaves_batch_norms_alone():
    recipe = load_recipe("cancer/patch-lite-dense")
    assert recipe.train.imitate and recipe.train.frozen_norm and recipe.network.dropout == 0
    assert recipe.augment == AugmentRecipe(flip_horizontal=True, flip_vertical=True)
    assert recipe.train.keep == "best-loss" and len(recipe.train.stages) == 1
