import pytest

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.records.recipe_files import find_recipe, load_recipe, recipe_from_toml, recipe_names, recipe_to_toml
from ensemble_mammo.records.subject import View

BASE = """
task = "density"
[network]
name = "test_resnet"
[input]
height = 64
width = 48
[train]
epochs = 3
[[train.stages]]
learning_rate = 0.01
"""


@pytest.fixture
def write(tmp_path):
    def written(text, name="own.toml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return written


def test_the_recipes_that_the_project_promises_are_shipped():
    assert {"density/finetune", "density/infn", "density/demo"} <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("view", View)
def test_every_shipped_recipe_loads_for_every_view_and_survives_being_written(name, view):
    recipe = load_recipe(name, view)
    assert recipe.source
    assert recipe_from_toml(recipe_to_toml(recipe), "recipe.toml") == recipe


def test_a_recipe_is_found_by_its_last_name_and_by_its_path(write):
    assert find_recipe("infn") == find_recipe("density/infn")
    assert load_recipe(write(BASE)).train.epochs == 3


def test_an_unknown_recipe_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(RecipeError, match=r"recipe 'finetun' is neither a file nor one of .*did you mean 'finetune'\?"):
        load_recipe("finetun")
    with pytest.raises(RecipeError, match=r"nowhere\.toml: no such file; shipped recipes: abnormality/"):
        load_recipe(tmp_path / "nowhere.toml")


def test_a_misspelt_key_is_refused_with_the_nearest_one(write):
    with pytest.raises(RecipeError, match=r"own\.toml: unknown key 'train\.epoch'; did you mean 'train.epochs'\?"):
        load_recipe(write(BASE.replace("epochs = 3", "epoch = 3")))


def test_all_problems_of_a_recipe_are_named_at_once(write):
    broken = BASE.replace("density", "densty").replace("height = 64", 'height = "tall"') + "\n[agument]\nzoom = 0.1\n"
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(broken))
    assert "unknown key 'agument'; did you mean 'augment'?" in str(caught.value)
    assert "input.height is 'tall', expected int" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("epochs = 3", "epochs = 0"), "train: epochs is 0, expected 1 to 100000"),
        (('"density"', '"densty"'), "task 'densty' is not one of .*did you mean 'density'"),
        (("learning_rate = 0.01", "learning_rate = 0.0"), "learning_rate is 0.0, expected more than 0"),
        (("learning_rate = 0.01", 'learning_rate = 0.01\ntrainable = "top"'), "expected head, all, top:N"),
        (('"test_resnet"', '"x"\npretrained = "file"'), "pretrained = 'file' or 'run' and weights_file go together"),
        (("width = 48", 'width = 48\nfit = "stretch"'), "fit is 'stretch', expected one of pad, squash"),
        (("[train]", "[train"), "not TOML"),
        (("[network]", "[view]\nCC_R = 3\n[network]"), "view.CC_R is 3, expected a table"),
        (("[network]", "[view.CCR]\nx = 1\n[network]"), "unknown key 'view.CCR'; expected one of CC_R"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused(write, change, match):
    with pytest.raises(RecipeError, match=match):
        load_recipe(write(BASE.replace(*change)))


def test_what_one_projection_needs_differently_stands_in_its_table(write):
    path = write(BASE + "\n[view.MLO_L]\ninput.height = 80\ntrain.epochs = 9\n")
    assert load_recipe(path, View.MLO_L).input.height == 80
    assert load_recipe(path, View.MLO_L).train.epochs == 9
    assert load_recipe(path, View.CC_R) == load_recipe(path)
    assert load_recipe(path).train.epochs == 3


def test_a_fault_in_the_table_of_another_view_is_found_too(write):
    with pytest.raises(RecipeError, match=r"\[view\.MLO_L\] unknown key 'input\.heigth'; did you mean 'input.height'"):
        load_recipe(write(BASE + "\n[view.MLO_L]\ninput.heigth = 80\n"), View.CC_R)


def test_settings_are_laid_over_all_else(write):
    path = write(BASE + "\n[view.CC_R]\ntrain.epochs = 9\n")
    given = ["train.epochs=5", "network.name=resnet18", 'input.fit="squash"', "augment.flip_vertical=true"]
    recipe = load_recipe(path, View.CC_R, given)
    assert (recipe.train.epochs, recipe.network.name, recipe.input.fit) == (5, "resnet18", "squash")
    assert recipe.augment.flip_vertical is True


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ("train.epochs", "setting 'train.epochs' is not of the form key=value"),
        ("=5", "not of the form key=value"),
        ("train.epoch=5", "unknown key 'train.epoch'; did you mean 'train.epochs'"),
        ("train.label_smoothing=0.1", r"'train\.label_smoothing' stands in \[loss\] now: loss\.label_smoothing$"),
        ("train.soft_targets=0.1", r"'train\.soft_targets' stands in \[loss\] now: loss\.soft_targets"),
        ("train.balance=1", r"'train\.balance' stands in \[loss\] now: loss\.balance"),
        ("train.class_weights=balanced", r"'train\.class_weights' stands in \[loss\] now: loss\.class_weights"),
        ("train.epochs=five", "train.epochs is 'five', expected int"),
        ("train=5", "train is 5, expected a table"),
    ],
)
def test_a_setting_that_fits_no_field_is_refused(write, setting, match):
    with pytest.raises(RecipeError, match=match):
        load_recipe(write(BASE), None, [setting])


def test_a_recipe_extends_a_shipped_one(write):
    recipe = load_recipe(write('extends = "density/infn"\ntrain.epochs = 2\n'))
    assert recipe.train.epochs == 2
    assert recipe.network == load_recipe("density/infn").network


def test_a_recipe_extends_the_file_beside_it(write):
    write(BASE, "base.toml")
    assert load_recipe(write('extends = "base.toml"\ntrain.epochs = 2\n')).train.epochs == 2


def test_one_level_of_extends_is_allowed(write):
    write(BASE, "base.toml")
    write('extends = "base.toml"\n', "middle.toml")
    with pytest.raises(RecipeError, match=r"extends 'middle\.toml', which extends another recipe; one level"):
        load_recipe(write('extends = "middle.toml"\n'))


def test_the_written_recipe_of_another_version_is_refused_with_its_place():
    with pytest.raises(RecipeError, match=r"runs/CC_R/recipe\.toml: unknown key 'colour'"):
        recipe_from_toml(BASE + "[colour]\n", "runs/CC_R/recipe.toml")


def test_a_setting_reaches_into_the_stages():
    recipe = load_recipe("density/finetune", None, ["train.stages.0.learning_rate=1e-3", "train.stages.0.epochs=2"])
    assert (recipe.train.stages[0].learning_rate, recipe.train.stages[0].epochs) == (1e-3, 2)
    with pytest.raises(RecipeError, match="'9' is no place in a list of 2"):
        load_recipe("density/finetune", None, ["train.stages.9.epochs=2"])


def test_what_a_child_says_stands_above_what_its_parent_says_of_a_view(tmp_path):
    base = recipe_to_toml(load_recipe("density/demo"))
    (tmp_path / "parent.toml").write_text(base + "\n[view.MLO_L.train]\nepochs = 3\nbatch_size = 3\n")
    (tmp_path / "child.toml").write_text('extends = "parent.toml"\n[train]\nepochs = 7\n')
    recipe = load_recipe(tmp_path / "child.toml", View.MLO_L)
    assert (recipe.train.epochs, recipe.train.batch_size) == (7, 3)


@pytest.mark.parametrize(
    "setting", ["train.early_stopping=-1", "train.plateau_factor=3", "train.momentum=5", "input.std=nan"]
)
def test_numbers_outside_their_range_are_refused(setting):
    with pytest.raises(RecipeError, match="expected"):
        load_recipe("density/finetune", None, [setting])
