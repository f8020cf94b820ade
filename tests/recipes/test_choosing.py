"""What is chosen for data that nobody has written a recipe for."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from undiffuse.data import read_image
from undiffuse.diffusion.examples import first_logsnr
from undiffuse.recipes import Recipe, RecipeError, override
from undiffuse.recipes.choosing import KEPT, Choice, choose, chosen_with

R = np.random.default_rng(0)
ARRAYS = {  # array, kernel, network, keys of the data
    "numbers": (R.normal(size=(50, 3)), "gaussian", "mlp", {}),
    "sequences": (R.normal(size=(50, 2, 7)), "gaussian", "mlp", {}),
    "steps": (R.integers(0, 9, (50, 2)) / 4 - 1, "gaussian", "mlp", {"spacing": 0.25}),
    "bits": (R.integers(0, 2, (50, 6)), "binomial", "mlp", {"levels": 2}),
    "booleans": (R.random((50, 6)) < 0.5, "binomial", "mlp", {"levels": 2}),
    "float bits": (R.integers(0, 2, (50, 6)).astype("f4"), "binomial", "mlp", {"levels": 2}),
    "symbols": (R.integers(0, 5, (90, 6)), "categorical", "mlp", {"levels": 5}),
    "counts": (R.integers(0, 40, (90, 6)), "gaussian", "mlp", {"levels": 40}),
    "whole floats": (R.integers(0, 40, (90, 6)).astype("f8"), "gaussian", "mlp", {"levels": 40}),
    "grey": (R.integers(0, 17, (90, 8, 8)).astype("u1"), "gaussian", "unet", {"levels": 17}),
    "grey floats": (R.integers(0, 17, (90, 8, 8)).astype("f4"), "gaussian", "unet", {"levels": 17}),
    "bytes": (R.integers(0, 256, (90, 3, 8, 8)).astype("u1"), "gaussian", "unet", {"levels": 256}),
    "last": (R.integers(0, 256, (90, 8, 8, 3)).astype("u1"), "gaussian", "unet", {"channels_last": True}),
}


def chosen(choice: Choice) -> Recipe:
    """It can be built as it is; every key that was set has a reason."""
    assert choice.reasons[0].startswith("recipe ")
    return Recipe(override(choice.node, []))


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_decides_its_kernel_and_network(name: str, tmp_path: Path):
    array, kernel, network, keys = ARRAYS[name]
    np.save(tmp_path / "x.npy", array)
    recipe = chosen(choose(tmp_path / "x.npy"))
    assert (recipe["kernel"].kind, recipe["network"].kind) == (kernel, network)
    splits = recipe["data"].build().load()
    assert {key: recipe["data"].arguments[key] for key in keys} == keys
    if recipe["data"].arguments["levels"] and kernel == "gaussian" and keys.get("levels", 256) != 256:
        first = recipe["kernel"].arguments["schedule"].arguments["first"]
        assert first == first_logsnr(splits.levels)


def test_noise_begins_about_as_wide_as_a_level():
    for levels in (2, 17, 256, 65536):
        sigma, apart = np.exp(-first_logsnr(levels) / 2), 2 / (levels - 1)
        assert 0.31 < sigma / apart < 0.32


def test_folders_of_pictures_are_classes(tmp_path: Path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(R.integers(0, 256, (8, 8)).astype("u1")).save(tmp_path / name / f"{i}.png")
    with pytest.raises(RecipeError, match=r"labels=kind: .* whose classes are its folders"):
        choose(tmp_path, labels="kind")
    found = choose(tmp_path, labels="folders")
    recipe = chosen(found)
    assert set(recipe["condition"]) == {"labels"} and "0 a, 1 b" in found.reasons[-1]
    assert recipe["data"].build().load().classes == 2
    assert chosen(choose(tmp_path))["condition"] is None


def test_an_npz_names_its_examples(tmp_path: Path):
    x, y = R.integers(0, 17, (40, 8, 8)).astype("u1"), R.integers(0, 3, 40)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    assert choose(tmp_path / "a.npz").node["data"]["key"] == "x"
    labelled = chosen(choose(tmp_path / "a.npz", labels="y"))
    assert set(labelled["condition"]) == {"labels"} and labelled["data"].build().load().classes == 3
    np.savez(tmp_path / "b.npz", train=x[:30], test=x[30:])
    assert "key" not in choose(tmp_path / "b.npz").node["data"]
    with pytest.raises(ValueError, match=r"is split; name them y_train, y_test"):
        chosen(choose(tmp_path / "b.npz", labels="y"))["data"].build().load()
    np.savez(tmp_path / "c.npz", one=x, two=x)
    with pytest.raises(RecipeError, match=r"holds arrays one, two"):
        choose(tmp_path / "c.npz")


def test_a_table_keeps_what_is_a_number_and_varies(tmp_path: Path):
    frame = pd.DataFrame(
        {"a": R.normal(size=80), "word": "x", "same": 3.0, "price": R.integers(0, 500, 80) / 100}
    )
    frame.loc[3, "a"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    choice = choose(tmp_path / "t.csv")
    recipe = chosen(choice)
    assert recipe["data"].kind == "columns" and recipe["kernel"].arguments["columns"] == [0, 0]
    assert any("word (never varies" in reason and "same (" in reason for reason in choice.reasons)
    assert "1 of 160 cells are missing, and count nowhere" in choice.reasons
    splits = recipe["data"].build().load()
    assert len(splits.train) + len(splits.test) == 80 and splits.names == ("a", "price")
    assert [column.step for column in splits.cells] == [0.0, 0.01]
    frame.replace({"a": {frame["a"][0]: np.inf}}).to_csv(tmp_path / "i.csv", index=False)
    assert any("a (holds infinite values" in reason for reason in choose(tmp_path / "i.csv").reasons)
    frame[["word"]].to_csv(tmp_path / "w.csv", index=False)
    with pytest.raises(ValueError, match=r"no column can be learned \(word: never varies, always x\)"):
        choose(tmp_path / "w.csv")


def test_a_table_with_labels_keeps_what_is_a_number_and_varies(tmp_path: Path):
    frame = pd.DataFrame(
        {"a": R.normal(size=80), "word": "x", "same": 3.0, "price": R.integers(0, 500, 80) / 100}
    )
    frame["of"] = R.integers(0, 3, 80)
    frame.loc[3, "a"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    choice = choose(tmp_path / "t.csv", labels="of")
    recipe = chosen(choice)
    assert recipe["data"].arguments["columns"] == ["a", "price"]
    assert recipe["data"].arguments["spacing"] == [0.0, 0.01]
    assert any("word, same" in reason for reason in choice.reasons)
    splits = recipe["data"].build().load()
    assert len(splits.train) + len(splits.test) == 79 and splits.names == ("a", "price")
    assert splits.advice == ("1 of 80 rows have a missing value and are left out",)
    frame.replace({"a": {frame["a"][0]: np.inf}}).to_csv(tmp_path / "i.csv", index=False)
    with pytest.raises(RecipeError, match="column a has infinite values"):
        choose(tmp_path / "i.csv", labels="of")
    frame[["word", "of"]].to_csv(tmp_path / "w.csv", index=False)
    with pytest.raises(RecipeError, match="no column is of numbers"):
        choose(tmp_path / "w.csv", labels="of")


def test_parquet_is_a_table_too(tmp_path: Path):
    frame = pd.DataFrame({"a": R.normal(size=30), "b": R.normal(size=30), "kind": R.integers(0, 2, 30)})
    frame.to_parquet(tmp_path / "t.parquet")
    node = override(
        choose(tmp_path / "t.parquet", labels="kind").node, ["data.columns=[a, b]", "data.spacing=null"]
    )
    splits = Recipe(node)["data"].build().load()
    assert splits.shape == (2,) and splits.classes == 2


def test_pictures_of_all_sorts(tmp_path: Path):
    for number in range(6):
        Image.fromarray(R.integers(0, 256, (20, 20 + number % 2, 3)).astype("u1")).save(
            tmp_path / f"{number}.png"
        )
    Image.fromarray(R.integers(0, 256, (20, 20)).astype("u1")).save(tmp_path / "grey.png")
    (tmp_path / "bad.jpg").write_bytes(b"none")
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    choice = choose(tmp_path)
    assert set(choice.problems) == {str(tmp_path / "bad.jpg")}
    data = chosen(choice)["data"].arguments
    assert (data["size"], data["channels"], data["skip_bad"]) == (32, 3, True)
    checked = choose(tmp_path, decode=read_image)
    assert set(checked.problems) == {str(tmp_path / "bad.jpg"), str(tmp_path / "cut.png")}


def test_pictures_that_are_alike_stay_as_they_are(tmp_path: Path):
    for number in range(3):
        Image.fromarray(R.integers(0, 256, (20, 24)).astype("u1")).save(tmp_path / f"{number}.png")
    assert set(choose(tmp_path).node["data"]) == {"kind", "path"}
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        choose(tmp_path / "none")
    (tmp_path / "text.txt").write_text("a")
    with pytest.raises(RecipeError, match="trained on are a folder"):
        choose(tmp_path / "text.txt")


def test_of_many_examples_few_are_held_out(tmp_path: Path):
    np.save(tmp_path / "x.npy", R.normal(size=(10 * KEPT + 10, 1)).astype("f4"))
    assert choose(tmp_path / "x.npy").node["data"]["test"] == KEPT / (10 * KEPT + 10)


def test_small_tables_take_fewer_steps_and_so_do_broad_ones(tmp_path: Path):
    for rows, steps in ((200, 2000), (12_000, 4000), (80_000, 20_000)):
        x = np.random.default_rng(0).normal(size=(rows, 3)).round(1)
        pd.DataFrame(x, columns=["a", "b", "c"]).to_csv(tmp_path / "table.csv", index=False)
        assert choose(tmp_path / "table.csv").node["train"]["steps"] == steps
    broad = pd.DataFrame(np.random.default_rng(0).normal(size=(12_000, 20)).round(1)).add_prefix("c")
    broad.to_csv(tmp_path / "broad.csv", index=False)
    chosen = choose(tmp_path / "broad.csv")
    assert chosen.node["train"]["steps"] == 12_000 and "fifteen minutes of 20 columns" in " ".join(
        chosen.reasons
    )
    forced = chosen_with(tmp_path / "table.csv", ["data.kind=columns"])
    assert forced.node["data"]["kind"] == "columns"
