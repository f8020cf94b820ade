"""Fitted bases: near what the data are, chosen by what they were not fitted to, and whole after a file."""

import pytest
import torch
from torch import Tensor

from undiffuse.axes import Axes
from undiffuse.bases import Frequencies, GaussianBase, MixtureBase, base_from, fit, tensors_of
from undiffuse.bases.fitting import _full, fit_frequencies, fit_numbers
from undiffuse.kernels import Absorbing, Binomial, Categorical, Gaussian
from undiffuse.random import keyed
from undiffuse.schedules import ConstantFraction, LogLinear

G = keyed("fitted")
NORMAL = Gaussian(LogLinear(6.0, -4.0))


@pytest.fixture(autouse=True)
def draws_of_its_own() -> None:
    """A test draws the same whichever came before it."""
    G.set_state(keyed("draws").get_state())


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=G, dtype=torch.float64)


def excess(base, x: Tensor, truth: torch.distributions.Distribution) -> float:
    """Nats an example that the base takes more than the truth, of new examples."""
    return float((truth.log_prob(x.flatten(1)) - base.log_prob(x)).mean())


@pytest.mark.parametrize("count", [60, 2000])
def test_a_normal_density_is_found(count):
    root = torch.tril(drawn(8, 8))
    truth = torch.distributions.MultivariateNormal(drawn(8), scale_tril=root + 3 * torch.eye(8))
    x, new = ((truth.mean + drawn(n, 8) @ truth.scale_tril.T) for n in (count, 4000))
    base = fit_numbers(x)
    assert isinstance(base, GaussianBase)  # and no mixture, which would be worse
    degrees = 8 + 8 * 9 / 2
    assert 0 < excess(base, new, truth) < 2 * degrees / (2 * count)


def test_few_independent_columns_keep_their_diagonal():
    """All covariances of 30 columns by 20 examples say nothing but noise."""
    base = fit_numbers(drawn(20, 30) * torch.linspace(0.5, 2, 30))
    new = drawn(2000, 30) * torch.linspace(0.5, 2, 30)
    truth = torch.distributions.MultivariateNormal(
        torch.zeros(30).double(), torch.diag(torch.linspace(0.5, 2, 30).double() ** 2)
    )
    assert excess(base, new, truth) < 5


def test_pictures_of_waves_have_the_axes_of_cosines():
    from undiffuse.axes import cosines

    axes = Axes({1: cosines(6), 2: cosines(6)})
    scale = 1 / (1 + torch.arange(6.0)[:, None] + torch.arange(6.0))
    x = axes.back(drawn(40, 1, 6, 6) * scale)
    assert fit_numbers(x).axes.dimensions == [1, 2]


def test_a_mixture_is_taken_where_it_is_better():
    centres = torch.tensor([[3.0, 0.0, 0.0], [-3.0, 1.0, 0.0]]).double()
    pick = torch.randint(0, 2, (1000,), generator=G)
    x = centres[pick] + 0.5 * drawn(1000, 3)
    base = fit([x], NORMAL)
    assert isinstance(base, MixtureBase) and len(base.means) == 2
    pick = torch.randint(0, 2, (4000,), generator=G)
    parts = torch.distributions.MultivariateNormal(centres, 0.25 * torch.eye(3).double())
    truth = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(2).double()), parts
    )
    assert excess(base, centres[pick] + 0.5 * drawn(4000, 3), truth) < 0.05
    assert isinstance(fit([x], NORMAL, mixture=False), GaussianBase)


def test_frequencies_are_counted_and_smoothed():
    """Symbols that were never seen have finite bits, and what is common to all places is known at each."""
    x = torch.tensor([[0, 1, 2], [0, 1, 1]])
    base = fit_frequencies([x[:1], x[1:]], 4)
    probs = base.log_probs.exp()
    assert torch.allclose(probs.sum(-1), torch.ones(3).double())
    assert (probs > 0).all() and probs[0].argmax() == 0 and probs[1].argmax() == 1
    assert probs[0, 3] < probs[0, 2]  # 2 was seen somewhere, 3 nowhere
    many = torch.randint(0, 2, (20_000, 5), generator=G)
    assert (
        fit_frequencies([many], 2).log_probs.exp() - many.double().mean(0).unsqueeze(-1)
    ).abs().max() < 0.02


def test_a_drawn_covariance_keeps_its_variances():
    root = drawn(4, 4)
    cov = root @ root.T
    base = _full(drawn(4), cov, 0.3)
    dense = base.axes.dense((4,), base.mean)
    torch.testing.assert_close(dense * base.var @ dense.T, 0.7 * cov + 0.3 * torch.diag(cov.diagonal()))


def test_few_examples_are_drawn_to_what_is_common_to_all_places():
    """Four of each place say less than 800 of all: as is seen when each is left out in turn."""
    base = fit_frequencies([torch.randint(0, 2, (4, 200), generator=G)], 2)
    assert (base.log_probs.exp() - 0.5).abs().max() < 0.1


@pytest.mark.parametrize("rows", [torch.zeros(9, 3), torch.tensor([[1.0, 2.0], [1.0, 3.0]])])
def test_what_never_varies_is_handled(rows):
    base = fit_numbers(rows)
    assert base.log_prob(rows.double()).isfinite().all() and (base.var > 0).all()


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="1 example"):
        fit_numbers(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="no examples"):
        fit_frequencies([], 3)


BASES = [
    Frequencies(torch.tensor([[0.2, 0.8], [0.5, 0.5]]).double()),
    GaussianBase(torch.zeros(2, 3), torch.ones(2, 3)),
    fit_numbers(drawn(50, 1, 4, 4)),
    fit_numbers(torch.cat([drawn(60, 2) + 4, drawn(60, 2) - 4])),
]


@pytest.mark.parametrize("base", BASES, ids=lambda b: type(b).__name__)
def test_a_base_is_the_same_from_its_tensors(base):
    kinds = {Frequencies: "frequencies", GaussianBase: "gaussian", MixtureBase: "mixture"}
    kind, tensors = kinds[type(base)], tensors_of(base)
    again = base_from(kind, tensors, base.shape)
    x = torch.zeros(2, *base.shape).double()
    assert torch.equal(again.log_prob(x), base.log_prob(x))
    assert all(torch.equal(t, tensors[name]) for name, t in tensors_of(again).items())
    with pytest.raises(ValueError, match=r"examples of shape|axes of shape|not the tensors"):
        base_from(kind, tensors, (7,))
    with pytest.raises(ValueError, match="not the tensors"):
        base_from(kind, dict(list(tensors.items())[1:]), base.shape)
    with pytest.raises(ValueError, match="there are"):
        base_from("os", tensors, base.shape)


def test_bases_are_for_their_own_kernels():
    bits = BASES[0]
    bits.check(Binomial(ConstantFraction()))
    for kernel in (Categorical(ConstantFraction(), 3), Absorbing(ConstantFraction(), 3), NORMAL):
        with pytest.raises(ValueError, match="of 2 symbols"):
            bits.check(kernel)
    with pytest.raises(ValueError, match="of real numbers"):
        BASES[1].check(Binomial(ConstantFraction()))
