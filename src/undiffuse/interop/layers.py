"""The layers of a `UNet` under the names that diffusers gives those of a UNet2DModel, and the weights.

| here                                | there                                               |
|-------------------------------------|-----------------------------------------------------|
| down.K.block, up.K.block            | down_blocks.I.resnets.J, up_blocks.I.resnets.J      |
| down.K (halving), up.K (doubling)   | down_blocks.I.downsamplers.0, ...upsamplers.0       |
| ....attention.qkv (3C, C, 1, 1)     | ....attentions.J.to_q, to_k, to_v, each (C, C)      |
| middle.K                            | mid_block.resnets.K, mid_block.attentions.0         |
"""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from undiffuse.networks.unet import Stage, UNet

BLOCK = {
    "norm_1": "norm1",
    "conv_1": "conv1",
    "time": "time_emb_proj",
    "norm_2": "norm2",
    "conv_2": "conv2",
    "skip": "conv_shortcut",
}
ATTENTION = {"norm": "group_norm", "qkv": "to_qkv", "out": "to_out.0"}
OLDER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def layers(net: UNet) -> Iterator[tuple[str, str]]:
    """(ours, theirs) of every layer that has weights; `to_qkv` stands for three of theirs."""
    yield "embed.dense.0", "time_embedding.linear_1"
    yield "embed.dense.2", "time_embedding.linear_2"
    yield "first", "conv_in"
    yield from _way(net.down, "down")
    for i, part in enumerate(net.middle):
        yield from _stage(part, f"middle.{i}", "mid_block", i)
    yield from _way(net.up, "up")
    yield "norm", "conv_norm_out"
    yield "last", "conv_out"


def to_theirs(net: UNet, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of `net` under their names and in their shapes; meta tensors give the shapes alone."""
    out: dict[str, Tensor] = {}
    for mine, other in layers(net):
        for leaf in ("weight", "bias"):
            tensor = tensors[f"{mine}.{leaf}"]
            for name, part in zip(_split(other), tensor.chunk(len(_split(other))), strict=True):
                out[f"{name}.{leaf}"] = part.flatten(1) if part.ndim == 4 and ".to_" in name else part
    return out


def to_ours(net: UNet, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `to_theirs`; `net` may be on the meta device."""
    shapes = net.state_dict()
    out: dict[str, Tensor] = {}
    for mine, other in layers(net):
        for leaf in ("weight", "bias"):
            parts = [tensors[f"{name}.{leaf}"] for name in _split(other)]
            out[f"{mine}.{leaf}"] = torch.cat(parts).reshape(shapes[f"{mine}.{leaf}"].shape)
    return out


def renamed(name: str) -> str:
    """The present name of a weight: files from before diffusers 0.15 have others for attention."""
    stem, _, leaf = name.rpartition(".")
    before, _, last = stem.rpartition(".")
    return f"{before}.{OLDER[last]}.{leaf}" if ".attentions." in name and last in OLDER else name


def counted(net: UNet, weight: Tensor) -> Tensor:
    """The first dense layer's weights for a net whose steps are numbered from 0.

    Ours sees sin((i + d) f) and cos((i + d) f), d = offset + 1, which are sin(i f) and cos(i f) turned by
    the angle d f: the turn goes into the weights (width, features). d = 0 leaves them as they are.
    """
    clock = net.embed.clock
    if clock.offset == -1:
        return weight
    angle = (clock.offset + 1) * net.embed.frequencies.double()
    sin, cos = weight.double().chunk(2, 1)[:: -1 if clock.cosine_first else 1]
    turned = [sin * angle.cos() - cos * angle.sin(), sin * angle.sin() + cos * angle.cos()]
    return torch.cat(turned[:: -1 if clock.cosine_first else 1], 1).to(weight.dtype)


def _way(parts: Iterable[nn.Module], way: str) -> Iterator[tuple[str, str]]:
    """The layers of the way down, or up."""
    level = place = 0
    for i, part in enumerate(parts):
        if isinstance(part, Stage):
            yield from _stage(part, f"{way}.{i}", f"{way}_blocks.{level}", place)
            place += 1
        else:
            conv = next(name for name, layer in part.named_modules() if isinstance(layer, nn.Conv2d))
            mine = f"{way}.{i}.{conv}" if conv else f"{way}.{i}"
            yield mine, f"{way}_blocks.{level}.{way}samplers.0.conv"
            level, place = level + 1, 0


def _stage(part: nn.Module, mine: str, other: str, place: int) -> Iterator[tuple[str, str]]:
    """The layers of a block and its attention."""
    assert isinstance(part, Stage)
    for name, there in BLOCK.items():
        if not isinstance(getattr(part.block, name), nn.Identity):
            yield f"{mine}.block.{name}", f"{other}.resnets.{place}.{there}"
    if part.attention is not None:
        for name, there in ATTENTION.items():
            yield f"{mine}.attention.{name}", f"{other}.attentions.{place}.{there}"


def _split(name: str) -> list[str]:
    """The layers that one of ours is there."""
    return [name[:-3] + letter for letter in "qkv"] if name.endswith("to_qkv") else [name]
