"""Recipe files are plain data: anything else is refused, by name and in one line."""

from pathlib import Path

import pytest

from undiffuse.recipes import Recipe, RecipeError, read

HOSTILE = {
    "python object": "data: !!python/object/apply:os.system [ls]",
    "python name": "data: !!python/name:os.system",
    "plain tag": "train: {steps: !!int 5}",
    "broken bool": "data: !!bool maybe",
    "broken int": "train: {steps: !!int ''}",
    "broken timestamp": "about: !!timestamp soon",
    "local tag": "data: !mine digits",
    "anchor": "data: &a digits",
    "alias": "data: &a digits\nnetwork: *a",
    "laughs": "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "merge": "train: {<<: {steps: 5}}",
    "twice": "data: digits\ndata: digits",
    "twice inside": "train: {steps: 1, lr: 1, steps: 2}",
    "date": "about: 2024-99-99",
    "number": f"seed: {'9' * 5000}",
    "list": "- data\n- network",
    "word": "digits",
    "nothing": "",
    "two": "data: digits\n---\ndata: mnist",
    "syntax": "data: [digits",
    "tab": "data:\n\tkind: digits",
    "list as key": "[a]: 1",
    "deep": "data: " + "[" * 20_000,
    "deep keys": "data: " + "{a: " * 5_000,
    "control": "data: \x07",
    "null": "data: a\x00b",
}


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize("name", HOSTILE)
def test_anything_but_plain_data_is_refused(tmp_path: Path, name: str):
    with pytest.raises(RecipeError, match=r"mine\.yaml: ") as caught:
        read(written(tmp_path, HOSTILE[name]))
    assert "\n" not in str(caught.value)


def test_it_must_be_text(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"mine\.yaml: not a recipe"):
        read(written(tmp_path, b"about: caf\xe9"))


def test_it_must_not_be_large(tmp_path: Path):
    start = "data: digits\nnetwork: mlp\n#"
    assert read(written(tmp_path, start.ljust(2**16, "x")))["data"] == "digits"
    with pytest.raises(RecipeError, match=r"larger than 65,536 bytes"):
        read(written(tmp_path, start.ljust(2**16 + 1, "x")))


def test_a_missing_file_and_a_folder(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        read(str(tmp_path / "none.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(RecipeError, match="no plain file, but a folder"):
        read(str(tmp_path / "folder.yaml"))


@pytest.mark.parametrize("end", [".yaml", ".yml"])
def test_a_plain_one_is_read(tmp_path: Path, end: str):
    path = tmp_path / f"mine{end}"
    path.write_text("data: digits\nnetwork: {kind: mlp, hidden: 8}\ntrain: {lr: 1e-3}\nabout: née ∂\n")
    plan = Recipe(read(str(path)))
    assert plan["train"].arguments["lr"] == 1e-3
    assert plan["about"] == "née ∂"


def test_a_key_that_is_no_text_is_unknown(tmp_path: Path):
    with pytest.raises(RecipeError, match="1=2: no such name"):
        Recipe(read(written(tmp_path, "data: digits\nnetwork: mlp\n1: 2")))
