"""`undiffuse export` and `undiffuse import`: what they write and refuse; no diffusers is needed."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from shell import UNET, good, refused, train, tree

from undiffuse.runs import load

FILES = {"model_index.json", "unet/config.json", "scheduler/scheduler_config.json"}
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
PICTURES = ["data.kind=array", "train.flips=false", "train.evaluate_every=0", "train.sample_every=0"]
EXPORTABLE = ["network.clock.scale=12", "network.groups=4", "network.middle_attention=true"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pictures.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, size=(40, 3, 8, 8)).astype("u1"))
    return path


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(out, ["images", *UNET, *PICTURES, f"data.path={pictures}", *EXPORTABLE])


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "pipeline"
    assert good("export", run, "--to", "diffusers", out) == f"{out}\n"
    return out


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(exported, tmp_path / "pipeline"))


def change(file: Path, **keys: Any) -> None:
    """Other keys in a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


def test_an_export_is_four_files(exported: Path):
    assert tree(exported) == {*FILES, WEIGHTS, "unet", "scheduler"}
    for name in FILES:
        assert json.loads((exported / name).read_text())["_diffusers_version"]


def test_neither_verb_needs_the_package(exported: Path, run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    good("import", exported, "--out", "back")
    good("export", run, "again")
    for name in (*FILES, WEIGHTS):
        assert (exported / name).read_bytes() == Path("again", name).read_bytes()


def test_an_import_samples_and_evaluates(exported: Path, run: Path, pictures: Path):
    words = ["data.kind=array", f"data.path={pictures}"]
    out = good("import", exported, "--out", "back", *words)
    assert out.endswith(" parameters -> back\n")
    assert tree(Path("back")) >= {"recipe.yaml", "run.json", "checkpoints/step-00000000/average.safetensors"}
    good("sample", "back", "-n", 3)
    mine, again = load(run), load("back")
    assert len(again.sample(2)) == 2
    raw = torch.from_numpy(np.load(pictures))[:4]
    assert torch.allclose(mine.bits(raw), again.bits(raw), rtol=1e-4)
    assert "bits per dimension: " in good("evaluate", "back", "--examples", 2)
    assert "36 train, 4 test" in good("info", "back")


def test_an_import_is_trained_on(exported: Path, pictures: Path):
    words = ["data.kind=array", f"data.path={pictures}", "train.steps=2", "train.batch=4"]
    good("import", exported, "--out", "back", *words)
    good("train", "--resume", "back")
    assert load("back").step == 2


def test_an_import_without_data(exported: Path):
    good("import", exported)
    assert Path("runs/pipeline/recipe.yaml").is_file()
    recipe = yaml.safe_load(Path("runs/pipeline/recipe.yaml").read_text())
    assert recipe["data"] is None
    assert recipe["about"] == "imported from diffusers: pipeline"
    good("sample", "runs/pipeline", "-n", 1, "--out", "one.png")
    assert "0 train, 0 test" in good("info", "runs/pipeline")
    for verb in (["evaluate"], ["parzen"], ["train", "--resume"]):
        message = refused(*verb, "runs/pipeline")
        assert message.startswith("data: this run has none; name them where it is imported")


def test_nothing_is_trained_without_data():
    assert refused("train", "images", "data=null", "--out", "run").startswith("data: this run has none")
    assert not Path("run").exists()


def test_the_data_must_be_those_of_the_network(exported: Path, tmp_path: Path):
    np.save("small.npy", np.zeros((9, 3, 4, 4), "u1"))
    np.save("floats.npy", np.random.default_rng(0).normal(size=(9, 3, 8, 8)).astype("f4"))
    for name, words in (("small", "(3, 4, 4), 256 levels"), ("floats", "(3, 8, 8), continuous values")):
        message = refused("import", exported, "--out", "r", "data.kind=array", f"data.path={name}.npy")
        assert message == f"data: {words}: the network is for levels of shape (3, 8, 8)"
    message = refused("import", exported, "--out", "r", "network.channels=8")
    assert message.startswith("network.channels=8: an import takes only data, train, sampler")
    assert not Path("r").exists()


def test_folders_in_use_are_left_alone(exported: Path, run: Path):
    Path("full").mkdir()
    Path("full/file").touch()
    for words in (["export", run, "full"], ["import", exported, "--out", "full"]):
        assert refused(*words) == "full: not an empty folder; choose another"
    assert tree(Path("full")) == {"file"}
    Path("empty").mkdir()
    good("export", run, "empty")
    assert "--to onnx: no such format; there is diffusers" in refused("export", run, "--to", "onnx", "new")


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no folder here"),
    "no index": (lambda f: (f / "model_index.json").unlink(), "model_index.json: missing"),
    "no config": (lambda f: (f / "unet/config.json").unlink(), "config.json: missing"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "safetensors: missing; in diffusers, save_pretrained"),
    "pickle": (
        lambda f: (f / WEIGHTS).rename(f / "unet/model.bin"),
        "model.bin: pickled weights are not opened",
    ),
    "no JSON": (lambda f: (f / "unet/config.json").write_text("{"), "config.json: not readable as JSON"),
    "a list": (
        lambda f: (f / "unet/config.json").write_text("[]"),
        "config.json: keys and values are needed",
    ),
    "deep": (lambda f: (f / "unet/config.json").write_text("[" * 10**5), "config.json: not readable as JSON"),
    "long": (lambda f: (f / "unet/config.json").write_text(" " * 2**21), "settings are at most 1,048,576"),
    "bytes": (lambda f: (f / WEIGHTS).write_bytes(b"\x80\x02" * 99), "not a safetensors file"),
    "pipeline": (
        lambda f: change(f / "model_index.json", _class_name="StableDiffusionPipeline"),
        "'StableDiffusionPipeline': only DDPMPipeline and DDIMPipeline are read",
    ),
    "another part": (
        lambda f: change(f / "model_index.json", vae=["diffusers", "AutoencoderKL"]),
        "'vae': only a unet and a scheduler are read",
    ),
    "conditional": (
        lambda f: change(f / "unet/config.json", _class_name="UNet2DConditionModel"),
        "unet: 'UNet2DConditionModel': only UNet2DModel is read",
    ),
    "learned": (
        lambda f: change(f / "scheduler/scheduler_config.json", variance_type="learned_range"),
        "unet: out_channels=3: the scheduler's variance_type asks for 6",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_folders_that_are_not_read(name: str, folder: Path):
    spoil, words = UNREADABLE[name]
    spoil(folder)
    assert words in refused("import", folder, "--out", "back")
    assert not Path("back").exists()


UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"down_block_types": ["SkipDownBlock2D", "DownBlock2D"]}, "down_block_types='SkipDownBlock2D': only"),
    ({"up_block_types": ["UpBlock2D", "AttnUpBlock2D"]}, "attention must be on the same levels"),
    ({"up_block_types": ["UpBlock2D"]}, "up_block_types=['UpBlock2D']: one of 2 levels each"),
    ({"num_class_embeds": 10}, "num_class_embeds=10: networks that are told a class are not read"),
    ({"class_embed_type": "timestep"}, "class_embed_type='timestep'"),
    ({"block_out_channels": [4, 6]}, "block_out_channels=[4, 6]: widths that the first one divides"),
    ({"block_out_channels": [4, 10**6]}, "block_out_channels=1000000: a whole number from 1 to 8,192"),
    ({"block_out_channels": 4}, "block_out_channels=4: a list of 1 to 10 values"),
    ({"layers_per_block": 0}, "layers_per_block=0"),
    ({"layers_per_block": True}, "layers_per_block=True"),
    ({"attention_head_dim": 3}, "attention_head_dim=3: a divisor of [8] or null"),
    ({"norm_num_groups": 3, "attn_norm_num_groups": 3}, "norm_num_groups=3: does not divide every width"),
    ({"attn_norm_num_groups": 2}, "attn_norm_num_groups=2"),
    ({"norm_eps": "small"}, "norm_eps='small'"),
    ({"act_fn": "gelu"}, "act_fn='gelu': only 'silu' or 'swish' is read"),
    ({"time_embedding_type": "fourier"}, "time_embedding_type='fourier'"),
    ({"time_embedding_dim": 5}, "time_embedding_dim"),
    ({"center_input_sample": True}, "center_input_sample=True"),
    ({"mid_block_type": None}, "mid_block_type=None"),
    ({"mid_block_scale_factor": 1.4}, "mid_block_scale_factor=1.4"),
    ({"downsample_type": "resnet"}, "downsample_type='resnet'"),
    ({"downsample_padding": 2}, "downsample_padding=2"),
    ({"sample_size": 7}, "sample_size=7: a multiple of 2 is needed"),
    ({"sample_size": None}, "sample_size=None"),
    ({"out_channels": 4}, "out_channels=4: 3 or, with a learned variance, 6"),
    ({"layers": 3}, "layers=3: this version does not know the key"),
    (
        {"block_out_channels": [8, 16], "attention_head_dim": 8},
        "conv_in.bias is F32 (4,), config.json asks for F32 (8,)",
    ),
    ({"layers_per_block": 2}, "is missing of config.json"),
    ({"add_attention": False}, "has no place in the network of config.json"),
]


@pytest.mark.parametrize(("keys", "words"), UNKNOWN, ids=[str(keys)[:50] for keys, _ in UNKNOWN])
def test_networks_that_are_not_read(keys: dict[str, Any], words: str, folder: Path):
    change(folder / "unet/config.json", **keys)
    message = refused("import", folder, "--out", "back")
    assert words in message
    assert message.startswith(("unet: ", str(folder)))
    assert not Path("back").exists()


def test_weights_that_are_not_read(folder: Path):
    weights = load_file(folder / WEIGHTS)
    for value, words in (
        (weights["conv_in.bias"].int(), "conv_in.bias is I32 (4,), config.json asks for F32 (4,)"),
        (weights["conv_in.bias"] * torch.nan, "is not finite"),
    ):
        save_file(weights | {"conv_in.bias": value}, folder / WEIGHTS)
        assert words in refused("import", folder, "--out", "back")
        assert not Path("back").exists()


def test_no_link_leads_out(folder: Path, tmp_path: Path):
    outside = tmp_path / "elsewhere"
    for name in (WEIGHTS, "unet/config.json", "unet"):
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)
        assert "leads out of the folder; copy its files here" in refused("import", folder, "--out", "back")
        (folder / name).unlink()
        outside.rename(folder / name)
    good("import", folder, "--out", "back")


UNEXPORTABLE = {
    "network.patch=2": "patch=2",
    "network.multipliers=[2, 4]": "multipliers",
    "network.multipliers=[1, 3]": "norm groups [4, 6, 8]",
    "network.block.kind=convnext": "block ConvNeXTBlock",
    "network.down=pooled": "down=pooled or folded",
    "network.clock.scale=1000": "clock.scale=1000 on 12 steps",
    "network.kind=mlp": "network MLP",
    "network.attend.kind=linear": "attention LinearAttention",
}


@pytest.mark.parametrize("word", UNEXPORTABLE)
def test_runs_that_are_not_exported(word: str, pictures: Path):
    base = [w for w in (*UNET, *EXPORTABLE) if w.partition("=")[0] != word.partition("=")[0]]
    base = base if word != "network.kind=mlp" else ["network.hidden=8", "network.layers=1"]
    words = [*base, *PICTURES, word, f"data.path={pictures}"]
    words += ["network.groups=8"] if "3]" in word else ["network.attention=[0]"] if "linear" in word else []
    train(Path("run"), ["images", *words], "train.steps=1")
    message = refused("export", "run", "out")
    assert message.startswith(f"{UNEXPORTABLE[word]}: diffusers has no counterpart; ")
    assert not Path("out").exists()


def test_sizes_that_are_padded_and_points_are_not_exported(tmp_path: Path):
    np.save("odd.npy", np.zeros((9, 1, 7, 8), "u1"))
    train(Path("odd"), ["images", *UNET, *PICTURES, *EXPORTABLE, "data.path=odd.npy"], "train.steps=1")
    assert refused("export", "odd", "out").startswith("images of 7x8: diffusers has no counterpart; sizes")
    train(Path("points"))
    assert refused("export", "points", "out").startswith("the data are no levels: diffusers has no")
