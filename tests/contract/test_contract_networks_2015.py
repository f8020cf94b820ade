"""The networks of 2015 against their formulas: time enters in the read-out alone."""

import numpy as np
import pytest
import torch

from oracles import awake, bumps, normals
from undiffuse.networks.multiscale import MultiScale
from undiffuse.networks.rbf import RBF
from undiffuse.networks.readout import Bumps, PerStep
from undiffuse.networks.sigmoid_mlp import SigmoidMLP

T = 40


def chain(*steps):
    """Times of the steps 1 .. T, in the network's precision."""
    return torch.tensor(steps, dtype=torch.float64) / T


NETWORKS = {
    "rbf": lambda shape, outputs: RBF(shape, T, outputs=outputs, units=5),
    "sigmoid-mlp": lambda shape, outputs: SigmoidMLP(shape, T, outputs=outputs, hidden=6),
    "multi-scale": lambda shape, outputs: MultiScale(shape, outputs=outputs, channels=4, layers=2),
    "multi-scale, leaky": lambda shape, outputs: MultiScale(
        shape, outputs=outputs, layers=1, scales=2, dense=7, activation="leaky", bump_ends=True
    ),
    "multi-scale, dense alone": lambda shape, outputs: MultiScale(shape, outputs=outputs, layers=0, dense=7),
}


EVERY = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)


@EVERY
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("shape", [(1, 7, 5), (3, 9, 13), (1, 8, 8), (3, 4, 6)])
def test_shapes(make, shape, outputs):
    network, x = make(shape, outputs), normals(2, *shape).float()
    times = chain(3, T).float()
    assert not network(x, times).any()
    out = awake(network).float()(x, times)
    assert out.shape == (2, outputs * shape[0], *shape[1:]) and out.dtype == torch.float32
    assert out.isfinite().all() and (out[0] != out[1]).all()


@EVERY
def test_one_time_for_all_rows_is_that_time_for_each(make):
    network, x = awake(make((2, 6, 5), 2)), normals(3, 2, 6, 5)
    shared = network(x, chain(7)[0].expand(3))
    torch.testing.assert_close(shared, network(x, chain(7, 7, 7)), rtol=0, atol=1e-6)
    torch.testing.assert_close(shared[:1], network(x[:1], chain(7)), rtol=0, atol=1e-6)


@EVERY
def test_time_enters_at_the_read_out_alone(make):
    """What the read-out is given is the same at the first step and at the last, and needs no time."""
    network, seen = awake(make((1, 4, 4), 1)), []
    images = isinstance(network, MultiScale)
    part = network.last if images else network.readout
    part.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = normals(1, 1, 4, 4).expand(2, -1, -1, -1)
    out = network(x, chain(1, T))
    assert not torch.allclose(out[0], out[1])
    torch.testing.assert_close(seen[0][0], seen[0][1], rtol=1e-12, atol=1e-12)
    without = network.features(x) if images else network.hidden(x)
    torch.testing.assert_close(seen[0], without, rtol=1e-12, atol=1e-12)


def test_each_step_reads_with_its_own_weights():
    readout, h = awake(PerStep(3, 2, T)), normals(4, 3)
    out = readout(h, chain(1, 5, 5, T))
    for row, i in enumerate([0, 4, 4, T - 1]):
        torch.testing.assert_close(out[row], readout.weight[i] @ h[row] + readout.bias[i])


@pytest.mark.parametrize("times", [chain(5)[0].expand(4), chain(5, 5, 5, 5)], ids=["shared", "each"])
def test_a_step_teaches_its_own_weights_alone(times):
    readout, h = awake(PerStep(3, 2, T)), normals(4, 3)
    readout(h, times).sum().backward()
    others = torch.arange(T) != 4
    torch.testing.assert_close(readout.weight.grad[4], h.sum(0).expand(2, -1))
    torch.testing.assert_close(readout.bias.grad[4], torch.full((2,), 4.0).double())
    assert not readout.weight.grad[others].any() and not readout.bias.grad[others].any()


def test_the_steps_of_a_long_chain_are_told_apart_in_float32():
    t = torch.arange(1, 8001, dtype=torch.float64) / 8000
    assert torch.equal(PerStep(1, 1, 8000).index(t.float()), torch.arange(8000))


@pytest.mark.parametrize("t", [0.0, 0.5001, 1.025, -0.5, float("nan")])
@pytest.mark.parametrize("make", [RBF, SigmoidMLP])
def test_times_off_the_chain_are_refused(make, t):
    network = make((2,), T)
    name = {RBF: "rbf", SigmoidMLP: "sigmoid-mlp"}[make]
    for times in (torch.tensor(t).expand(2), torch.tensor([0.5, t])):
        with pytest.raises(ValueError, match=f"t={t:g} is no step of {name}.* T={T} steps.* on that chain"):
            network(torch.zeros(2, 2), times)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("width", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_bumps_are_equation_63(count, width, ends):
    t = torch.tensor([1e-3, 0.1, 0.37, 0.5, 1.0]).double()
    weights = Bumps(count, width, ends).weights(t)
    expected = torch.from_numpy(bumps(t.numpy(), count, width, ends))
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-12)
    torch.testing.assert_close(weights.sum(1), torch.ones(5).double())
    torch.testing.assert_close(weights[3], weights[3].flip(0), rtol=1e-4, atol=1e-12)


def test_narrow_bumps_hand_over_from_one_coefficient_to_the_next():
    y = normals(3, 4 * 2, 5, 1)  # four bumps, two channels
    out = Bumps(4, width=0.1, ends=True)(y, torch.tensor([0.0, 1 / 3, 1.0]).double())
    expected = torch.stack([y[0, :2], y[1, 2:4], y[2, 6:]])
    torch.testing.assert_close(out, expected)
    half = Bumps(4, width=0.1)(y[:1], torch.tensor([0.25]).double())  # between the first two centres
    torch.testing.assert_close(half, (y[:1, :2] + y[:1, 2:4]) / 2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ends", [False, True])
def test_bumps_of_equal_coefficients_are_constant_in_time(ends):
    y = normals(1, 3, 4).repeat(5, 6, 1)
    out = Bumps(6, ends=ends)(y, torch.linspace(0.01, 1, 5).double())
    torch.testing.assert_close(out, y[:, :3])
    one = Bumps(1, ends=ends)(y, torch.linspace(0.01, 1, 5).double())
    assert torch.equal(one, y)


def test_rbf_is_its_formula():
    network, x = awake(RBF((3,), T, outputs=2, units=4)), normals(5, 3)
    network.log_widths.data = normals(4, seed=2)
    steps = np.array([1, 2, 2, 39, 40])
    out = network(x, chain(*steps)).detach().numpy()
    c, s = network.centres.detach().numpy(), np.exp(network.log_widths.detach().numpy())
    weight, bias = network.readout.weight.detach().numpy(), network.readout.bias.detach().numpy()
    for row in range(5):
        h = np.exp([-((x.numpy()[row] - c[k]) ** 2).sum() / (2 * s[k] ** 2) for k in range(4)])
        expected = weight[steps[row] - 1] @ (h / h.sum()) + bias[steps[row] - 1]
        np.testing.assert_allclose(out[row], expected, rtol=1e-10)


def test_rbf_is_finite_far_away():
    network = awake(RBF((2,), T)).float()
    x = torch.tensor([[1e3, 0.0], [-1e3, 1e3], [0.0, -1e3]], requires_grad=True)
    out = network(x, chain(1, 20, T).float())
    out.sum().backward()
    assert out.isfinite().all() and x.grad.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())
    torch.testing.assert_close(network.hidden(x).sum(1), torch.ones(3))


@pytest.mark.parametrize("size", [2, 64, 784])
def test_no_rbf_unit_starts_dead_or_alone(size):
    torch.manual_seed(0)
    used = RBF((size,), T).hidden(normals(200, size).float())
    assert used.mean(0).min() > 1e-4 and used.max(1).values.mean() < 0.8


def test_sigmoid_mlp_is_its_formula_on_bits():
    network = awake(SigmoidMLP((20,), T, hidden=6, layers=2))
    x = (normals(3, 20) > 0.8).double()
    a, b = network.layers
    h = 1 / (1 + (-(x @ a.weight.T + a.bias)).exp())
    h = 1 / (1 + (-(h @ b.weight.T + b.bias)).exp())
    expected = h @ network.readout.weight[9].T + network.readout.bias[9]
    torch.testing.assert_close(network(x, chain(10, 10, 10)), expected)


def test_sigmoids_start_neither_faded_nor_saturated():
    torch.manual_seed(0)
    h = SigmoidMLP((20,), T, layers=6).hidden((torch.rand(500, 20) < 0.2).float())
    assert abs(h.mean() - 0.5) < 0.05 and h.std(0).mean() > 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PerStep(0, 1, T), "inputs=0"),
        (lambda: PerStep(1, 0, T), "outputs=0"),
        (lambda: RBF((2,), 0), "steps=0"),
        (lambda: RBF((2,), T, units=0), "units=0"),
        (lambda: SigmoidMLP((2,), T, hidden=0), "hidden=0"),
        (lambda: SigmoidMLP((2,), T, layers=0), "layers=0"),
        (lambda: Bumps(0), "count=0"),
        (lambda: Bumps(3, width=0.0), "width=0"),
        (lambda: Bumps(3, width=float("nan")), "width=nan"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
