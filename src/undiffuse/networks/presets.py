"""Networks of the papers, by name."""

from undiffuse.conditions import Conditions
from undiffuse.networks.attention import Full
from undiffuse.networks.blocks import ResNet
from undiffuse.networks.embed import Clock
from undiffuse.networks.unet import UNet


def ddpm_cifar10(
    shape: tuple[int, ...],
    channels: int = 128,
    dropout: float = 0.1,
    outputs: int = 1,
    conditions: Conditions | None = None,
) -> UNet:
    """Ho et al. 2020 for 32x32 pixels, 35.7 million parameters with 128 channels: attention at 16x16."""
    return _ddpm(shape, channels, (1, 2, 2, 2), (1,), dropout, outputs, conditions)


def ddpm_256(
    shape: tuple[int, ...],
    channels: int = 128,
    dropout: float = 0.0,
    outputs: int = 1,
    conditions: Conditions | None = None,
) -> UNet:
    """Ho et al. 2020 for 256x256 pixels, 114 million parameters with 128 channels: attention at 16x16."""
    return _ddpm(shape, channels, (1, 1, 2, 2, 4, 4), (4,), dropout, outputs, conditions)


def _ddpm(
    shape: tuple[int, ...],
    channels: int,
    multipliers: tuple[int, ...],
    attention: tuple[int, ...],
    dropout: float,
    outputs: int,
    conditions: Conditions | None,
) -> UNet:
    """Two blocks a level, one head, 32 groups, time by shifts, steps numbered from 0 to 999."""
    return UNet(
        shape,
        channels=channels,
        multipliers=multipliers,
        blocks=2,
        attention=attention,
        dropout=dropout,
        block=ResNet(time="shift"),
        attend=Full(head=None),
        down="corner",
        groups=32,
        eps=1e-6,
        clock=Clock(scale=1000, offset=-1),
        outputs=outputs,
        conditions=conditions,
    )
