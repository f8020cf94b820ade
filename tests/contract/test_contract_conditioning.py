"""Laws of networks that take conditions: each is used, what is not told is not, rows are apart."""

import math

import pytest
import torch
from test_contract_networks import awake, inputs

from undiffuse.conditions import Classes, Image, Series, Vector, none
from undiffuse.model import Denoiser
from undiffuse.networks import MLP, UNet
from undiffuse.networks.conditioning import CrossAttention, Standard

SHAPE, TIME = (2, 6, 8), torch.tensor([0.1, 0.4, 0.9])
KINDS = {
    "kind": Classes(3),
    "pair": Vector((2,), (1.0, -2.0), (0.5, 4.0)),
    "small": Image((1, 3, 4), (0.5,), (2.0,)),
    "same": Image((2, 6, 8), (0.0, 1.0), (1.0, 1.0)),
    "large": Image((1, 12, 16), (0.0,), (1.0,)),
    "tale": Series((5, 2), (0.0, 1.0), (1.0, 2.0)),
}
NETWORKS = {
    "mlp": lambda conditions: MLP(SHAPE, hidden=8, layers=2, conditions=conditions),
    "unet": lambda conditions: UNet(
        SHAPE, channels=8, multipliers=(1, 2), attention=(1,), conditions=conditions
    ),
    "patches": lambda conditions: UNet(
        SHAPE, channels=8, multipliers=(1,), patch=2, middle_attention=False, conditions=conditions
    ),
}
EVERY = pytest.mark.parametrize("network", NETWORKS)
EACH = pytest.mark.parametrize("name", KINDS)


def made(network: str, *names: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return awake(NETWORKS[network]({name: KINDS[name] for name in names}).double())


def value(name: str, seed: int = 0, rows: int = 3) -> torch.Tensor:
    g, kind = torch.Generator().manual_seed(seed), KINDS[name]
    if isinstance(kind, Classes):
        return (torch.arange(rows) + seed) % kind.count
    return torch.randn(rows, *kind.shape, generator=g, dtype=torch.float64)


def batch() -> torch.Tensor:
    return inputs(SHAPE, 3, torch.float64)


@EACH
@EVERY
def test_a_condition_is_seen(network, name):
    net, t = made(network, name), TIME.double()
    one, other, nothing = (net(batch(), t, c) for c in (value(name), value(name, 1), None))
    assert (one - other).abs().amax((1, 2, 3)).min() > 1e-6
    assert (one - nothing).abs().amax((1, 2, 3)).min() > 1e-6


@EACH
@EVERY
def test_none_is_what_tells_nothing(network, name):
    net, t = made(network, name), TIME.double()
    empty = none(KINDS[name]).expand(3, *KINDS[name].shape)
    empty = empty if isinstance(KINDS[name], Classes) else empty.double()
    torch.testing.assert_close(net(batch(), t, empty), net(batch(), t), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not isinstance(kind, Classes)])
@EVERY
def test_what_is_not_told_is_not_a_value(network, name):
    """A number that is hidden differs from any that is told, the mean of the data among them."""
    net, t, told = made(network, name), TIME.double(), value(name)
    mean = torch.zeros_like(told) + told.new_tensor(KINDS[name].mean).view(
        [-1 if axis == KINDS[name].axis else 1 for axis in range(KINDS[name].ndim)]
    )
    one = (0,) * (told.ndim - 1)
    partly = mean.clone()
    partly[(slice(None), *one)] = math.nan
    whole, some = net(batch(), t, mean), net(batch(), t, partly)
    assert (whole - some).abs().max() > 1e-9 and some.isfinite().all()


@EVERY
def test_the_end_of_a_sequence_that_is_not_there_is_not_looked_at(network):
    """Of a sequence filled up with NaN the rest has no part in it, and one alone tells where it is."""
    net, t = made(network, "tale"), TIME.double()
    short = value("tale")
    short[:, 2:] = math.nan
    turned = short.clone()
    turned[:, [0, 1]] = short[:, [1, 0]]
    assert (net(batch(), t, short) - net(batch(), t, turned)).abs().max() > 1e-9
    with torch.no_grad():
        tokens, told = net.given.tokens(short, batch())
    assert told.tolist() == [[True, True, False, False, False]] * 3 and tokens.shape[1] == 5


@EVERY
def test_rows_are_apart_with_all_of_them(network):
    net, t = made(network, *KINDS), TIME.double()
    told = {name: value(name) for name in KINDS}
    x = batch()
    together = net(x, t, told)
    for i in range(3):
        alone = net(x[i : i + 1], t[i : i + 1], {name: v[i : i + 1] for name, v in told.items()})
        torch.testing.assert_close(alone[0], together[i])
    for name in KINDS:
        without = net(x, t, {key: v for key, v in told.items() if key != name})
        assert (without - together).abs().max() > 1e-7, name


@EVERY
def test_every_weight_has_a_gradient(network):
    net = made(network, *KINDS).train()
    net(batch(), TIME.double(), {name: value(name) for name in KINDS}).square().sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), name


@EVERY
def test_no_conditions_draw_no_weights(network):
    """A network without conditions starts with the weights that it had before there were any."""
    torch.manual_seed(3)
    plain = NETWORKS[network](None)
    torch.manual_seed(3)
    assert sum(p.numel() for p in plain.given.parameters()) == 0
    again = NETWORKS[network]({})
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), again.parameters(), strict=True))


def test_numbers_are_standardised_and_what_is_not_told_is_nought():
    for name, condition in KINDS.items():
        if isinstance(condition, Classes):
            continue
        told = value(name)
        told[0].view(-1)[0] = math.nan
        found, known = Standard(condition)(told, told)
        mean, std = (each.double() for each in condition.moments())
        expected = (told - mean) / std
        torch.testing.assert_close(found, expected.nan_to_num(0.0))
        assert torch.equal(known, (~told.isnan()).double())
        nothing, unknown = Standard(condition)(None, told)
        assert nothing.shape == told.shape and not nothing.any() and not unknown.any()


def test_cross_attention_by_hand():
    torch.manual_seed(0)
    layer = awake(CrossAttention(6, 4, head=3).double())
    x, tokens = torch.randn(2, 5, 6).double(), torch.randn(2, 3, 4).double()
    told = torch.tensor([[True, False, True], [False, False, False]])
    found = layer(x, tokens, told)
    for row in range(2):
        seen = torch.cat([layer.nothing[None], tokens[row][told[row]]])
        k, v = layer.pairs(seen).view(-1, 2, 2, 3).unbind(1)
        q = layer.query(layer.norm(x[row])).view(5, 2, 3)
        heads = []
        for h in range(2):
            weights = (q[:, h] @ k[:, h].T / 3**0.5).softmax(1)
            heads.append(weights @ v[:, h])
        torch.testing.assert_close(found[row], x[row] + layer.out(torch.cat(heads, 1)))


def test_a_network_of_the_users_own_is_given_what_it_takes():
    class Own(torch.nn.Module):
        def forward(self, x_t, t, condition=None):
            return x_t if condition is None else x_t + condition.view(-1, 1)

    class Deaf(torch.nn.Module):
        def forward(self, x_t, t):
            return x_t

    from undiffuse.kernels import Gaussian
    from undiffuse.schedules import Linear

    kernel, x, t = Gaussian(Linear()), torch.ones(3, 2), torch.tensor(0.5).double()
    model = Denoiser(Own(), kernel)
    plain = model.output(x, t)[0]
    torch.testing.assert_close(model.given(2.0).output(x, t)[0], plain + 2)
    each = model.given(torch.tensor([1.0, 2.0, 3.0])).output(x, t)[0]
    torch.testing.assert_close(each, plain + torch.tensor([[1.0], [2.0], [3.0]]))
    with pytest.raises(ValueError, match="takes no condition"):
        Denoiser(Deaf(), kernel).given(1)
    described = Denoiser(Own(), kernel, conditions={"shift": Vector((1,), (0.0,), (1.0,))})
    with pytest.raises(ValueError, match=r"shift: shape \(3, 2\)"):
        described.given(torch.zeros(3, 2))
    torch.testing.assert_close(described.given([[1.0], [2.0], [3.0]]).output(x, t)[0], each)
