"""The networks of diffusers' folders and ours: the same outputs, and no folder of the package is special."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, UNet2DModel
from pipelines import LAYOUTS, SMALL, TWO, apart, made, saved, x_of
from safetensors.torch import load_file, save_file

from undiffuse.interop import Config, layers, unet_arguments, unet_config
from undiffuse.networks import NETWORKS
from undiffuse.runs import export_run, import_run, load

FULL = ["network.attend.kind=full", "network.attend.head=16"]
KINDS = ["epsilon", "v_prediction"] * (len(LAYOUTS) // 2)
RUNS = {
    "defaults": ["grid.steps=1000"],
    "shift": ["network.block.kind=resnet", "network.block.time=shift", "network.attention=[1]", *FULL],
    "corner": ["network.down=corner", "network.multipliers=[1, 1, 2]", "network.attention=[0, 2]", *FULL],
    "clock": ["network.clock.shift=0", "network.clock.cosine_first=true", "network.clock.offset=3.5"],
    "from 0": ["network.clock.offset=-1", "network.middle_attention=false", "network.blocks=2"],
    "short": ["grid.steps=50", "network.clock.scale=50", "network.eps=1e-6", "network.groups=16"],
}


@pytest.mark.parametrize(("layout", "prediction"), list(zip(LAYOUTS, KINDS, strict=True)))
def test_an_import_has_the_same_output(layout: str, prediction: str, tmp_path: Path):
    theirs = saved(tmp_path / "theirs", LAYOUTS[layout], prediction_type=prediction)
    made_run = import_run(tmp_path / "theirs", tmp_path / "run", [])
    run = load(tmp_path / "run")
    assert made_run.parameters == sum(p.numel() for p in theirs.unet.parameters())
    assert apart(run.model.network, theirs.unet, run.shape) < 1e-5
    assert run.recipe["parameterization"].kind == {"epsilon": "eps", "v_prediction": "v"}[prediction]


@pytest.mark.parametrize("name", RUNS)
def test_an_export_has_the_same_output(name: str, tmp_path: Path):
    run = made(tmp_path, (3, 8, 8), *RUNS[name])
    theirs = DDPMPipeline.from_pretrained(export_run(run, tmp_path / "theirs"))
    assert apart(run.model.network, theirs.unet, run.shape, len(run.grid)) < 1e-5


def test_an_export_of_a_learned_variance(tmp_path: Path):
    run = made(tmp_path, (1, 4, 12), "variance.kind=interpolated")
    theirs = DDPMPipeline.from_pretrained(export_run(run, tmp_path / "theirs"))
    assert theirs.unet.config.out_channels == 2
    assert apart(run.model.network, theirs.unet, run.shape) < 1e-5


@pytest.mark.parametrize("offset", ["-1", "0"])
def test_there_and_back(offset: str, tmp_path: Path):
    """The same samples, bit for bit if the steps are numbered from 0."""
    words = ["grid.steps=8", "network.clock.scale=8", f"network.clock.offset={offset}"]
    run = made(tmp_path, (3, 8, 8), *words, "network.attention=[0]", "kernel.schedule.kind=sigmoid")
    import_run(export_run(run, tmp_path / "theirs"), tmp_path / "back", [])
    back = load(tmp_path / "back")
    assert torch.allclose(back.grid, run.grid)
    with torch.no_grad():
        pairs = zip(run.trajectory(3), back.trajectory(3), strict=True)
        for (t, mine), (s, again) in pairs:
            assert t == s
            assert torch.equal(mine, again) if offset == "-1" else torch.allclose(mine, again, atol=1e-3)


def test_names_from_before(tmp_path: Path):
    """Attention's weights were query, key, value and proj_attn once; half precision becomes single."""
    theirs = saved(tmp_path / "theirs", TWO)
    file = tmp_path / "theirs" / "unet" / "diffusion_pytorch_model.safetensors"
    older = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    weights = {}
    for name, tensor in load_file(file).items():
        for new, old in older.items():
            name = name.replace(new, old)
        weights[name] = tensor.bfloat16()
    save_file(weights, file)
    for folder in ("unet", "scheduler"):  # and the files stood beside the index
        for part in (tmp_path / "theirs" / folder).iterdir():
            part.rename(tmp_path / "theirs" / part.name)
        (tmp_path / "theirs" / folder).rmdir()
    import_run(tmp_path / "theirs", tmp_path / "run", [])
    run = load(tmp_path / "run")
    assert apart(run.model.network, theirs.unet.bfloat16().float(), run.shape) < 1e-5


@pytest.mark.parametrize("name", ["ddpm-cifar10", "ddpm-256"])
def test_the_networks_of_the_paper(name: str):
    """Ho et al. 2020: the config and the weights' shapes that their models have on the hub."""
    size, parameters = (32, 35_746_307) if name == "ddpm-cifar10" else (256, 113_673_219)
    with torch.device("meta"):
        net = NETWORKS[name](shape=(3, size, size), outputs=1)
        config = unet_config.config_of(net, (3, size, size), 1000)
        theirs = UNet2DModel.from_config(config)
    known = {"freq_shift": 1, "flip_sin_to_cos": False, "downsample_padding": 0, "norm_eps": 1e-6}
    known |= {"attention_head_dim": None, "norm_num_groups": 32, "layers_per_block": 2}
    wide, attends = ([128, 256, 256, 256], 1) if size == 32 else ([128, 128, 256, 256, 512, 512], 4)
    known["block_out_channels"] = wide
    assert {key: config[key] for key in known} == known
    assert [i for i, kind in enumerate(config["down_block_types"]) if kind != "DownBlock2D"] == [attends]
    ours = layers.to_theirs(net, net.state_dict())
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_defaults_are_those_of_diffusers():
    """A key that does not stand in the file means what diffusers takes it for; all others mean themselves."""
    with torch.device("meta"):
        whole = UNet2DModel(sample_size=32).config
    lists = ("block_out_channels", "down_block_types", "up_block_types")
    bare = {"sample_size": 32} | {key: list(whole[key]) for key in lists}
    node = unet_arguments.arguments_of(Config("unet", bare), 1000)
    assert node == unet_arguments.arguments_of(Config("unet", whole | bare), 1000)
    assert node[0]["attend"] == {"kind": "full", "head": 8}
    for key, value, at in (
        ("dropout", 0.3, "dropout"),
        ("norm_eps", 1e-3, "eps"),
        ("layers_per_block", 5, "blocks"),
    ):
        changed = unet_arguments.arguments_of(Config("unet", whole | bare | {key: value}), 1000)
        assert changed[0] == node[0] | {at: value}


def test_the_files(tmp_path: Path):
    """What diffusers writes of a pipeline that it has read from us is what we wrote."""
    folder = export_run(made(tmp_path, (3, 8, 8)), tmp_path / "ours")
    DDPMPipeline.from_pretrained(folder).save_pretrained(tmp_path / "theirs")
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")}
    again = tmp_path / "theirs"
    assert names == {p.relative_to(again).as_posix() for p in again.rglob("*.*")}
    for name in sorted(names):
        one, two = folder / name, again / name
        if one.suffix == ".json":
            mine = {k: v for k, v in json.loads(one.read_text()).items() if k != "_diffusers_version"}
            assert mine.items() <= json.loads(two.read_text()).items()
        else:
            mine, other = load_file(one), load_file(two)
            assert mine.keys() == other.keys()
            assert all(torch.equal(tensor, other[key]) for key, tensor in mine.items())


def test_a_pipeline_that_loads_an_export_runs(tmp_path: Path):
    run = made(tmp_path, (3, 8, 8), "grid.steps=10", "network.clock.scale=10")
    theirs = DDPMPipeline.from_pretrained(export_run(run, tmp_path / "theirs"))
    theirs.set_progress_bar_config(disable=True)
    images = theirs(2, generator=torch.Generator(), num_inference_steps=10, output_type="np").images
    assert images.shape == (2, 8, 8, 3)


def test_the_helpers_differ_where_they_should(tmp_path: Path):
    """A network that is off by one step is seen."""
    theirs = saved(tmp_path / "theirs", TWO)
    import_run(tmp_path / "theirs", tmp_path / "run", [])
    net = load(tmp_path / "run").model.network
    x = x_of((3, SMALL["sample_size"], SMALL["sample_size"]))
    with torch.no_grad():
        off = net(x, torch.full((3,), 0.502)) - theirs.unet(x, 500).sample
    assert float(off.abs().max()) > 1e-3
