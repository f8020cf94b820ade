"""A recipe that cannot be says where, what, and what to write instead."""

from typing import Any

import pytest

from undiffuse.recipes import Recipe, RecipeError, override, parse, read
from undiffuse.recipes.parts import GROUPS
from undiffuse.schedules import grids

NAMES = [  # an override of the digits recipe, and what the message must hold
    ("networks=mlp", "networks='mlp'", "did you mean 'network'?"),
    ("network.kind=unett", "network.kind='unett'", "did you mean 'unet'?"),
    ("network.chanels=4", "network.chanels=4", "did you mean 'channels'?"),
    ("kernel.kind=os.system", "kernel.kind='os.system'", "there are: gaussian"),
    ("kernel.schedule.kind=log-liner", "kernel.schedule.kind='log-liner'", "did you mean 'log-linear'?"),
    ("kernel.schedule.frist=1", "kernel.schedule.frist=1", "did you mean 'first'?"),
    ("data.kind=digit", "data.kind='digit'", "did you mean 'digits'?"),
    ("grid.kind=cosine", "grid.kind='cosine'", "there are: uniform, strided, log-snr"),
    ("parameterization=epsilon", "parameterization.kind='epsilon'", "did you mean 'eps'?"),
    ("objective.weight=min_snr", "objective.weight.kind='min_snr'", "did you mean 'min-snr'?"),
    ("sampler=dim", "sampler.kind='dim'", "did you mean 'ddim'?"),
    ("train.stpes=5", "train.stpes=5", "did you mean 'steps'?"),
    ("network.kind=[1]", "network.kind=[1]", "there are: mlp, unet"),
    ("network.kind={a: 1}", "network.kind={'a': 1}", "there are: mlp, unet"),
]
VALUES = [
    ("train=5", "train=5", "expected keys and values, such as train.steps="),
    ("kernel=[1]", "kernel=[1]", "such as kernel.kind=NAME"),
    ("objective.weight={gamma: 2}", "objective.weight", "needs a kind, one of min-snr, truncated"),
    ("train.steps=many", "train.steps='many'", "expected int"),
    ("train.steps=1.5", "train.steps=1.5", "expected int"),
    ("train.steps=true", "train.steps=True", "expected int"),
    ("train.steps=null", "train.steps=None", "expected int"),
    ("train.lr=[1]", "train.lr=[1]", "expected float"),
    ("train.decay=linear", "train.decay='linear'", "'constant' or 'cosine'"),
    ("network.multipliers=2", "network.multipliers=2", "expected tuple[int, ...]"),
    ("network.multipliers=[a]", "network.multipliers=['a']", "expected tuple[int, ...]"),
    ("about=7", "about=7", "expected str"),
    ("evaluate_terms=0", "evaluate_terms=0", "null for all"),
    ("data.kind=images", "data.path", "this key is needed, such as data.path=VALUE"),
    ("kernel=null", "kernel=None", "such as kernel.kind=NAME"),
]
GIVEN = [  # what the data and other parts say is no key
    ("network.shape=[1, 2]", "network.shape=[1, 2]", "there are: channels"),
    ("network.outputs=2", "network.outputs=2", "no such name"),
    ("decoder={kind: discretized, levels: 256}", "decoder.levels=256", "there are: std"),
    ("objective.grid=5", "objective.grid=5", "there are: loss"),
    ("grid={kind: log-snr, schedule: cosine}", "grid.schedule='cosine'", "there are: steps, first"),
]


def check(error: BaseException, where: str, remedy: str) -> None:
    assert str(error).startswith(where)
    assert remedy in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(("text", "where", "remedy"), NAMES + VALUES + GIVEN)
def test_the_message_has_the_path_the_value_and_the_remedy(text: str, where: str, remedy: str):
    with pytest.raises(RecipeError) as caught:
        Recipe(override(read("digits"), [text]))
    check(caught.value, where, remedy)


BUILT = [  # what only shows when the parts are put together, for images of 8x8 with 17 levels
    ("network.attention=[2]", "network: attention=(2,)", "levels are 0 to 1"),
    ("network.multipliers=[1,1,1,1,1]", "network: images of 8x8", "fewer multipliers"),
    ("network.channels=0", "network: channels=0", "at least one"),
    ("network={kind: mlp, hidden: 0}", "network: hidden=0", "at least one"),
    ("decoder=normal", "decoder.kind=normal", "use discretized"),
    ("decoder={kind: discretized, std: 0}", "decoder: std=0", "positive"),
    (
        "kernel.schedule={kind: cosine, steps: null}; parameterization=eps",
        "parameterization=eps",
        "use v or x0",
    ),
    ("variance={kind: sigmoid, scale: 0}", "variance: scale=0", "positive"),
]


@pytest.mark.parametrize(("text", "where", "remedy"), BUILT)
def test_what_does_not_fit_together(text: str, where: str, remedy: str):
    with pytest.raises(ValueError) as caught:
        Recipe(override(read("digits"), text.split("; "))).denoiser((1, 8, 8), 17)
    check(caught.value, where, remedy)


def test_a_unet_needs_images():
    with pytest.raises(RecipeError, match=r"network: a U-Net needs images.*network\.kind=mlp"):
        Recipe(read("digits")).denoiser((5,), None)


def test_levels_need_continuous_data_to_be_continuous():
    with pytest.raises(RecipeError, match=r"decoder\.kind=discretized: the data are continuous.*normal"):
        Recipe(override(read("swiss-roll"), ["decoder=discretized"])).denoiser((2,), None)


def test_settings_say_their_key_once():
    with pytest.raises(RecipeError) as caught:
        Recipe(override(read("digits"), ["train.keep=0"]))["train"].build()
    assert str(caught.value) == "train.keep=0: must be at least 1"


@pytest.mark.parametrize("key", ["data", "network"])
def test_what_every_recipe_needs(key: str):
    node = {"data": "digits", "network": "mlp"}
    del node[key]
    with pytest.raises(RecipeError, match=rf"^{key}: this key is needed, such as {key}=VALUE$"):
        Recipe(node)


@pytest.mark.parametrize("name", ["digitz", "no/such/recipe", "digits.txt", ""])
def test_an_unknown_recipe(name: str):
    with pytest.raises(RecipeError, match="digits, digits-rotated") as caught:
        read(name)
    assert ("did you mean 'digits'?" in str(caught.value)) == name.startswith("digit")


@pytest.mark.parametrize("group", [g for g in GROUPS if g is not grids.Grid])
def test_no_group_takes_a_path_to_code(group: Any):
    for kind in ("os.system", "undiffuse.networks.UNet", "__class__", "builtins.eval"):
        with pytest.raises(RecipeError, match=r"part\.kind='"):
            parse(group, kind, "part")
