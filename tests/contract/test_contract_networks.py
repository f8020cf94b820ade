"""Laws of networks: any shape in, the same shape out, one row at a time, aware of time."""

import pytest
import torch
from examples import NETWORKS, each
from torch import nn

from undiffuse.conditions import Classes
from undiffuse.networks import ATTENTIONS, BLOCKS, MLP, AnnotatedUNet, UNet, ddpm_256, ddpm_cifar10
from undiffuse.networks.attention import Full, Linear
from undiffuse.networks.blocks import ConvNeXT, ResNet
from undiffuse.networks.embed import Clock, TimeEmbedding
from undiffuse.networks.layers import StandardizedConv2d, group_norm
from undiffuse.networks.resample import Up, halved

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


@pytest.mark.slow
@EVERY
def test_it_learns_to_tell_the_time(make):
    """A few steps of training on output = sign(t - 1/2), whatever x is."""
    torch.manual_seed(0)
    network = make((1, 4, 4))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    x, t = inputs((1, 4, 4), 31), torch.arange(32, 1001, 32) / 1000
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


def test_a_clock_says_which_angles():
    chain = TimeEmbedding(8, clock=Clock(scale=200, offset=-1, shift=0, cosine_first=True)).double()
    chain.dense = nn.Identity()
    step, frequency = torch.arange(200).double(), 10_000.0 ** (-torch.arange(4).double() / 4)
    angles = step[:, None] * frequency
    expected = torch.cat([angles.cos(), angles.sin()], 1)
    torch.testing.assert_close(chain((step + 1) / 200), expected, rtol=0, atol=1e-4)


def attention_by_hand(layer, x, heads, head):
    """q, k, v (heads, head, pixels) of one image."""
    return layer.qkv(layer.norm(x)).view(3, heads, head, -1)


@pytest.mark.parametrize(
    ("attend", "heads", "head"), [(Full(), 2, 32), (Full(None), 1, 64), (Full(8, 3), 3, 8)]
)
def test_attention_is_the_weighted_mean_over_all_pixels(attend, heads, head):
    torch.manual_seed(0)
    layer, x = awake(attend(64, group_norm).double()), inputs((64, 3, 2), 1, torch.float64)
    q, k, v = attention_by_hand(layer, x, heads, head)
    weights = (q.transpose(1, 2) @ k / head**0.5).softmax(-1)
    seen = (weights @ v.transpose(1, 2)).transpose(1, 2).reshape(1, -1, 3, 2)
    torch.testing.assert_close(layer(x), x + layer.out(seen))


def test_linear_attention_reads_one_summary():
    torch.manual_seed(0)
    layer, x = awake(Linear(3, 5)(12, group_norm).double()), inputs((12, 3, 2), 1, torch.float64)
    q, k, v = attention_by_hand(layer, x, 3, 5)
    seen = torch.zeros(3, 5, 6).double()
    for h in range(3):
        of_pixel = torch.softmax(k[h], 1)  # over the pixels
        for n in range(6):
            share = torch.softmax(q[h, :, n], 0) / 5**0.5
            seen[h, :, n] = sum(share[d] * (of_pixel[d] * v[h]).sum(1) for d in range(5))
    torch.testing.assert_close(layer(x), x + layer.last(layer.out(seen.reshape(1, 15, 3, 2))))


@pytest.mark.parametrize("name", list(ATTENTIONS))
def test_attention_starts_as_the_identity(name):
    x = inputs((8, 3, 3))
    torch.testing.assert_close(ATTENTIONS[name]()(8, group_norm)(x), x)


def block_of(kind, *channels, **keys):
    return kind(**keys)(*channels, embedding=5, dropout=0.0, norm=group_norm)


@pytest.mark.parametrize("channels", [(4, 4), (4, 6)])
@pytest.mark.parametrize("name", [name for name in BLOCKS if name != "standardized"])
def test_a_block_starts_as_its_skip(name, channels):
    block, x = block_of(BLOCKS[name], *channels), inputs((4, 3, 3))
    torch.testing.assert_close(block(x, torch.ones(2, 5)), block.skip(x))


@pytest.mark.parametrize("time", ["shift", "scale-shift"])
def test_time_scales_and_shifts_a_block(time):
    torch.manual_seed(0)
    block, x, embedding = awake(block_of(ResNet, 4, 4, time=time)), inputs((4, 3, 3)), torch.randn(2, 5)
    h, features = block.conv_1(nn.functional.silu(block.norm_1(x))), block.time(embedding)[:, :, None, None]
    if time == "shift":
        h = block.norm_2(h + features)
    else:
        h = block.norm_2(h) * (1 + features[:, :4]) + features[:, 4:]
    torch.testing.assert_close(block(x, embedding), x + block.conv_2(nn.functional.silu(h)))


def test_convnext_by_hand():
    torch.manual_seed(0)
    block, x = awake(block_of(ConvNeXT, 4, 6, expansion=3, kernel=1)), inputs((4, 9, 8))
    embedding = torch.randn(2, 5)
    deep = torch.stack(
        [
            nn.functional.conv2d(x[:, c : c + 1], block.depthwise.weight[c : c + 1], padding=3)[:, 0]
            for c in range(4)
        ],
        1,
    )
    h = deep + (block.depthwise.bias + block.time(embedding))[:, :, None, None]
    h = (h - h.mean((1, 2, 3), keepdim=True)) / (h.var((1, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    h = block.wide(h * block.norm_1.weight[:, None, None] + block.norm_1.bias[:, None, None])
    assert h.shape[1] == 18
    h = block.narrow(block.norm_2(nn.functional.gelu(h)))
    torch.testing.assert_close(block(x, embedding), block.skip(x) + h, rtol=1e-4, atol=1e-4)


def test_standardised_filters_have_mean_0_and_variance_1():
    conv, x = StandardizedConv2d(3, 4, 3, padding=1), inputs((3, 5, 5))
    w = conv.weight.flatten(1)
    w = (w - w.mean(1, keepdim=True)) / (w.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    expected = nn.functional.conv2d(x, w.view_as(conv.weight), conv.bias, padding=1)
    torch.testing.assert_close(conv(x), expected)


def test_four_ways_to_halve():
    torch.manual_seed(0)
    x = inputs((2, 6, 4))
    strided, corner, pooled, folded = (
        halved(kind, 2, 5) for kind in ("strided", "corner", "pooled", "folded")
    )
    for layer in (strided, corner, pooled, folded):
        assert layer(x).shape == (2, 5, 3, 2)
    for left, kernel in ((1, strided), (0, corner[1])):  # the first pixel's window starts at -left
        window = nn.functional.pad(x, (left, 1, left, 1))[:, :, :3, :3]
        expected = (kernel.weight * window[:, None]).sum((2, 3, 4)) + kernel.bias
        torch.testing.assert_close((strided if left else corner)(x)[:, :, 0, 0], expected)
    means = x.view(2, 2, 3, 2, 2, 2).mean((3, 5))
    torch.testing.assert_close(pooled(x), pooled[1](means))
    patch = x[:, :, 2:4, 2:4].reshape(2, 8)  # channels, then rows, then columns
    torch.testing.assert_close(folded(x)[:, :, 1, 1], patch @ folded[1].weight.view(5, 8).T + folded[1].bias)


def test_doubling_repeats_pixels():
    up, x = Up(2, 3), inputs((2, 3, 2))
    torch.testing.assert_close(up(x), up.conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3)))


def test_a_patch_net_is_a_net_of_patches():
    """The same function as a net without patches on images whose channels are the patches."""
    torch.manual_seed(0)
    network = awake(UNet((1, 8, 8), channels=8, multipliers=(1, 2), patch=2))
    plain = UNet((4, 4, 4), channels=8, multipliers=(1, 2))
    plain.load_state_dict(network.state_dict())
    x = inputs((1, 8, 8))
    folded = torch.stack([x[:, 0, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1)
    out = plain.eval()(folded, TIME)
    for k, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        torch.testing.assert_close(network(x, TIME)[:, 0, i::2, j::2], out[:, k])


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_the_papers_networks_have_the_papers_sizes():
    with torch.device("meta"):
        assert parameters(ddpm_cifar10((3, 32, 32))) == 35_746_307
        assert parameters(ddpm_256((3, 256, 256))) == 113_673_219
        assert parameters(AnnotatedUNet((1, 28, 28))) == 2_020_641


def test_labels_are_added_to_time_and_none_is_one_of_them():
    torch.manual_seed(0)
    network, x = (
        awake(UNet((1, 4, 4), channels=8, multipliers=(1,), conditions={"kind": Classes(3)})),
        inputs((1, 4, 4)),
    )
    outs = [network(x, TIME, torch.full((2,), label)) for label in (-1, 0, 2)]
    assert all((a - b).abs().max() > 1e-4 for a, b in ((outs[0], outs[1]), (outs[1], outs[2])))
    assert torch.equal(network(x, TIME), outs[0])
    mixed = network(x, TIME, torch.tensor([-1, 2]))
    torch.testing.assert_close(mixed, torch.stack([outs[0][0], outs[2][1]]))
    plain = UNet((1, 4, 4), channels=8, multipliers=(1,)).eval()
    plain.load_state_dict({name: w for name, w in network.state_dict().items() if "given" not in name})
    for weight in network.given.parameters():
        weight.data.zero_()
    torch.testing.assert_close(network(x, TIME, torch.tensor([-1, 2])), plain(x, TIME))


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
        (lambda: Full()(97, group_norm), "heads"),
        (lambda: UNet((1, 8, 8), patch=4), "smaller patch"),
        (lambda: UNet((1, 8, 8), patch=0), "patch=0"),
        (lambda: UNet((1, 8, 8), conditions={"a.b": Classes(2)}), "condition 'a.b'"),
        (lambda: AnnotatedUNet((7,)), "mlp"),
        (lambda: AnnotatedUNet((1, 3, 8)), "too small"),
        (lambda: ConvNeXT(expansion=0), "expansion=0"),
        (lambda: ConvNeXT(kernel=2), "odd"),
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
