"""The multi-scale network of 2015 against its formulas: convolutions of block means, a dense pathway."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, leaky_relu, softplus

from oracles import awake, bumps, normals
from undiffuse.networks.multiscale import LEAKY, DensePathway, MultiScale, MultiScaleConv


def test_one_scale_is_a_plain_convolution():
    layer, x = MultiScaleConv(2, 3, 1, nn.Softplus).double(), normals(2, 2, 5, 6)
    torch.testing.assert_close(layer(x), softplus(conv2d(x, layer.fine.weight, layer.fine.bias, padding=1)))


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (4, 9)])
def test_scales_are_convolutions_of_block_means(size):
    """Each block's mean is taken, and handed back to its pixels, one by one."""
    layer, x = MultiScaleConv(2, 3, 3, LEAKY).double(), normals(2, 2, *size)
    total = layer.fine(x)
    for block, convolution in zip((2, 4), layer.coarse, strict=True):
        rows, columns = (torch.arange(n) // block for n in size)
        means = [
            torch.stack([x[..., rows == i, :][..., columns == j].mean((2, 3)) for j in columns.unique()], -1)
            for i in rows.unique()
        ]
        total = total + convolution(torch.stack(means, -2))[..., rows, :][..., columns]
    torch.testing.assert_close(layer(x), leaky_relu(total, 0.05))


@pytest.mark.parametrize(
    ("settings", "convolved", "other", "basis"),
    [
        ({}, softplus, torch.tanh, (1.0, False)),
        ({"activation": "leaky", "bump_width": 0.5, "bump_ends": True}, LEAKY(), LEAKY(), (0.5, True)),
    ],
    ids=["paper", "reference"],
)
def test_multi_scale_is_its_formula(settings, convolved, other, basis):
    """One scale, one layer, two 1x1 layers: equations (62) and (63) on a plain convolution."""
    network = MultiScale((2, 5, 4), 2, channels=3, layers=1, scales=1, upper_channels=6, bumps=3, **settings)
    x, t, last = normals(2, 2, 5, 4), torch.tensor([0.2, 0.9]).double(), awake(network).last
    first = network.convolutions[0].fine
    h = convolved(conv2d(x, first.weight, first.bias, padding=1)).movedim(1, -1)
    for layer in (network.upper[0], network.upper[2]):
        h = other(h @ layer.weight[..., 0, 0].T + layer.bias)
    y = (h @ last.weight[..., 0, 0].T + last.bias).view(2, 5, 4, 3, 4)
    g = torch.from_numpy(bumps(t.numpy(), 3, *basis))
    expected = (y * g[:, None, None, :, None]).sum(3).movedim(-1, 1)
    torch.testing.assert_close(network(x, t), expected, rtol=1e-5, atol=1e-6)


def test_a_constant_image_has_a_constant_interior():
    network = awake(MultiScale((1, 32, 32), channels=3, layers=1))
    out = network(torch.full((1, 1, 32, 32), 1.7).double(), torch.tensor([0.5]).double())
    inside = out[..., 4:-4, 4:-4]
    torch.testing.assert_close(inside, inside[..., :1, :1].expand_as(inside))
    assert not torch.allclose(out[..., :1, :1], inside[..., :1, :1])


def slope(network, place):
    """Which pixels of a 16x16 image the output at this place depends on."""
    x = normals(1, 1, 16, 16).requires_grad_()
    return torch.autograd.grad(network(x, torch.tensor([0.5]).double())[0, 0][place], x)[0][0, 0] != 0


@pytest.mark.parametrize(("scales", "reach"), [(1, 2), (2, 4), (3, 8)])
def test_a_convolution_sees_its_neighbours_at_every_scale(scales, reach):
    seen = slope(awake(MultiScale((1, 16, 16), channels=3, layers=1, scales=scales)), (0, 0))
    assert seen[:reach, :reach].all() and not seen[reach:].any() and not seen[:, reach:].any()


@pytest.mark.parametrize("layers", [0, 1])
def test_the_dense_pathway_sees_every_pixel(layers):
    network = awake(MultiScale((1, 16, 16), channels=3, layers=layers, dense=20))
    assert slope(network, (0, 0)).all() and slope(network, (9, 15)).all()


def test_the_dense_pathway_is_its_formula():
    path, x = DensePathway((2, 3, 4), 5, 1, 2, nn.Tanh).double(), normals(2, 2, 3, 4)
    a, b = path.layers[1], path.layers[3]
    h = (x.flatten(1) @ a.weight.T + a.bias).tanh()
    expected = (h @ b.weight.T + b.bias).tanh().view(2, 2, 3, 4)
    torch.testing.assert_close(path(x), expected)


@pytest.mark.parametrize("settings", [{}, {"activation": "leaky"}, {"layers": 6, "dense": 50, "upper": 4}])
def test_signals_do_not_fade_on_their_way_up(settings):
    torch.manual_seed(0)
    network = MultiScale((3, 16, 16), **settings)
    features = network.features(normals(16, 3, 16, 16).float())
    assert 0.05 < features.std((0, 2, 3)).mean() < 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiScale((7,)), "images.*mlp"),
        (lambda: MultiScale((3, 8)), "images.*mlp"),
        (lambda: MultiScale((1, 8, 3)), "8x3 are too small for 3 scales"),
        (lambda: MultiScale((1, 8, 8), scales=0), "scales=0"),
        (lambda: MultiScale((1, 8, 8), layers=0), "layers=0, dense=0"),
        (lambda: MultiScale((1, 8, 8), layers=-1, dense=1), "layers=-1"),
        (lambda: MultiScale((1, 8, 8), upper=-1), "upper=-1"),
        (lambda: MultiScale((1, 8, 8), channels=0), "channels=0"),
        (lambda: MultiScale((1, 8, 8), upper_channels=0), "upper_channels=0"),
        (lambda: MultiScale((1, 8, 8), dense=3, dense_layers=0), "dense_layers=0"),
        (lambda: MultiScale((1, 8, 8), dense=3, dense_outputs=0), "dense_outputs=0"),
        (lambda: MultiScale((1, 8, 8), bumps=0), "count=0"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
