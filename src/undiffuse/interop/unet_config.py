"""A `UNet` as the config.json of a diffusers UNet2DModel; what that cannot say is refused by name.

Both are the network of Ho et al. 2020. Theirs has one number of norm groups, sizes that the levels divide,
and steps numbered from 0; `layers.counted` turns a net that counts from elsewhere.
"""

from typing import Any

from torch import nn

from undiffuse.networks.attention import Attention
from undiffuse.networks.blocks import ResNetBlock
from undiffuse.networks.unet import Stage, UNet

TIME = {"shift": "default", "scale-shift": "scale_shift"}
DOWN = {"strided": 1, "corner": 0}


def config_of(net: nn.Module, shape: tuple[int, ...], steps: int) -> dict[str, Any]:
    """Config of the U-Net for images `shape` (C, H, W) on a chain of T = `steps`. Raises ValueError."""
    if type(net) is not UNet:
        raise _no(
            f"network {type(net).__name__}", "only the U-Net (kind unet, ddpm-cifar10, ddpm-256) is one"
        )
    levels = _levels(net)
    _check(net, shape, steps)
    widths = [_block(stages[-1]).conv_1.out_channels for stages in levels]
    attends = [stages[0].attention is not None for stages in levels]
    scales = _block(levels[0][0]).scales
    clock, head, groups = net.embed.clock, _head(net), _groups(net)
    if net.embed.dense[0].in_features != widths[0]:
        raise _no("multipliers", "the first of them must be 1")
    return {
        "_class_name": "UNet2DModel",
        "sample_size": shape[1] if shape[1] == shape[2] else list(shape[1:]),
        "in_channels": shape[0],
        "out_channels": net.last.out_channels,
        "center_input_sample": False,
        "time_embedding_type": "positional",
        "freq_shift": int(clock.shift) if clock.shift == int(clock.shift) else clock.shift,
        "flip_sin_to_cos": clock.cosine_first,
        "down_block_types": ["AttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        "up_block_types": ["AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)],
        "block_out_channels": widths,
        "layers_per_block": len(levels[0]),
        "mid_block_scale_factor": 1,
        "downsample_padding": _padding(net),
        "downsample_type": "conv",
        "upsample_type": "conv",
        "dropout": _block(levels[0][0]).dropout.p,
        "act_fn": "silu",
        "attention_head_dim": head,
        "norm_num_groups": groups,
        "attn_norm_num_groups": groups if scales else None,
        "norm_eps": net.norm.eps,
        "resnet_time_scale_shift": TIME["scale-shift" if scales else "shift"],
        "add_attention": net.middle[0].attention is not None,
        "class_embed_type": None,
        "num_class_embeds": None,
    }


def check_groups(net: nn.Module, groups: int) -> None:
    """Raise ValueError if a width of the built net is not divided into this many groups."""
    if _found(net) != {groups}:
        raise ValueError(f"unet: norm_num_groups={groups}: does not divide every width of the net")


def _check(net: UNet, shape: tuple[int, ...], steps: int) -> None:
    """What a UNet can be and theirs cannot."""
    if net.patch != 1:
        raise _no(f"patch={net.patch}", "train with network.patch=1")
    if net.conditions:
        raise _no("condition", "only networks without go there")
    if any(side % net.factor for side in shape[1:]):
        raise _no(
            f"images of {shape[1]}x{shape[2]}", f"sizes must be multiples of {net.factor}, the net pads them"
        )
    if net.embed.clock.scale != steps:
        scale = net.embed.clock.scale
        raise _no(f"clock.scale={scale:g} on {steps} steps", f"train with network.clock.scale={steps}")


def _levels(net: UNet) -> list[list[Stage]]:
    """The stages of every level on the way down."""
    levels: list[list[Stage]] = [[]]
    for part in net.down:
        if isinstance(part, Stage):
            _block(part)
            levels[-1].append(part)
        else:
            levels.append([])
    return levels


def _block(stage: Stage) -> ResNetBlock:
    if type(stage.block) is not ResNetBlock:
        raise _no(f"block {type(stage.block).__name__}", "train with network.block.kind=resnet")
    return stage.block


def _groups(net: nn.Module) -> int:
    """The one number of norm groups."""
    found = _found(net)
    if len(found) != 1:
        raise _no(
            f"norm groups {sorted(found)}", "there one number must divide all widths: choose such groups"
        )
    return found.pop()


def _found(net: nn.Module) -> set[int]:
    return {layer.num_groups for layer in net.modules() if isinstance(layer, nn.GroupNorm)}


def _head(net: UNet) -> int | None:
    """Channels of a head; None for one head of all channels."""
    found = [stage.attention for stage in net.modules() if isinstance(stage, Stage) and stage.attention]
    for layer in found:
        if not isinstance(layer, Attention):
            raise _no(f"attention {type(layer).__name__}", "train with network.attend.kind=full")
        if layer.heads * layer.head != layer.out.out_channels:
            raise _no(f"{layer.heads} heads of {layer.head}", "heads must make up all channels")
    heads = {layer.head for layer in found if isinstance(layer, Attention)}
    if all(isinstance(layer, Attention) and layer.heads == 1 for layer in found):
        return None
    if len(heads) != 1:
        raise _no(f"heads of {sorted(heads)} channels", "there all heads are of one size")
    return heads.pop()


def _padding(net: UNet) -> int:
    """Of the convolutions that halve."""
    for part in net.down:
        if isinstance(part, nn.Sequential) and not isinstance(part[0], nn.ZeroPad2d):
            raise _no("down=pooled or folded", "train with network.down=strided or corner")
    return DOWN["corner" if any(isinstance(part, nn.Sequential) for part in net.down) else "strided"]


def _no(what: str, remedy: str) -> ValueError:
    return ValueError(f"{what}: diffusers has no counterpart; {remedy}")
