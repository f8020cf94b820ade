"""Data sets from the hub: with `datasets` itself on a folder, and with something that behaves like it."""

import sys
import types

import datasets
import numpy as np
import pytest
import torch
from lazy import encoded, picture

from undiffuse.data import Hub, Rows
from undiffuse.data.source import split

ARRAYS = [picture(5, 4, 3) for _ in range(12)]
EXPECTED = torch.from_numpy(np.stack(ARRAYS)).permute(0, 3, 1, 2)


class Table(list):
    """Rows of a table, as `datasets.Dataset` gives them; images are their bytes."""

    cache_files = ()

    @property
    def column_names(self) -> list[str]:
        return list(list.__getitem__(self, 0))

    def select_columns(self, names: list[str]) -> "Table":
        return Table({name: row[name] for name in names} for row in self)

    def cast_column(self, name: str, kind: object) -> "Table":
        assert kind == ("image", False)
        return self

    def __getitem__(self, key):
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


def rows(numbers: range) -> list[dict]:
    return [{"image": {"bytes": encoded(ARRAYS[i]), "path": None}, "label": i % 3} for i in numbers]


@pytest.fixture
def hub(monkeypatch) -> dict[str, Table]:
    """What the stand-in has, by split."""
    found: dict[str, Table] = {"train": Table(rows(range(9))), "test": Table(rows(range(9, 12)))}
    module = types.ModuleType("datasets")
    module.load_dataset = lambda name, revision=None: found
    module.Image = lambda decode: ("image", decode)
    monkeypatch.setitem(sys.modules, "datasets", module)
    return found


@pytest.mark.parametrize("memory", [0, 1])
def test_its_splits_are_ours(hub, memory):
    splits = Hub("owner/name", label="label", memory=memory).load()
    assert isinstance(splits.train, Rows) == (memory == 0)
    assert torch.equal(splits.train[:], EXPECTED[:9]) and torch.equal(splits.test[:], EXPECTED[9:])
    assert splits.train_labels.tolist() == [i % 3 for i in range(9)] and splits.classes == 3


def test_without_a_test_split_the_training_data_are_split(hub):
    del hub["test"]
    splits = Hub("owner/name").load()
    train, _ = split(9, 0.1)
    assert torch.equal(splits.train, EXPECTED[train]) and splits.train_labels is None


def test_what_is_not_there_is_named(hub):
    with pytest.raises(ValueError, match="columns image, label, not photo"):
        Hub("owner/name", column="photo").load()
    hub["train"][4]["image"]["bytes"] = b"no picture"
    with pytest.raises(ValueError, match="owner/name: image 4 cannot be read"):
        Hub("owner/name").load()
    del hub["train"]
    with pytest.raises(ValueError, match=r"splits \['test'\], and no 'train'"):
        Hub("owner/name").load()


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'datasets>="):
        Hub("owner/name").load()


def test_the_real_library_loads_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    for part, numbers in (("train", range(9)), ("test", range(9, 12))):
        table = datasets.Dataset.from_list(rows(numbers), features=features)
        table.to_parquet(tmp_path / "set" / f"{part}.parquet")
    source = Hub(str(tmp_path / "set"), label="label", memory=0)
    splits = source.load()
    assert torch.equal(splits.train[:], EXPECTED[:9]) and torch.equal(splits.test[:], EXPECTED[9:])
    assert len(source.files()) == 2
