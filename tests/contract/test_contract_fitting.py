"""Sizes of networks that a recipe leaves open: chosen by the data, and never against their order."""

import pytest
import torch
from torch import nn

from undiffuse.networks import UNet
from undiffuse.networks.fitting import fitting_channels, fitting_multipliers, fitting_width


@pytest.mark.parametrize(
    ("shape", "examples", "channels", "levels", "dropout"),
    [
        ((1, 24, 24), 100, 16, 2, 0.2),
        ((3, 32, 32), 5_000, 32, 3, 0.1),
        ((3, 64, 64), 100_000, 64, 4, 0.0),
        ((1, 5, 7), 3, 16, 1, 0.2),
    ],
)
def test_what_is_left_open_is_chosen_by_the_data(shape, examples, channels, levels, dropout):
    net = UNet(shape, channels=None, multipliers=None, dropout=None, examples=examples)
    assert net.first.out_channels == channels
    assert net.factor == 2 ** (levels - 1)
    assert {drop.p for drop in net.modules() if isinstance(drop, nn.Dropout)} == {dropout}
    assert net(torch.zeros(1, *shape), torch.ones(1)).shape == (1, *shape)


def test_more_examples_and_larger_images_never_make_a_narrower_network():
    sizes = [10**k for k in range(1, 8)]
    for chosen in (fitting_width, fitting_channels):
        assert [chosen(n, 300) for n in sizes] == sorted(chosen(n, 300) for n in sizes)
        assert [chosen(300, n) for n in sizes] == sorted(chosen(300, n) for n in sizes)
    depths = [len(fitting_multipliers(side)) for side in range(2, 600)]
    assert depths == sorted(depths) and max(depths) == 5
    assert all(side // 2 ** (depth - 1) >= 2 for side, depth in zip(range(2, 600), depths, strict=True))
