"""The config.json of a diffusers UNet2DModel as the arguments of a `UNet`; the inverse of `unet_config`."""

from typing import Any

from undiffuse.interop.config import Config
from undiffuse.interop.unet_config import DOWN, TIME

BOUNDS = {"levels": 10, "width": 8192, "blocks": 32, "size": 8192, "groups": 1024, "channels": 1024}


def arguments_of(config: Config, steps: int) -> tuple[dict[str, Any], tuple[int, int, int], int]:
    """The recipe's node of this U-Net on a chain of T = `steps`, its shape (C, H, W), outputs per channel.

    Raises ValueError naming the key that has no counterpart.
    """
    _fixed(config)
    widths = config.wholes("block_out_channels", 1, BOUNDS["width"], BOUNDS["levels"])
    if any(width % widths[0] for width in widths):
        raise config.refused("block_out_channels", widths, "widths that the first one divides are read")
    if config.take("time_embedding_dim") not in (None, 4 * widths[0]):
        raise ValueError(f"{config.name}: time_embedding_dim: only 4 times the first width is read")
    shape, outputs = _images(config, len(widths))
    scales = config.only("resnet_time_scale_shift", tuple(TIME.values()), "default") == "scale_shift"
    groups, middle = (
        config.whole("norm_num_groups", 1, BOUNDS["groups"], 32),
        config.flag("add_attention", True),
    )
    _middle_norm(config, groups, scales, middle)
    node = {
        "kind": "unet",
        "channels": widths[0],
        "multipliers": [width // widths[0] for width in widths],
        "blocks": config.whole("layers_per_block", 1, BOUNDS["blocks"], 2),
        "attention": (attention := _attention(config, len(widths))),
        "middle_attention": middle,
        "dropout": config.number("dropout", 0, 0.999, 0.0),
        "block": {"kind": "resnet", "time": "scale-shift" if scales else "shift"},
        "attend": _attend(config, [widths[i] for i in attention] + widths[-1:] * middle),
        "down": {v: k for k, v in DOWN.items()}[config.only("downsample_padding", tuple(DOWN.values()), 1)],
        "groups": groups,
        "eps": config.number("norm_eps", 0, 1, 1e-5),
        "clock": {
            "scale": float(steps),
            "offset": -1.0,
            "shift": config.number("freq_shift", 0, 1, 0),
            "cosine_first": config.flag("flip_sin_to_cos", True),
        },
    }
    config.done()
    return node, shape, outputs


def _fixed(config: Config) -> None:
    """Keys that have one meaning here."""
    config.only("center_input_sample", (False,), False, "inputs are in [-1, 1] already")
    config.only("time_embedding_type", ("positional",), "positional")
    config.only("mid_block_type", ("UNetMidBlock2D",), "UNetMidBlock2D")
    config.only("mid_block_scale_factor", (1, 1.0), 1)
    config.only("downsample_type", ("conv",), "conv")
    config.only("upsample_type", ("conv",), "conv")
    config.only("act_fn", ("silu", "swish"), "silu")
    for key in ("class_embed_type", "num_class_embeds"):
        config.only(key, (None,), None, "networks that are told a class are not read")
    config.take("num_train_timesteps")  # of learned time embeddings, which were refused above


def _images(config: Config, levels: int) -> tuple[tuple[int, int, int], int]:
    """(C, H, W) and the outputs per channel."""
    size = config.take("sample_size")
    height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
    divisor = 2 ** (levels - 1)
    for side in (height, width):
        if type(side) is not int or not 1 <= side <= BOUNDS["size"] or side % divisor:
            raise config.refused(
                "sample_size", size, f"a multiple of {divisor} is needed, for {levels} levels"
            )
    channels = config.whole("in_channels", 1, BOUNDS["channels"], 3)
    out = config.whole("out_channels", 1, 2 * BOUNDS["channels"], 3)
    if out not in (channels, 2 * channels):
        raise config.refused("out_channels", out, f"{channels} or, with a learned variance, {2 * channels}")
    return (channels, height, width), out // channels


def _attention(config: Config, levels: int) -> list[int]:
    """The levels with attention, which must be the same down and up."""
    down, up = config.several("down_block_types", levels), config.several("up_block_types", levels)
    for key, kinds, known in (("down_block_types", down, "DownBlock2D"), ("up_block_types", up, "UpBlock2D")):
        for kind in kinds:
            if kind not in (known, f"Attn{known}"):
                raise config.refused(key, kind, f"only {known} and Attn{known} are read")
        if len(kinds) != levels:
            raise config.refused(key, kinds, f"one of {levels} levels each is needed")
    attends = [kind == "AttnDownBlock2D" for kind in down]
    if attends != [kind == "AttnUpBlock2D" for kind in reversed(up)]:
        raise config.refused("up_block_types", up, "attention must be on the same levels as on the way down")
    return [i for i, attend in enumerate(attends) if attend]


def _attend(config: Config, widths: list[int]) -> dict[str, Any]:
    """Heads of so many channels, in layers of these widths."""
    head = config.take("attention_head_dim", 8)
    if head is not None and (type(head) is not int or head < 1 or any(width % head for width in widths)):
        raise config.refused(
            "attention_head_dim", head, f"a divisor of {sorted(set(widths))} or null is needed"
        )
    return {"kind": "full", "head": head}


def _middle_norm(config: Config, groups: int, scales: bool, middle: bool) -> None:
    """The norm of the attention in the middle, which there may be missing."""
    own = config.take("attn_norm_num_groups")
    if middle and (own != groups if scales or own is not None else False):
        why = f"attention in the middle has a norm of norm_num_groups={groups} here"
        raise config.refused("attn_norm_num_groups", own, why)
