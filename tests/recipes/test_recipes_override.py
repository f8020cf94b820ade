"""Overrides: dotted keys and YAML values."""

from typing import Any

import pytest

from undiffuse.recipes import Recipe, RecipeError, override, read

BASE = {"data": "digits", "network": {"kind": "unet", "channels": 8, "multipliers": [1, 2]}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train.lr=1e-3", 1e-3),
        ("train.lr=1.5E+2", 150.0),
        ("train.lr=.5", 0.5),
        ("train.steps=1e4", 10_000),
        ("train.steps=500", 500),
        ("train.flips=true", True),
        ("train.decay=cosine", "cosine"),
        ("network.multipliers=[1, 1, 2]", (1, 1, 2)),
        ("network.attention=[]", ()),
        ("evaluate_terms=null", None),
        ("evaluate_terms=", None),
        ("evaluate_terms=7", 7),
        ("about=a = b", "a = b"),
        ("seed=-3", -3),
    ],
)
def test_values(text: str, value: Any):
    plan, (key, *inner) = Recipe(override(BASE, [text])), text.partition("=")[0].split(".")
    found = plan[key].arguments[inner[0]] if inner else plan[key]
    assert found == value
    assert type(found) is type(value)


def test_the_original_stays():
    before = read("digits")
    node = read("digits")
    override(node, ["network.channels=4", "train.steps=1", "data=swiss-roll"])
    assert node == before


def test_later_ones_win():
    assert override(BASE, ["train.steps=1", "train.steps=2"])["train"] == {"steps": 2}


def test_other_keys_of_a_part_stay():
    node = override(BASE, ["network.channels=4"])
    assert node["network"] == {"kind": "unet", "channels": 4, "multipliers": [1, 2]}


def test_the_same_kind_keeps_its_keys():
    assert override(BASE, ["network.kind=unet"])["network"] == BASE["network"]


@pytest.mark.parametrize("text", ["network.kind=mlp", "network=mlp", "network={kind: mlp}"])
def test_another_kind_drops_the_old_keys(text: str):
    network = Recipe(override(BASE, [text, "network.hidden=16"]))["network"]
    assert network.describe() == {"kind": "mlp", "hidden": 16, "layers": 4, "dropout": 0.0}


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("kernel.schedule.kind=linear", ("kernel", "schedule"), {"kind": "linear"}),
        ("kernel.schedule.steps=5", ("kernel", "schedule"), {"kind": "cosine", "steps": 5}),
        ("grid.steps=5", ("grid",), {"kind": "uniform", "steps": 5}),
        ("data.path=x", ("data",), {"kind": "digits", "path": "x"}),
        ("objective.weight.kind=min-snr", ("objective", "weight"), {"kind": "min-snr"}),
    ],
)
def test_keys_inside_defaults_and_short_forms(text: str, path: tuple[str, ...], value: Any):
    node: Any = override(BASE, [text])
    for key in path:
        node = node[key]
    assert node == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.steps", "overrides look like train.steps=500"),
        ("=5", "overrides look like"),
        ("train.steps=[", "not readable as YAML"),
        ("train.steps=!!python/name:os.system x", "not readable"),
        ("train.steps=&a 1", "not readable"),
        ("train.steps=2024-99-99", "not readable"),
        (f"about={'[' * 5000}", "not readable"),
        ("seed.more=1", "seed is a plain value"),
        ("train.steps.more=1", r"train\.steps=.*expected int"),
        ("train.=1", r"train\.=1: no such name"),
    ],
)
def test_what_cannot_be_read(text: str, message: str):
    with pytest.raises(RecipeError, match=message):
        Recipe(override(BASE | {"seed": 1}, [text]))


def test_the_order_of_kinds_and_keys_does_not_matter():
    changes = ["data.path=x.npy", "kernel.schedule.steps=7", "data.kind=array", "kernel.schedule.kind=linear"]
    node = override(read("digits"), changes)
    assert node["data"] == {"kind": "array", "path": "x.npy"}
    assert node["kernel"]["schedule"] == {"kind": "linear", "steps": 7}
    assert override(read("digits"), changes[::-1]) == node
