"""Laws of networks: any shape in, the same shape out, one row at a time, aware of time."""

import pytest
import torch
from examples import NETWORKS, each
from torch import nn

from undiffuse.networks import MLP, UNet
from undiffuse.networks.attention import Attention
from undiffuse.networks.blocks import ResNetBlock
from undiffuse.networks.embed import TimeEmbedding
from undiffuse.networks.layers import group_norm

EVERY = pytest.mark.parametrize("make", **each(NETWORKS))
VECTORS, IMAGES = [(1,), (2,), (7,)], [(1, 8, 8), (3, 5, 9), (2, 7, 4), (5, 4, 13), (4, 6, 6)]
TIME = torch.tensor([0.1, 0.9])


def shapes(make):
    """The shapes this network takes."""
    return [s for s in VECTORS + IMAGES if builds(make, s)]


def builds(make, shape):
    try:
        make(shape)
    except ValueError:
        return False
    return True


def awake(network: nn.Module, seed: int = 0) -> nn.Module:
    """With every zero-initialised weight replaced, so that all parts show."""
    g = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        if not weight.any():
            weight.data = 0.2 * torch.randn(weight.shape, generator=g, dtype=weight.dtype)
    return network.eval()


def inputs(shape, rows=2, dtype=torch.float32):
    return torch.randn(rows, *shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@EVERY
def test_shapes(make):
    torch.manual_seed(0)
    assert set(IMAGES) <= set(shapes(make))
    for shape in shapes(make):
        for outputs in (1, 2):
            out = awake(make(shape, outputs))(inputs(shape), TIME)
            assert out.shape == (2, outputs * shape[0], *shape[1:])
            assert out.dtype == torch.float32 and out.isfinite().all() and out.any()


@EVERY
def test_the_output_starts_at_zero(make):
    for shape in shapes(make):
        assert not make(shape)(inputs(shape), TIME).any()


@EVERY
def test_every_weight_has_a_finite_gradient(make):
    torch.manual_seed(0)
    network = awake(make((2, 7, 9), 2)).train()
    network(inputs((2, 7, 9)), TIME).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name
        assert weight.grad.any(), f"{name} has no influence"


@EVERY
def test_a_row_does_not_depend_on_the_others(make):
    torch.manual_seed(0)
    network = awake(make((2, 6, 5)).double())
    x, t = inputs((2, 6, 5), 4, torch.float64), torch.tensor([0.1, 0.4, 0.6, 1.0]).double()
    together = network(x, t)
    for i in range(4):
        torch.testing.assert_close(network(x[i : i + 1], t[i : i + 1])[0], together[i])
    changed = x.clone()
    changed[1:] += 5
    torch.testing.assert_close(network(changed, t)[0], together[0])


@EVERY
def test_every_output_sees_its_own_input(make):
    torch.manual_seed(0)
    network = awake(make((2, 5, 7)).double())
    x = inputs((2, 5, 7), 1, torch.float64).requires_grad_()
    out = network(x, TIME[:1].double())
    for place in [(0, 0, 0, 0), (0, 1, 4, 6), (0, 0, 2, 3)]:
        (slope,) = torch.autograd.grad(out[place], x, retain_graph=True)
        assert slope[place] != 0


@EVERY
def test_time_matters(make):
    torch.manual_seed(0)
    network = awake(make((1, 8, 8)))
    x = inputs((1, 8, 8), 1).expand(3, -1, -1, -1)
    a, b, c = network(x, torch.tensor([0.2, 0.201, 0.9]))
    assert (a - b).abs().max() > 1e-5 and (a - c).abs().max() > 1e-3


@EVERY
def test_it_learns_to_tell_the_time(make):
    """A few steps of training on output = sign(t - 1/2), whatever x is."""
    torch.manual_seed(0)
    network = make((1, 4, 4))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    x, t = inputs((1, 4, 4), 62), torch.arange(16, 1001, 16) / 1000
    wanted = (t - 0.5).sign().view(-1, 1, 1, 1).expand_as(x)
    losses = []
    for _ in range(40):
        loss = (network(x, t) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(1) and losses[-1] < 0.7


@pytest.mark.parametrize("shape", [(3, 9, 6), (1, 5, 5)])
def test_a_padded_image_is_the_image_continued(shape):
    """A size that the levels do not divide: the same as padding outside and cropping."""
    torch.manual_seed(0)
    network, x = awake(UNet(shape, channels=8, multipliers=(1, 1, 1))), inputs(shape)
    down, right = -shape[1] % 4, -shape[2] % 4
    padded = nn.functional.pad(x, (0, right, 0, down), mode="replicate")
    expected = network(padded, TIME)[..., : shape[1], : shape[2]]
    torch.testing.assert_close(network(x, TIME), expected)


def test_time_embedding_is_sines_and_cosines_of_1000_t():
    embed = TimeEmbedding(8).double()
    embed.dense = nn.Identity()
    t = torch.tensor([0.0, 0.25, 1.0]).double()
    out = embed(t)
    frequency = 10_000.0 ** (-torch.arange(4).double() / 3)
    torch.testing.assert_close(out[:, :4], torch.sin(1000 * t[:, None] * frequency), rtol=0, atol=1e-4)
    torch.testing.assert_close(out[:, 4:], torch.cos(1000 * t[:, None] * frequency), rtol=0, atol=1e-4)


def test_attention_is_the_weighted_mean_over_all_pixels():
    torch.manual_seed(0)
    layer = awake(Attention(64).double())
    x = inputs((64, 3, 2), 1, torch.float64)
    q, k, v = layer.qkv(layer.norm(x)).view(3, 2, 32, 6)  # two heads of 32, six pixels
    weights = (q.transpose(1, 2) @ k / 32**0.5).softmax(-1)
    seen = (weights @ v.transpose(1, 2)).transpose(1, 2).reshape(1, 64, 3, 2)
    torch.testing.assert_close(layer(x), x + layer.out(seen))
    assert torch.equal(Attention(8)(x[:, :8].float()), x[:, :8].float())


@pytest.mark.parametrize("channels", [(4, 4), (4, 6)])
def test_a_block_starts_as_its_skip(channels):
    block, x = ResNetBlock(*channels, embedding=5), inputs((4, 3, 3))
    skip = block.skip or nn.Identity()
    torch.testing.assert_close(block(x, torch.ones(2, 5)), skip(x))


def test_time_scales_and_shifts_a_block():
    torch.manual_seed(0)
    block, x, embedding = awake(ResNetBlock(4, 4, embedding=5)), inputs((4, 3, 3)), torch.randn(2, 5)
    scale, shift = block.time(embedding)[:, :, None, None].chunk(2, 1)
    h = block.norm_2(block.conv_1(nn.functional.silu(block.norm_1(x)))) * (1 + scale) + shift
    torch.testing.assert_close(block(x, embedding), x + block.conv_2(nn.functional.silu(h)))


def test_groups_divide_the_channels():
    groups = [group_norm(channels).num_groups for channels in (1, 6, 8, 12, 20, 64, 7)]
    assert groups == [1, 6, 8, 6, 5, 8, 7]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP((2,), hidden=0), "hidden=0"),
        (lambda: MLP((2,), layers=0), "layers=0"),
        (lambda: UNet((7,)), "mlp"),
        (lambda: UNet((3, 8)), "images"),
        (lambda: UNet((1, 8, 8), channels=0), "channels=0"),
        (lambda: UNet((1, 8, 8), blocks=0), "blocks=0"),
        (lambda: UNet((1, 8, 8), multipliers=()), "multipliers"),
        (lambda: UNet((1, 8, 8), multipliers=(1, 0)), "multipliers"),
        (lambda: UNet((1, 8, 8), attention=(3,)), "attention"),
        (lambda: UNet((1, 8, 2), multipliers=(1, 1, 1)), "too small"),
        (lambda: TimeEmbedding(7), "even"),
        (lambda: TimeEmbedding(2), "even"),
        (lambda: Attention(97), "heads"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_dropout_acts_in_training_alone():
    torch.manual_seed(0)
    network, x = awake(UNet((1, 4, 4), channels=8, multipliers=(1,), dropout=0.5)), inputs((1, 4, 4))
    assert torch.equal(network(x, TIME), network(x, TIME))
    network.train()
    assert not torch.equal(network(x, TIME), network(x, TIME))
