"""Small random pipelines of diffusers in folders, and runs of ours with random weights."""

from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from undiffuse.data import Levels, Splits
from undiffuse.recipes import Recipe, override
from undiffuse.runs import Run
from undiffuse.runs.facts import facts_of
from undiffuse.runs.loading import run_of

SMALL = {"sample_size": 8, "norm_num_groups": 8, "layers_per_block": 1}
TWO = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
THREE = {
    "block_out_channels": (32, 32, 64),
    "down_block_types": ("AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D"),
}
TINY = TWO | {"block_out_channels": (8, 16), "norm_num_groups": 4}
LAYOUTS: dict[str, dict[str, Any]] = {
    "two": TWO,
    "heads": TWO | {"attention_head_dim": 16, "freq_shift": 1, "layers_per_block": 2},
    "one head": THREE | {"attention_head_dim": None, "flip_sin_to_cos": False, "downsample_padding": 0},
    "scales": TWO | {"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 8, "norm_eps": 1e-6},
    "scales, no middle": THREE | {"resnet_time_scale_shift": "scale_shift", "add_attention": False},
    "grey, wide": THREE | {"in_channels": 1, "out_channels": 1, "sample_size": (4, 12), "dropout": 0.1},
}
STEPS = (0, 1, 250, 503, 999)  # 503/1000 is among the least exact in float32


def randomized(net: nn.Module, seed: int = 0) -> nn.Module:
    """Every weight drawn, those too that begin as zeros or ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            noise = torch.randn(p.shape, generator=generator)
            p.copy_(noise / p[0].numel() ** 0.5 if p.ndim > 1 else p + 0.1 * noise)
    return net.eval()


def saved(folder: Path, layout: dict[str, Any], scheduler: Any = None, **options: Any) -> DDPMPipeline:
    """A random pipeline, saved by diffusers."""
    torch.manual_seed(0)  # their construction draws from it
    net = randomized(UNet2DModel(**SMALL | layout))
    pipeline = DDPMPipeline(net, scheduler or DDPMScheduler(**{"clip_sample": False} | options))
    pipeline.save_pretrained(folder, safe_serialization=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def made(folder: Path, shape: tuple[int, ...], *changes: str, levels: int = 256) -> Run:
    """A run of ours with random weights, of pictures of this shape, not written to the disk."""
    node = {"data": None, "network": {"kind": "unet", "channels": 32, "multipliers": [1, 2]}}
    plan = Recipe(override(node, list(changes)))
    with torch.random.fork_rng([]):
        model = plan.denoiser(shape, levels)
    randomized(model.network)
    black = torch.zeros((1, *shape), dtype=torch.uint8)
    facts = facts_of(Splits(black, black, levels), Levels(levels))
    return run_of(folder, plan, model.requires_grad_(False), facts, 7, {})


def x_of(shape: tuple[int, ...], count: int = 3) -> Tensor:
    """Random inputs."""
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def apart(ours: nn.Module, theirs: nn.Module, shape: tuple[int, ...], steps: int = 1000) -> float:
    """The largest difference of the two networks' outputs over a few steps, where outputs are about 1."""
    x, differences = x_of(shape), []
    for i in STEPS:
        i = i * steps // 1000
        t = torch.full((len(x),), (i + 1) / steps, dtype=torch.float64).to(x)
        wanted = theirs(x, i).sample
        assert 0.1 < float(wanted.std()) < 10
        differences.append(float((ours(x, t) - wanted).abs().max()))
    return max(differences)
